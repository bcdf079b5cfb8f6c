// Several daemons: who gets what, and what happens when one is away.

import assert from 'node:assert/strict';
import dns from 'node:dns';
import { test } from 'node:test';

import { Daemons } from '../../lambda/daemons.mjs';
import { handler } from '../../lambda/index.mjs';
import { logStreamOf } from '../../lambda/log_stream.mjs';
import { readSettings } from '../../lambda/settings.mjs';
import {
  OK, OK_RESULT, cloudWatchEvent, contextWith, flowLine, gzipOf, kinesisEvent, startDaemon, useDaemon,
} from './daemon.mjs';

const payload = (i) => Buffer.from(`payload ${i}`);
const soon = (milliseconds = 5000) => Date.now() + milliseconds;
const list = (daemons) => daemons.map(({ port }) => `127.0.0.1:${port}`).join(',');
const daemonsFor = (host) => new Daemons(readSettings({ VPCFLOWD_HOST: host }));
const KEYS = Array.from({ length: 60 }, (_, i) => `stream ${i}`);

const startMany = (t, count, onPayload) =>
  Promise.all(Array.from({ length: count }, () => startDaemon(t, onPayload)));

// Which daemon got the payload of each key.
async function owners(pool, daemons, keys = KEYS) {
  daemons.forEach((daemon) => daemon.payloads.splice(0));
  await Promise.all(keys.map((key) => pool.send(Buffer.from(key), () => key, soon())));
  const index = new Map();
  daemons.forEach((daemon, i) => daemon.payloads.forEach((bytes) => index.set(bytes.toString(), i)));
  return keys.map((key) => index.get(key));
}

test('keys are spread over all daemons, and a key stays with its daemon', async (t) => {
  const daemons = await startMany(t, 3);
  const first = await owners(daemonsFor(list(daemons)), daemons);
  for (let i = 0; i < 3; i += 1) {
    const share = first.filter((owner) => owner === i).length;
    assert.ok(share >= 8 && share <= 36, `daemon ${i} got ${share} of ${KEYS.length}`);
  }
  assert.deepEqual(await owners(daemonsFor(list(daemons)), daemons), first, 'another process decides alike');
  const reversed = [...daemons].reverse();
  assert.deepEqual(await owners(daemonsFor(list(reversed)), daemons), first, 'the list\'s order does not matter');
});

test('without one daemon only its own keys move', async (t) => {
  const daemons = await startMany(t, 3);
  const first = await owners(daemonsFor(list(daemons)), daemons);
  const without = await owners(daemonsFor(list(daemons.slice(1))), daemons);
  first.forEach((owner, i) => owner !== 0 && assert.equal(without[i], owner));
});

test('one of the list is dead: its keys go to others, and nothing fails', async (t) => {
  const daemons = await startMany(t, 3);
  const pool = daemonsFor(list(daemons));
  const first = await owners(pool, daemons);
  await daemons[1].stop();
  const now = await owners(pool, daemons);
  assert.ok(now.every((owner) => owner === 0 || owner === 2));
  first.forEach((owner, i) => owner !== 1 && assert.equal(now[i], owner));
});

test('a daemon that comes back gets its keys again after some seconds', async (t) => {
  const daemons = await startMany(t, 2);
  const pool = daemonsFor(list(daemons));
  const first = await owners(pool, daemons);
  await daemons[0].stop();
  await owners(pool, daemons);
  const again = await startDaemon(t, undefined, { port: daemons[0].port });
  assert.ok((await owners(pool, [again, daemons[1]])).every((owner) => owner === 1), 'avoided for now');
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 6000);
  assert.deepEqual(await owners(pool, [again, daemons[1]]), first);
});

for (const reply of ['ERR 503 busy\n', 'ERR 500 a fault\n']) {
  test(`on ${reply.trim()} the next daemon is asked`, async (t) => {
    const busy = await startDaemon(t, () => reply);
    const free = await startDaemon(t);
    const pool = daemonsFor(list([busy, free]));
    const results = await Promise.all(KEYS.map((key) => pool.send(payload(key), () => key, soon())));
    assert.ok(results.every((result) => result.exported === OK_RESULT.exported));
    assert.equal(free.payloads.length, KEYS.length);
    assert.ok(busy.payloads.length > 0);
  });
}

test('a 4xx is the payload\'s fate with the first daemon: no other is asked', async (t) => {
  const daemons = await startMany(t, 2, () => 'ERR 422 no record could be read\n');
  await assert.rejects(daemonsFor(list(daemons)).send(payload(1), () => 'key', soon()), { status: 422, refused: true });
  assert.equal(daemons[0].payloads.length + daemons[1].payloads.length, 1);
});

test('a daemon that ends while it has the payload: the next one gets it', async (t) => {
  const fragile = await startDaemon(t, (bytes, socket) => {
    socket.destroy();
  });
  const solid = await startDaemon(t);
  const pool = daemonsFor(list([fragile, solid]));
  await Promise.all(KEYS.map((key) => pool.send(payload(key), () => key, soon())));
  assert.equal(new Set(solid.payloads.map(String)).size, KEYS.length);
});

