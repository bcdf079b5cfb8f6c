// Events as others have recorded them, where they are at hand (VPCFLOWD_SHARED, else ../shared beside the repository):
// each goes through the function into the daemon, and nfcapd tells what arrived. A file without an entry here fails.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';

import { handler } from '../../lambda/index.mjs';
import { haveOpenssl, makeCertificates } from './certificates.mjs';
import { contextWith, useDaemon, useSettings } from './daemon.mjs';
import { fakeS3, useServices } from './fakes.mjs';
import { FIELDS, has, options, startNfcapd, startVpcflowd, storedForm } from './vpcflowd.mjs';

const shared = process.env.VPCFLOWD_SHARED || fileURLToPath(new URL('../../../shared', import.meta.url));
const data = join(shared, 'data');
const FLOW_LOG = 'AWSLogs/123456789010/vpcflowlogs/us-east-1/2014/12/14/' +
  '123456789010_vpcflowlogs_us-east-1_fl-1234abcd_20141214T0405Z_fe123456.log.gz';

const throwing = (message) => ({ throws: message });
// In a batch, records that are refused are passed over (Kinesis) or left to the queue (SQS).
const failing = (count) => ({ failures: count });
const exporting = (exported, skipped, rejected = 0) => ({ exported, skipped, rejected, duplicate: 0 });

const EXPECTED = {
  'lambda/derived-control.event.json': 'control',
  'lambda/derived-default-v2.event.json': exporting(5, 2),
  'lambda/derived-default-v2.payload.json': throwing(/keys messageType/),
  'lambda/derived-kentik.event.json': exporting(6, 0),
  'lambda/derived-truncated-gzip.event.json': throwing(/ERR 400/),
  'lambda/lambdago-cloudwatch-logs-event.json': throwing(/ERR 422/),
  'lambda/sumo-large-cwl-events.jsonl': throwing(/ERR 422/),
  'kinesis/derived-flowlogs.event.json': failing(0),
  'kinesis/lambdago-kinesis-event.json': failing(0),
  'kinesis/lambdago-kinesis-time-window-event.json': failing(0),
  'kinesis/powertools-kinesisStreamCloudWatchLogsEvent.json': failing(0),
  'kinesis/powertools-kinesisStreamEventOneRecord.json': failing(0),
  's3/datadog-sqs_s3.json': failing(1),
  's3/datadog-sqs_sns_s3.json': failing(1),
  's3/derived-sqs-flowlog-object.json': failing(0),
  's3/lambdago-s3-event-with-decoded.json': throwing(/Happy Face\.jpg: S3 says NoSuchKey/),
  's3/lambdago-sqs-event.json': failing(1),
  's3/powertools-s3Event.json': throwing(/NoSuchKey/),
  's3/powertools-s3EventDeleteObject.json': exporting(0, 0),
  's3/powertools-s3SqsEvent.json': failing(1),
  's3/powertools-snsSqsEvent.json': failing(1),
  'firehose/awsdocs-response-failure.json': throwing(/expected a CloudWatch Logs event/),
  'firehose/awsdocs-response-success.json': throwing(/expected a CloudWatch Logs event/),
  'firehose/derived-http-request.json': throwing(/keys requestId, timestamp, records/),
  'firehose/elastic-message-field.ndjson': throwing(/keys message/),
  'firehose/lambdago-kinesis-firehose-event.json': throwing(/Firehose transformation event/),
  'firehose/lambdago-kinesis-firehose-response.json': throwing(/keys records/),
  'firehose/otel-firehose-request.json': throwing(/keys requestId/),
  'firehose/splunk-direct-transform-event.json': throwing(/Firehose transformation event/),
};

const isEvent = (name) => /\.(json|jsonl|ndjson)$/.test(name);
const eventsOf = (text) => {
  try {
    return [JSON.parse(text)];
  } catch {
    return text.trim().split('\n').map((line) => JSON.parse(line));
  }
};
const gunzip = (base64) => zlib.gunzipSync(Buffer.from(base64, 'base64')).toString('utf8');

