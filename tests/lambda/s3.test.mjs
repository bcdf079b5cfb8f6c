// S3 objects: by whichever way their names come, streamed as they are, in pieces only where they must be.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import zlib from 'node:zlib';

import { handler } from '../../lambda/index.mjs';
import { piecesOf } from '../../lambda/pieces.mjs';
import {
  OK, OK_RESULT, contextWith, destinationRecord, eventBridgeEvent, flowLine, messageId, s3Event, snsEnvelope, snsEvent,
  sqsEvent, startDaemon, useDaemon, useSettings,
} from './daemon.mjs';
import { awsError, fakeS3, fakeSqs, useServices } from './fakes.mjs';

const KEY = 'AWSLogs/210987654321/vpcflowlogs/eu-central-1/2025/06/15/210987654321_vpcflowlogs_a b+c_20250615.log.gz';
const HEADER =
  'version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status';
const text = (count, from = 0) => Array.from({ length: count }, (_, i) => `${flowLine(from + i)}\n`).join('');
const OBJECT = zlib.gzipSync(`${HEADER}\n${text(300)}`);
const quiet = (t) => t.mock.method(console, 'error', () => {});
const counts = (exported) => `OK exported=${exported} skipped=0 rejected=0 duplicate=0\n`;
const linesOf = (payload) => zlib.gunzipSync(payload).toString().split('\n').filter((line) => line !== '');

for (const [name, event] of Object.entries({
  's3 itself': s3Event([KEY]),
  sns: snsEvent(s3Event([KEY])),
  eventbridge: eventBridgeEvent(KEY),
  'an on-failure destination': destinationRecord(s3Event([KEY])),
})) {
  test(`an object named by ${name} arrives as it is`, async (t) => {
    const s3 = fakeS3({ [KEY]: OBJECT });
    useServices(t, { s3 });
    const daemon = await startDaemon(t);
    useDaemon(t, daemon);
    assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
    assert.deepEqual(s3.asked, [`flow-logs/${KEY}`]);
    assert.deepEqual(daemon.payloads, [OBJECT]);
  });
}

for (const [name, wrap] of Object.entries({
  'S3\'s notification': (event) => event,
  'SNS\'s': snsEnvelope,
  'EventBridge\'s': (event, key) => eventBridgeEvent(key),
})) {
  test(`SQS messages with ${name}: exactly the objects that are not safe are reported`, async (t) => {
    quiet(t);
    const keys = Array.from({ length: 6 }, (_, i) => `flow logs/${i}.log.gz`);
    const objects = Object.fromEntries(keys.map((key, i) => [key, zlib.gzipSync(`${HEADER}\n${text(5, i)}`)]));
    const body = (key) => wrap(s3Event([key]), key);
    for (let k = 0; k < keys.length; k += 1) {
      useServices(t, { s3: fakeS3(objects) });
      const daemon = await startDaemon(t, (bytes) => (bytes.equals(objects[keys[k]]) ? 'ERR 503 busy\n' : OK));
      useDaemon(t, daemon);
      const answer = await handler(sqsEvent(keys.map(body)), contextWith(5000));
      assert.deepEqual(answer, { batchItemFailures: [{ itemIdentifier: messageId(k) }] }, `object ${k}`);
    }
  });
}

test('a message that names several objects is safe only if all of them are', async (t) => {
  quiet(t);
  const other = zlib.gzipSync(`${HEADER}\n${text(2)}`);
  useServices(t, { s3: fakeS3({ a: OBJECT, b: other, c: OBJECT }) });
  const daemon = await startDaemon(t, (bytes) => (bytes.equals(other) ? 'ERR 500 a fault\n' : OK));
  useDaemon(t, daemon);
  const answer = await handler(sqsEvent([s3Event(['a', 'b', 'c']), s3Event(['c'])]), contextWith(5000));
  assert.deepEqual(answer, { batchItemFailures: [{ itemIdentifier: messageId(0) }] });
});

