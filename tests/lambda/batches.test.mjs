// Kinesis and SQS: the identifiers that go back to AWS are those of the records that are not safe, and no others.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { handler } from '../../lambda/index.mjs';
import {
  OK, cloudWatchEvent, contextWith, destinationRecord, flowLine, gzipOf, kinesisEvent, messageId, sequenceNumber,
  snsEnvelope, sqsEvent, startDaemon, useDaemon, useSettings,
} from './daemon.mjs';
import { awsError, fakeSqs, useServices } from './fakes.mjs';

const COUNT = 7;
const QUEUE = 'https://sqs.eu-central-1.amazonaws.com/210987654321/dead';
const payloadNumber = (i) => gzipOf(cloudWatchEvent([flowLine(i)]));
const payloads = Array.from({ length: COUNT }, (_, i) => payloadNumber(i));
const failures = (...ids) => ({ batchItemFailures: ids.map((itemIdentifier) => ({ itemIdentifier })) });
const quiet = (t) => t.mock.method(console, 'error', () => {});
const logged = (mock) => mock.mock.calls.map((call) => call.arguments.join(' ')).join('\n');
const isPayload = (bytes, i) => bytes.equals(payloads[i]);
// Answers by what came, not by when: a payload may come again.
const answering = (reply, k) => (bytes) => (isPayload(bytes, k) ? reply : OK);

const sources = {
  kinesis: { event: () => kinesisEvent(payloads), id: sequenceNumber },
  sqs: { event: () => sqsEvent(payloads.map((p) => ({ awslogs: { data: p.toString('base64') } }))), id: messageId },
};

test('Kinesis records go out in order, unchanged, on one connection and without waiting for replies', async (t) => {
  let late = [];
  const daemon = await startDaemon(t, (bytes, socket) => {
    // Nothing is answered before all have come.
    late.push(socket);
    if (late.length === COUNT) {
      late.forEach((s) => s.write(OK));
      late = [];
    }
  });
  useDaemon(t, daemon);
  assert.deepEqual(await handler(kinesisEvent(payloads), contextWith(5000)), failures());
  assert.deepEqual(daemon.payloads, payloads);
  assert.equal(daemon.connections, 1);
});