// The flow records within an event, found without the function's code or the daemon's.
function recordsOf(name, event) {
  const texts = [event.awslogs?.data, ...(event.Records ?? []).map((record) => record.kinesis?.data)];
  const messages = texts.flatMap((text) => {
    try {
      return JSON.parse(gunzip(text)).logEvents.map(({ message }) => message);
    } catch {
      return [];
    }
  });
  if (name === 's3/derived-sqs-flowlog-object.json') {
    messages.push(...zlib.gunzipSync(readFileSync(join(data, 's3', FLOW_LOG))).toString().split('\n').slice(1));
  }
  return messages.filter((line) => line.split(' ').length === FIELDS.length && line.endsWith(' OK'));
}

async function check(name, event, expected) {
  if (expected.throws !== undefined) {
    await assert.rejects(handler(event, contextWith(20_000)), expected.throws, name);
    return;
  }
  const answer = await handler(event, contextWith(20_000));
  if (expected === 'control') {
    assert.deepEqual([answer.exported, answer.rejected], [0, 0], name);
  } else if (expected.failures !== undefined) {
    assert.equal(answer.batchItemFailures.length, expected.failures, name);
  } else {
    assert.deepEqual(answer, expected, name);
  }
}

// nfdump shows an ICMP type and code in the port's place, and the address in its own form.
const shown = (line) => {
  const words = line.split(' ');
  words[3] = words[3].split('.')[0];
  return words.join(' ');
};

const skip = options.skip || (existsSync(data) ? false : 'the recorded events are not here') ||
  (has('nfcapd') && has('nfdump') ? false : 'nfdump is not installed');

const tlsSkip = skip || (haveOpenssl ? false : 'openssl is not installed');
const certificates = tlsSkip ? null : makeCertificates();
after(() => certificates?.remove());

const sendsEverything = (listener, settings) => async (t) => {
  t.mock.method(console, 'error', () => {});
  t.mock.method(console, 'warn', () => {});
  const collector = await startNfcapd(t);
  const daemon = await startVpcflowd(t, {
    conf: `[listener]\naddress = 127.0.0.1:0\n${listener}\n[collector "nfcapd"]\ntransport = udp\n` +
      `address = 127.0.0.1:${collector.port}\n\n[vpc "default"]\nexporter_ip = 127.0.0.7\n`,
  });
  useDaemon(t, daemon);
  useSettings(t, settings);
  const objects = { [FLOW_LOG]: readFileSync(join(data, 's3', FLOW_LOG)) };
  useServices(t, { s3: fakeS3(objects) });

  const sent = [];
  for (const folder of ['lambda', 'kinesis', 's3', 'firehose']) {
    for (const file of readdirSync(join(data, folder)).filter(isEvent)) {
      const name = `${folder}/${file}`;
      assert.ok(EXPECTED[name] !== undefined, `${name} has no entry in this test`);
      for (const event of eventsOf(readFileSync(join(data, name), 'utf8'))) {
        await check(name, event, EXPECTED[name]);
        sent.push(...(EXPECTED[name].throws === undefined ? recordsOf(name, event) : []));
      }
    }
  }
  assert.ok(sent.length > 20, `${sent.length} records`);
  assert.equal(await daemon.stop(), 0);
  const stored = await collector.stop();
  // A payload that comes again is exported once; the samples repeat each other's records.
  const unique = (lines) => [...new Set(lines)].sort();
  assert.deepEqual(unique(stored.map(shown)), unique(sent.map(storedForm).map(shown)));
};

const promise = 'the answer is the expected one, and nfcapd has its records';
test(`every recorded event over TCP: ${promise}`, { skip }, sendsEverything('', {}));
test(`every recorded event over TLS: ${promise}`, { skip: tlsSkip }, (t) => sendsEverything(
  `tls_certificate = ${certificates.path('server.crt')}\ntls_key = ${certificates.path('server.key')}\n`,
  { VPCFLOWD_TLS: '1', VPCFLOWD_CA: readFileSync(certificates.path('ca.crt'), 'utf8') })(t));