test('objects that were removed, folders and test events ask neither S3 nor the daemon', async (t) => {
  const s3 = fakeS3({});
  useServices(t, { s3 });
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const folder = s3Event(['folder/']);
  folder.Records[0].s3.object.size = 0;
  for (const event of [
    s3Event([KEY], { eventName: 'ObjectRemoved:Delete' }),
    eventBridgeEvent(KEY, { detailType: 'Object Deleted' }),
    { Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: 'flow-logs' },
    folder,
  ]) {
    assert.deepEqual(await handler(event, contextWith(5000)), { exported: 0, skipped: 0, rejected: 0, duplicate: 0 });
  }
  assert.deepEqual([s3.asked, daemon.connections], [[], 0]);
});

test('an object that comes byte by byte arrives as it is', async (t) => {
  const bytes = Readable.from(Array.from(OBJECT, (byte) => Buffer.from([byte])));
  useServices(t, { s3: fakeS3({ [KEY]: () => ({ ContentLength: OBJECT.length, Body: bytes }) }) });
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  assert.deepEqual(await handler(s3Event([KEY]), contextWith(5000)), OK_RESULT);
  assert.deepEqual(daemon.payloads, [OBJECT]);
});

test('an empty object is nothing to send', async (t) => {
  useServices(t, { s3: fakeS3({ [KEY]: Buffer.alloc(0) }) });
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  assert.equal((await handler(s3Event([KEY]), contextWith(5000))).exported, 0);
  assert.equal(daemon.connections, 0);
});

for (const [name, key, bytes] of [
  ['Parquet by its name', 'x.log.parquet', OBJECT],
  ['Parquet by its bytes', 'x', Buffer.from('PAR1....')],
  ['zstd', 'x', Buffer.from('28b52ffd0458', 'hex')],
  ['a picture', 'x.jpg', Buffer.from('ffd8ffe000104a46', 'hex')],
]) {
  test(`${name} is refused, and the error says which format to choose`, async (t) => {
    quiet(t);
    useServices(t, { s3: fakeS3({ [key]: bytes }) });
    const daemon = await startDaemon(t);
    useDaemon(t, daemon);
    await assert.rejects(handler(s3Event([key]), contextWith(5000)), /s3:\/\/flow-logs\/x.*text format/);
    assert.equal(daemon.connections, 0);
  });
}

for (const [error, message, dead] of [
  [awsError('AccessDenied'), /AccessDenied.*s3:GetObject/, 0],
  [awsError('SlowDown', 'reduce your rate'), /SlowDown: reduce/, 0],
  [awsError('NoSuchKey'), /no such object/, 1],
  [awsError('InvalidObjectState'), /archived: restore/, 1],
]) {
  test(`S3's ${error.name} is ${dead ? 'dead-lettered' : 'left to another try'}`, async (t) => {
    quiet(t);
    const sqs = fakeSqs();
    useServices(t, { s3: fakeS3({ [KEY]: error }), sqs });
    useDaemon(t, await startDaemon(t));
    await assert.rejects(handler(s3Event([KEY]), contextWith(5000)), message);
    useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: 'http://localhost:4566/000000000000/dead' });
    await handler(s3Event([KEY]), contextWith(5000)).then(() => assert.equal(dead, 1), () => assert.equal(dead, 0));
    assert.equal(sqs.messages.length, dead);
  });
}

test('a body that breaks off fails the object and spoils nothing behind it', async (t) => {
  quiet(t);
  const broken = () => ({
    ContentLength: OBJECT.length,
    Body: Readable.from((function* () {
      yield OBJECT.subarray(0, 500);
      throw new Error('aborted by S3');
    })()),
  });
  useServices(t, { s3: fakeS3({ [KEY]: broken, good: OBJECT }) });
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  await assert.rejects(handler(s3Event([KEY]), contextWith(5000)), /aborted by S3/);
  assert.deepEqual(await handler(s3Event(['good']), contextWith(5000)), OK_RESULT);
  assert.deepEqual(daemon.payloads, [OBJECT]);
});

