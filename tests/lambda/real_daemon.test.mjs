// The handler against the real daemon: set VPCFLOWD_BIN to the path of the vpcflowd binary, else this is skipped.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { handler } from '../../lambda/index.mjs';
import { cloudWatchEvent, contextWith, flowLine, useDaemon } from './daemon.mjs';
import { flowsOf, lineOf, options, startVpcflowd } from './vpcflowd.mjs';

const IPV6 =
  '2 210987654321 eni-0a1b2c3d4e5f60718 2001:db8:20::9 2001:db8:99::53 53021 53 17 2 190 1750000010 1750000012 ' +
  'ACCEPT OK';
const REJECTED =
  '2 210987654321 eni-0a1b2c3d4e5f60718 203.0.113.77 10.20.1.9 51515 22 6 1 44 1750000020 1750000021 REJECT OK';
const NODATA = '2 210987654321 eni-0a1b2c3d4e5f60718 - - - - - - - 1750000000 1750000060 - NODATA';

test('each record arrives once, and NODATA is counted as skipped', options, async (t) => {
  const daemon = await startVpcflowd(t);
  useDaemon(t, daemon);
  const first = Array.from({ length: 200 }, (_, i) => flowLine(i));
  assert.deepEqual(await handler(cloudWatchEvent(first), contextWith(5000)), {
    exported: 200, skipped: 0, rejected: 0, duplicate: 0,
  });
  assert.deepEqual(await handler(cloudWatchEvent([IPV6, NODATA, REJECTED]), contextWith(5000)), {
    exported: 2, skipped: 1, rejected: 0, duplicate: 0,
  });
  const flows = await flowsOf(daemon, 202);
  assert.deepEqual(flows.map(lineOf).sort(), [...first, IPV6, REJECTED].sort());
  assert.equal(await daemon.stop(), 0);
});

test('a control message is acknowledged and exports nothing', options, async (t) => {
  const daemon = await startVpcflowd(t);
  useDaemon(t, daemon);
  const control = cloudWatchEvent(['Checking that the destination lives.'], { messageType: 'CONTROL_MESSAGE' });
  const result = await handler(control, contextWith(5000));
  assert.equal(result.exported, 0);
  assert.equal(await daemon.stop(), 0);
  assert.deepEqual(daemon.flows, []);
});

test('a payload that cannot be read throws the daemon\'s reason, and the next one goes through', options, async (t) => {
  const daemon = await startVpcflowd(t);
  useDaemon(t, daemon);
  await assert.rejects(handler(cloudWatchEvent(['not a flow record']), contextWith(5000)), /ERR 422/);
  const whole = cloudWatchEvent([flowLine(1)]);
  const cut = Buffer.from(whole.awslogs.data, 'base64').subarray(0, -6).toString('base64');
  await assert.rejects(handler({ awslogs: { data: cut } }, contextWith(5000)), /ERR 400/);
  assert.equal((await handler(whole, contextWith(5000))).exported, 1);
  assert.deepEqual((await flowsOf(daemon, 1)).map(lineOf), [flowLine(1)]);
});

test('concurrent invocations are all acknowledged with their own counts', options, async (t) => {
  const daemon = await startVpcflowd(t);
  useDaemon(t, daemon);
  let number = 0;
  const batches = Array.from({ length: 30 }, (_, i) => Array.from({ length: i + 1 }, () => flowLine(number++)));
  const results = await Promise.all(batches.map((lines) => handler(cloudWatchEvent(lines), contextWith(10_000))));
  assert.deepEqual(results.map((result) => result.exported), batches.map((lines) => lines.length));
  assert.deepEqual((await flowsOf(daemon, number)).map(lineOf).sort(), batches.flat().sort());
});

test('the daemon may be restarted between invocations', options, async (t) => {
  const before = await startVpcflowd(t);
  useDaemon(t, before);
  await handler(cloudWatchEvent([flowLine(1)]), contextWith(5000));
  await before.stop();
  await assert.rejects(handler(cloudWatchEvent([flowLine(2)]), contextWith(5000)), /ECONNREFUSED/);
  const after = await startVpcflowd(t, { port: before.port });
  assert.equal((await handler(cloudWatchEvent([flowLine(2)]), contextWith(5000))).exported, 1);
  assert.deepEqual((await flowsOf(after, 1)).map(lineOf), [flowLine(2)]);
});