test('one that swallows the connection costs part of the time, not all of it', async (t) => {
  const solid = await startDaemon(t);
  // The documentation's network: packets to it are dropped, or refused at once where there is no route.
  const pool = daemonsFor(`192.0.2.1:20555,127.0.0.1:${solid.port}`);
  const results = await Promise.all(KEYS.map((key) => pool.send(payload(key), () => key, soon(2000))));
  assert.equal(results.length, KEYS.length);
});

test('one without a reply is avoided by the next payloads', async (t) => {
  const stuck = await startDaemon(t, () => undefined);
  const solid = await startDaemon(t);
  const pool = daemonsFor(list([stuck, solid]));
  const results = await Promise.allSettled(KEYS.map((key) => pool.send(payload(key), () => key, soon(2500))));
  assert.ok(results.some(({ status }) => status === 'rejected'));
  await Promise.all(KEYS.map((key) => pool.send(payload(key), () => key, soon())));
});

test('all are dead: the error names each', async (t) => {
  const daemons = await startMany(t, 2);
  await Promise.all(daemons.map((daemon) => daemon.stop()));
  await assert.rejects(daemonsFor(list(daemons)).send(payload(1), () => 'key', soon()), (error) => {
    assert.match(error.message, /none of 2 daemons/);
    daemons.forEach(({ port }) => assert.match(error.message, new RegExp(`127.0.0.1:${port}: .*ECONNREFUSED`)));
    return true;
  });
});

test('the addresses of one name are daemons of their own, looked up once in a while', async (t) => {
  const first = await startDaemon(t);
  const second = await startDaemon(t, undefined, { host: '127.0.0.2', port: first.port });
  const found = [{ address: '127.0.0.1', family: 4 }, { address: '127.0.0.2', family: 4 }];
  const lookup = t.mock.method(dns.promises, 'lookup', async () => found);
  const pool = new Daemons(readSettings({ VPCFLOWD_HOST: 'flows.test', VPCFLOWD_PORT: String(first.port) }));
  await Promise.all(KEYS.map((key) => pool.send(payload(key), () => key, soon())));
  assert.ok(first.payloads.length > 0 && second.payloads.length > 0);
  assert.equal(lookup.mock.callCount(), 1);
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 31_000);
  found.shift();
  const before = first.payloads.length;
  // One address left: the connection looks the name up itself, which fails here.
  await assert.rejects(pool.send(payload(1), () => 'key', soon(60_000)), /flows\.test/);
  assert.equal(lookup.mock.callCount(), 2);
  assert.equal(first.payloads.length, before);
});

test('a list may have names, addresses of both kinds, and ports of their own', () => {
  const hosts = (text, port) => readSettings({ VPCFLOWD_HOST: text, VPCFLOWD_PORT: port }).hosts;
  const host = (name, port) => ({ host: name, port });
  assert.deepEqual(hosts('a.example, 10.0.0.5:20556,[2001:db8::5]:7,2001:db8::6,[::1],b'), [
    host('a.example', 20555), host('10.0.0.5', 20556), host('2001:db8::5', 7), host('2001:db8::6', 20555),
    host('::1', 20555), host('b', 20555),
  ]);
  assert.deepEqual(hosts('a,b:2', '99'), [host('a', 99), host('b', 2)]);
});

test('log group and stream of a payload are found in its first bytes, wherever they stand', () => {
  const events = Array.from({ length: 800 }, (_, i) => ({ id: String(i), timestamp: i, message: flowLine(i) }));
  const gz = gzipOf(cloudWatchEvent(events.map(({ message }) => message), { logGroup: '/aws/vpc/a "b"' }));
  assert.equal(logStreamOf(gz), '/aws/vpc/a \\"b\\" eni-0a1b2c3d4e5f60718-all');
  assert.equal(logStreamOf(gz), logStreamOf(gz));
  // No names: the payload's own bytes.
  assert.notEqual(logStreamOf(Buffer.from('no gzip at all')), logStreamOf(Buffer.from('no gzip either')));
});

test('a log stream\'s payloads go to one daemon; a Kinesis record goes by its partition key', async (t) => {
  const daemons = await startMany(t, 3, () => OK);
  useDaemon(t, { host: list(daemons), port: undefined });
  for (let i = 0; i < 5; i += 1) {
    await handler(cloudWatchEvent([flowLine(i)]), contextWith(5000));
  }
  assert.deepEqual(daemons.map(({ payloads }) => payloads.length).sort(), [0, 0, 5]);
  daemons.forEach(({ payloads }) => payloads.splice(0));
  const records = KEYS.map(payload);
  await handler(kinesisEvent(records, { partitionKey: () => 'always the same' }), contextWith(5000));
  assert.deepEqual(daemons.map(({ payloads }) => payloads.length).sort(), [0, 0, 60]);
  daemons.forEach(({ payloads }) => payloads.splice(0));
  await handler(kinesisEvent(records), contextWith(5000));
  assert.ok(daemons.every(({ payloads }) => payloads.length > 0));
});