for (const [name, length] of [['shorter', OBJECT.length + 5], ['longer', OBJECT.length - 5]]) {
  test(`a body that is ${name} than announced is an error, never a payload`, async (t) => {
    quiet(t);
    useServices(t, { s3: fakeS3({ [KEY]: () => ({ ContentLength: length, Body: Readable.from([OBJECT]) }) }) });
    const daemon = await startDaemon(t);
    useDaemon(t, daemon);
    await assert.rejects(handler(s3Event([KEY]), contextWith(3000)), /another length/);
    assert.deepEqual(daemon.payloads, []);
  });
}

for (const length of [0, 3, 100]) {
  test(`a body that stalls after ${length} bytes ends with the time there is`, async (t) => {
    quiet(t);
    const stall = () => {
      const Body = new Readable({ read() {} });
      Body.push(OBJECT.subarray(0, length));
      return { ContentLength: OBJECT.length, Body };
    };
    useServices(t, { s3: fakeS3({ [KEY]: stall }) });
    useDaemon(t, await startDaemon(t));
    await assert.rejects(handler(s3Event([KEY]), contextWith(1000)), /in the time|no reply/);
  });
}

test('a connection that ends while an object is sent: the object is read and sent anew', async (t) => {
  const s3 = fakeS3({ [KEY]: OBJECT });
  useServices(t, { s3 });
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number === 2) {
      socket.destroy();
      return undefined;
    }
    return OK;
  });
  useDaemon(t, daemon);
  await handler(s3Event([KEY]), contextWith(5000));
  assert.deepEqual(await handler(s3Event([KEY]), contextWith(5000)), OK_RESULT);
  assert.equal(s3.asked.length, 3);
  assert.deepEqual(daemon.payloads, [OBJECT, OBJECT, OBJECT]);
});

test('an object larger than VPCFLOWD_MAX_PAYLOAD goes in gzipped pieces, each with the header', async (t) => {
  const lines = Array.from({ length: 90_000 }, (_, i) => flowLine(i));
  const large = zlib.gzipSync(`${HEADER}\n${lines.join('\n')}\n`);
  useServices(t, { s3: fakeS3({ [KEY]: large }) });
  useSettings(t, { VPCFLOWD_MAX_PAYLOAD: '64K' });
  assert.ok(large.length > 65_536);
  const daemon = await startDaemon(t, (bytes) => counts(linesOf(bytes).length - 1));
  useDaemon(t, daemon);
  assert.equal((await handler(s3Event([KEY]), contextWith(20_000))).exported, lines.length);
  assert.ok(daemon.payloads.length > 1);
  assert.deepEqual(daemon.payloads.map((bytes) => linesOf(bytes)[0]), daemon.payloads.map(() => HEADER));
  assert.deepEqual(daemon.payloads.flatMap((bytes) => linesOf(bytes).slice(1)), lines);
});

test('an object that inflates to more than the daemon takes (413) goes in pieces too', async (t) => {
  useServices(t, { s3: fakeS3({ [KEY]: OBJECT }) });
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number === 1) {
      socket.end('ERR 413 larger than max_inflated\n');
      return undefined;
    }
    return counts(linesOf(bytes).length - 1);
  });
  useDaemon(t, daemon);
  assert.equal((await handler(s3Event([KEY]), contextWith(5000))).exported, 300);
  assert.equal(daemon.payloads.length, 2);
});

test('plain text that is too large is cut as well', async (t) => {
  const plain = Buffer.from(`${HEADER}\n${text(200)}`);
  useServices(t, { s3: fakeS3({ 'plain.log': plain }) });
  useSettings(t, { VPCFLOWD_MAX_PAYLOAD: '1K' });
  const daemon = await startDaemon(t, (bytes) => counts(linesOf(bytes).length - 1));
  useDaemon(t, daemon);
  assert.equal((await handler(s3Event(['plain.log']), contextWith(5000))).exported, 200);
});

