// Every source, with data of our own, through the real daemon into nfcapd; and what survives the daemon's end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';

import { handler } from '../../lambda/index.mjs';
import {
  cloudWatchEvent, contextWith, destinationRecord, eventBridgeEvent, flowLine, gzipOf, kinesisEvent, s3Event, snsEvent,
  sqsEvent, useDaemon, useSettings,
} from './daemon.mjs';
import { fakeS3, useServices } from './fakes.mjs';
import { flowsOf, has, lineOf, options, startNfcapd, startVpcflowd, storedForm } from './vpcflowd.mjs';

const HEADER =
  'version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status';
const haveCollector = has('nfcapd') && has('nfdump');
const collected = { skip: options.skip || (haveCollector ? false : 'nfdump is not installed') };
const time = contextWith(20_000);

test('each source\'s records are in nfcapd, every one of them once', collected, async (t) => {
  let number = 0;
  const all = [];
  const lines = (count) => {
    const made = Array.from({ length: count }, () => flowLine(number++));
    all.push(...made);
    return made;
  };
  const event = (count) => cloudWatchEvent(lines(count));
  const object = (count) => zlib.gzipSync(`${HEADER}\n${lines(count).join('\n')}\n`);
  const keys = ['direct', 'queued', 'notified', 'bridged', 'large'];
  const sizes = [30, 30, 30, 30, 45_000];
  const objects = Object.fromEntries(keys.map((key, i) => [`${key}.log.gz`, object(sizes[i])]));
  // Only the large one is beyond this.
  useSettings(t, { VPCFLOWD_MAX_PAYLOAD: '256K' });
  assert.ok(objects['large.log.gz'].length > 256 * 1024);
  useServices(t, { s3: fakeS3(objects) });

  const collector = await startNfcapd(t);
  // A burst that nfcapd can take when it has to wait for its turn.
  const daemon = await startVpcflowd(t, {
    conf: `[listener]\naddress = 127.0.0.1:0\n\n[collector "nfcapd"]\ntransport = udp\nburst = 8\n` +
      `address = 127.0.0.1:${collector.port}\n\n[vpc "default"]\nexporter_ip = 127.0.0.8\n`,
  });
  useDaemon(t, daemon);
  const safe = { batchItemFailures: [] };
  assert.equal((await handler(event(500), time)).exported, 500);
  assert.deepEqual(await handler(kinesisEvent([gzipOf(event(70)), gzipOf(event(80))]), time), safe);
  assert.deepEqual(await handler(sqsEvent([event(20), destinationRecord(event(25))]), time), safe);
  assert.equal((await handler(s3Event(['direct.log.gz']), time)).exported, 30);
  assert.deepEqual(await handler(sqsEvent([s3Event(['queued.log.gz'])]), time), safe);
  assert.equal((await handler(snsEvent(s3Event(['notified.log.gz'])), time)).exported, 30);
  assert.equal((await handler(eventBridgeEvent('bridged.log.gz'), time)).exported, 30);
  assert.equal((await handler(s3Event(['large.log.gz']), time)).exported, 45_000);

  assert.equal(await daemon.stop(), 0);
  assert.deepEqual(await collector.stop(), all.map(storedForm).sort());
});

test('the daemon killed within a Kinesis batch: with what was reported sent again, nothing is missing', options, async (t) => {
  t.mock.method(console, 'error', () => {});
  const payloads = Array.from({ length: 400 }, (_, i) => gzipOf(cloudWatchEvent([flowLine(i)])));
  let event = kinesisEvent(payloads);
  const first = await startVpcflowd(t);
  useDaemon(t, first);
  const batch = handler(event, time);
  await flowsOf(first, 1);
  await first.stop('SIGKILL');
  const second = await startVpcflowd(t, { port: first.port });
  const found = new Set();
  for (let answer = await batch; answer.batchItemFailures.length > 0; answer = await handler(event, time)) {
    const from = answer.batchItemFailures[0].itemIdentifier;
    const at = event.Records.findIndex((record) => record.kinesis.sequenceNumber === from);
    // As Lambda does: the lowest of those reported, and all behind it.
    event = { Records: event.Records.slice(at) };
  }
  await second.stop();
  [...first.flows, ...second.flows].forEach((flow) => found.add(lineOf(flow)));
  assert.equal(found.size, payloads.length);
});

test('a connection that the daemon closed as idle is opened again', options, async (t) => {
  const daemon = await startVpcflowd(t, {
    conf: '[listener]\naddress = 127.0.0.1:0\nidle_timeout = 1s\n\n[collector "nowhere"]\ntransport = udp\n' +
      'address = 127.0.0.1:9\n\n[vpc "default"]\nexporter_ip = 127.0.0.8\n',
  });
  useDaemon(t, daemon);
  for (let i = 0; i < 2; i += 1) {
    const control = cloudWatchEvent(['A test of the destination.'], { messageType: 'CONTROL_MESSAGE' });
    assert.equal((await handler(control, contextWith(10_000))).exported, 0);
    await new Promise((resolve) => setTimeout(resolve, 1600));
  }
});

test('a payload that comes again is acknowledged; a daemon that remembers says so', options, async (t) => {
  const daemon = await startVpcflowd(t);
  useDaemon(t, daemon);
  const event = cloudWatchEvent([flowLine(1)]);
  assert.deepEqual(await handler(event, time), { exported: 1, skipped: 0, rejected: 0, duplicate: 0 });
  const again = await handler(event, time);
  assert.equal(again.exported + again.duplicate, 1);
});

test('one of two daemons is dead: every log stream\'s records arrive', options, async (t) => {
  const dead = await startVpcflowd(t);
  const alive = await startVpcflowd(t);
  useDaemon(t, { host: `127.0.0.1:${dead.port},127.0.0.1:${alive.port}`, port: undefined });
  await dead.stop('SIGKILL');
  const payloads = Array.from({ length: 40 }, (_, i) => gzipOf(cloudWatchEvent([flowLine(i)])));
  assert.deepEqual(await handler(kinesisEvent(payloads), time), { batchItemFailures: [] });
  assert.equal(new Set((await flowsOf(alive, 40)).map(lineOf)).size, 40);
});