for (const [name, { event, id }] of Object.entries(sources)) {
  test(`${name}: whichever record gets a 5xx is the one reported`, async (t) => {
    quiet(t);
    for (let k = 0; k < COUNT; k += 1) {
      const daemon = await startDaemon(t, answering('ERR 503 busy\n', k));
      useDaemon(t, daemon);
      assert.deepEqual(await handler(event(), contextWith(5000)), failures(id(k)), `record ${k}`);
    }
  });

  test(`${name}: a daemon that dies at the k-th record: the k-th and those behind it are reported`, async (t) => {
    quiet(t);
    for (let k = 0; k < COUNT; k += 1) {
      // Dead for good: the listener goes as well, so that nothing can be sent once more.
      const daemon = await startDaemon(t, (bytes) => {
        if (isPayload(bytes, k)) {
          void daemon.stop();
          return undefined;
        }
        return daemon.payloads.some((seen) => isPayload(seen, k)) ? undefined : OK;
      });
      useDaemon(t, daemon);
      const { batchItemFailures } = await handler(event(), contextWith(5000));
      const reported = batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
      const want = Array.from({ length: COUNT - k }, (_, i) => id(k + i));
      // Replies on their way when the connection breaks may be lost: more may be reported, never less.
      assert.deepEqual(reported.slice(-want.length), want, `record ${k}`);
    }
  });

  test(`${name}: a record without a reply in time is reported, those answered before it are not`, async (t) => {
    quiet(t);
    for (const k of [0, 3, COUNT - 1]) {
      const daemon = await startDaemon(t, (bytes) =>
        (daemon.payloads.some((seen) => isPayload(seen, k)) ? undefined : OK));
      useDaemon(t, daemon);
      const want = Array.from({ length: COUNT - k }, (_, i) => id(k + i));
      assert.deepEqual(await handler(event(), contextWith(1200)), failures(...want));
    }
  });

  test(`${name}: nobody listens: everything is reported, nothing thrown`, async (t) => {
    const log = quiet(t);
    const daemon = await startDaemon(t);
    await daemon.stop();
    useDaemon(t, daemon);
    const all = Array.from({ length: COUNT }, (_, i) => id(i));
    assert.deepEqual(await handler(event(), contextWith(5000)), failures(...all));
    assert.equal(log.mock.calls.length, 1, 'one cause, one line');
    assert.match(logged(log), new RegExp(`and ${COUNT - 1} more: not safe: .*ECONNREFUSED`));
  });

  test(`${name}: a 4xx goes to the dead-letter queue with the event that holds it, and is done`, async (t) => {
    const log = quiet(t);
    const sqs = fakeSqs();
    useServices(t, { sqs });
    useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
    for (let k = 0; k < COUNT; k += 1) {
      const daemon = await startDaemon(t, answering('ERR 422 no record could be read\n', k));
      useDaemon(t, daemon);
      assert.deepEqual(await handler(event(), contextWith(5000)), failures(), `record ${k}`);
      const { queue, body } = sqs.messages.pop();
      assert.equal(sqs.messages.length, 0);
      assert.equal(queue, QUEUE);
      assert.deepEqual(body.requestPayload, { Records: [event().Records[k]] });
      assert.match(body.responsePayload.errorMessage, /ERR 422/);
    }
    assert.match(logged(log), /refused for good: .*ERR 422 .*in the dead-letter queue/);
  });

  test(`${name}: what the dead-letter queue does not take is reported`, async (t) => {
    const log = quiet(t);
    useServices(t, { sqs: fakeSqs({ fail: awsError('AccessDenied', 'not allowed') }) });
    useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
    const daemon = await startDaemon(t, answering('ERR 422 no record could be read\n', 2));
    useDaemon(t, daemon);
    assert.deepEqual(await handler(event(), contextWith(5000)), failures(id(2)));
    assert.match(logged(log), /did not take it: AccessDenied/);
  });

  test(`${name}: a wrong token is nobody's payload's fault: all are reported, none is dead-lettered`, async (t) => {
    const log = quiet(t);
    const sqs = fakeSqs();
    useServices(t, { sqs });
    const daemon = await startDaemon(t, () => OK, { tokens: ['right'] });
    useDaemon(t, daemon);
    useSettings(t, { VPCFLOWD_TOKEN: 'wr0ng-t0ken', VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
    const all = Array.from({ length: COUNT }, (_, i) => id(i));
    assert.deepEqual(await handler(event(), contextWith(5000)), failures(...all));
    assert.deepEqual(sqs.messages, []);
    assert.match(logged(log), /ERR 401/);
    assert.doesNotMatch(logged(log), /wr0ng/);
  });
}

test('Kinesis without a dead-letter queue: a 4xx is logged with where it lies, and passed over', async (t) => {
  const log = quiet(t);
  const daemon = await startDaemon(t, answering('ERR 400 malformed\n', 3));
  useDaemon(t, daemon);
  assert.deepEqual(await handler(kinesisEvent(payloads), contextWith(5000)), failures());
  const text = logged(log);
  assert.ok(text.includes(sequenceNumber(3)), text);
  assert.match(text, /stream flow-logs, shardId-000000000003.*passed over.*VPCFLOWD_DEAD_LETTER_QUEUE_URL/);
});

test('Kinesis: a record too large for the dead-letter queue does not block the shard', async (t) => {
  const log = quiet(t);
  useServices(t, { sqs: fakeSqs({ fail: awsError('InvalidMessageContents', 'message must be shorter') }) });
  useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
  const daemon = await startDaemon(t, answering('ERR 400 malformed\n', 3));
  useDaemon(t, daemon);
  assert.deepEqual(await handler(kinesisEvent(payloads), contextWith(5000)), failures());
  assert.match(logged(log), /InvalidMessageContents/);
});

test('Kinesis: aggregates of the KPL are reported, and the log says what to switch off', async (t) => {
  const log = quiet(t);
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const aggregate = Buffer.concat([Buffer.from('f3899ac2', 'hex'), Buffer.from('0a0161', 'hex'), Buffer.alloc(16, 7)]);
  const event = kinesisEvent([payloads[0], aggregate, payloads[2], aggregate]);
  assert.deepEqual(await handler(event, contextWith(5000)), failures(sequenceNumber(1), sequenceNumber(3)));
  assert.deepEqual(daemon.payloads, [payloads[0], payloads[2]]);
  assert.match(logged(log), /Kinesis Producer Library.*AggregationEnabled=false/);
});

test('Kinesis: aggregates of the KPL stay in the stream, also where there is a dead-letter queue', async (t) => {
  quiet(t);
  const sqs = fakeSqs();
  useServices(t, { sqs });
  useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
  useDaemon(t, await startDaemon(t));
  const event = kinesisEvent([payloads[0], Buffer.from('f3899ac20a0161', 'hex')]);
  assert.deepEqual(await handler(event, contextWith(5000)), failures(sequenceNumber(1)));
  assert.deepEqual(sqs.messages, []);
});

test('Kinesis: the state of a time window goes back as it came', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const event = { ...kinesisEvent(payloads), window: { start: 'a', end: 'b' }, state: { seen: 3 } };
  assert.deepEqual(await handler(event, contextWith(5000)), { state: { seen: 3 }, ...failures() });
});

test('Kinesis: a batch of 10,000 records', async (t) => {
  const daemon = await startDaemon(t, (bytes) => (bytes.equals(payloads[5]) ? 'ERR 500 a fault\n' : OK));
  useDaemon(t, daemon);
  quiet(t);
  const many = Array.from({ length: 10_000 }, (_, i) => payloads[i === 7777 ? 5 : 0]);
  assert.deepEqual(await handler(kinesisEvent(many), contextWith(30_000)), failures(sequenceNumber(7777)));
  assert.equal(daemon.payloads.length, 10_000);
});

test('SQS without a dead-letter queue of the function\'s: a 4xx is left to the queue\'s own', async (t) => {
  quiet(t);
  const daemon = await startDaemon(t, answering('ERR 400 malformed\n', 3));
  useDaemon(t, daemon);
  assert.deepEqual(await handler(sources.sqs.event(), contextWith(5000)), failures(messageId(3)));
});

test('SQS: a message of the dead-letter queue itself is not sent round in a circle', async (t) => {
  quiet(t);
  const sqs = fakeSqs();
  useServices(t, { sqs });
  useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
  const daemon = await startDaemon(t, answering('ERR 400 malformed\n', 0));
  useDaemon(t, daemon);
  const event = sqsEvent([destinationRecord({ awslogs: { data: payloads[0].toString('base64') } })], { queue: 'dead' });
  assert.deepEqual(await handler(event, contextWith(5000)), failures(messageId(0)));
  assert.deepEqual(sqs.messages, []);
});

test('SQS: redriven events in every form go to the daemon', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const event = cloudWatchEvent([flowLine(1)]);
  const dead = { requestContext: { condition: 'Refused' }, requestPayload: kinesisEvent([payloads[2]]) };
  const bodies = [
    event,
    destinationRecord(event),
    snsEnvelope(event),
    dead,
    destinationRecord(sqsEvent([destinationRecord(event)])),
  ];
  assert.deepEqual(await handler(sqsEvent(bodies), contextWith(5000)), failures());
  assert.deepEqual(daemon.payloads, [gzipOf(event), gzipOf(event), gzipOf(event), payloads[2], gzipOf(event)]);
});