async function pieces(bytes, { gzipped = false, size, chunk = 100 }) {
  const chunks = [];
  for (let at = 0; at < bytes.length; at += chunk) {
    chunks.push(bytes.subarray(at, at + chunk));
  }
  const found = [];
  for await (const piece of piecesOf(chunks, gzipped, size)) {
    found.push(piece);
  }
  return found;
}

test('pieces are the same however the file\'s bytes arrive, so that a repeat is known', async () => {
  const plain = Buffer.from(`${HEADER}\n${text(120)}`);
  const want = await pieces(plain, { size: 700 });
  assert.ok(want.length > 10);
  for (const chunk of [1, 7, 699, 700, 701, 5000, 1e9]) {
    assert.deepEqual(await pieces(plain, { size: 700, chunk }), want, `chunks of ${chunk}`);
    assert.deepEqual(await pieces(zlib.gzipSync(plain), { gzipped: true, size: 700, chunk }), want);
  }
  assert.equal(want.reduce((sum, { lines }) => sum + lines, 0), 120);
});

test('of files put together each piece has the header that its lines were under', async () => {
  const other = HEADER.split(' ').reverse().join(' ');
  const turned = text(40).trim().split('\n').map((line) => line.split(' ').reverse().join(' ')).join('\n');
  const members = [`${HEADER}\n${text(40)}`, `${other}\n${turned}`].map((part) => zlib.gzipSync(part));
  for (const size of [150, 400, 1000, 3000, 1e6]) {
    let records = 0;
    for (const { bytes } of await pieces(Buffer.concat(members), { gzipped: true, size })) {
      let header = null;
      for (const line of linesOf(bytes)) {
        if (line === HEADER || line === other) {
          header = line;
        } else {
          records += 1;
          assert.equal(line.startsWith('2 2109'), header === HEADER, `piece size ${size}: ${line}`);
        }
      }
    }
    assert.equal(records, 80);
  }
});

test('damaged gzip and a line without an end are refused', async () => {
  const half = OBJECT.subarray(0, OBJECT.length / 2);
  await assert.rejects(pieces(half, { gzipped: true, size: 100 }), { refused: true, message: /gzip data is damaged/ });
  const endless = Buffer.alloc(2_000_000, 'x');
  await assert.rejects(pieces(endless, { size: 1000, chunk: 65_536 }), { refused: true, message: /a line of more/ });
});

test('a piece without a readable line counts as rejected lines, a whole file like it as refused', async (t) => {
  quiet(t);
  t.mock.method(console, 'warn', () => {});
  const plain = Buffer.from(`${HEADER}\n${text(200)}`);
  useServices(t, { s3: fakeS3({ 'plain.log': plain }) });
  useSettings(t, { VPCFLOWD_MAX_PAYLOAD: '1K' });
  useDaemon(t, await startDaemon(t, () => 'ERR 422 no record could be read\n'));
  await assert.rejects(handler(s3Event(['plain.log']), contextWith(5000)), /ERR 422/);
});

test('an object of 128 MiB is sent, and split, without being held in memory', { timeout: 120_000 }, async (t) => {
  const { measure } = await import('./memory.mjs');
  const whole = await measure(t, { maxPayload: '1G' });
  assert.equal(whole.sent, 129 * 1024 * 1024, 'the large object and, before it, a small one');
  assert.ok(whole.grown < 80, `streaming took ${whole.grown.toFixed(0)} MiB more`);
  const split = await measure(t, { maxPayload: '16M' });
  assert.ok(split.sent > 0);
  assert.ok(split.grown < 80, `splitting took ${split.grown.toFixed(0)} MiB more`);
});