test('SQS: messages that hold nothing known are reported, each with its reason; the others go through', async (t) => {
  const log = quiet(t);
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const batch = { KinesisBatchInfo: { streamArn: 'arn:…:stream/x', shardId: 's-1', startSequenceNumber: '1' } };
  let deep = cloudWatchEvent([flowLine(1)]);
  for (let i = 0; i < 9; i += 1) {
    deep = destinationRecord(deep);
  }
  const bodies = ['not JSON', { some: 'thing' }, cloudWatchEvent([flowLine(1)]), batch, deep, '7', 'null', '[]'];
  const want = [0, 1, 3, 4, 5, 6, 7].map(messageId);
  assert.deepEqual(await handler(sqsEvent(bodies), contextWith(5000)), failures(...want));
  assert.equal(daemon.payloads.length, 1);
  for (const reason of [/is not JSON/, /the keys some/, /names Kinesis records/, /events within one another/]) {
    assert.match(logged(log), reason);
  }
});

test('SQS: a test event and an empty notification are done without asking the daemon', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const bodies = [{ Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: 'flow-logs' }, { Records: [] }];
  assert.deepEqual(await handler(sqsEvent(bodies), contextWith(5000)), failures());
  assert.equal(daemon.connections, 0);
});

test('CloudWatch Logs: a 4xx goes to the dead-letter queue, if there is one, and the event is done', async (t) => {
  quiet(t);
  const sqs = fakeSqs();
  useServices(t, { sqs });
  useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
  const daemon = await startDaemon(t, () => 'ERR 422 no record could be read\n');
  useDaemon(t, daemon);
  const event = cloudWatchEvent([flowLine(1)]);
  const result = await handler(event, contextWith(5000));
  assert.deepEqual(result, { exported: 0, skipped: 0, rejected: 0, duplicate: 0, deadLettered: 1 });
  assert.deepEqual(sqs.messages[0].body.requestPayload, event);
  // What lies there is an event that the function takes again.
  const again = await startDaemon(t);
  useDaemon(t, again);
  assert.deepEqual(await handler(sqsEvent([sqs.messages[0].body]), contextWith(5000)), failures());
  assert.deepEqual(again.payloads, [gzipOf(event)]);
});

test('CloudWatch Logs: a 4xx that the dead-letter queue does not take is thrown', async (t) => {
  quiet(t);
  useServices(t, { sqs: fakeSqs({ fail: awsError('AccessDenied') }) });
  useSettings(t, { VPCFLOWD_DEAD_LETTER_QUEUE_URL: QUEUE });
  const daemon = await startDaemon(t, () => 'ERR 422 no record could be read\n');
  useDaemon(t, daemon);
  await assert.rejects(handler(cloudWatchEvent([flowLine(1)]), contextWith(5000)), /ERR 422/);
});

test('a Firehose transformation event is told where Firehose should deliver', async (t) => {
  useDaemon(t, { port: 1 });
  const event = { invocationId: 'i', deliveryStreamArn: 'arn:…', records: [{ recordId: '1', data: 'e30=' }] };
  await assert.rejects(handler(event, contextWith(5000)), /Firehose transformation event.*HTTP endpoint/);
});
