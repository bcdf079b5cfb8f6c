// What the function is invoked with: an event's shape tells its source, and the source what there is to send.
//
// An item is one thing to be made safe:
//   { label, event, key, payload }   payload() → the bytes to send; key() → what the daemon is chosen by
//   { label, event, object }         an S3 object, { bucket, key }
//   { label, event, refused }        nothing that vpcflowd could take: a Refused error; with `blocks`, what is behind
//                                    it would be no better
// `label` names it in logs; `event` is an event that holds this item alone, for the dead-letter queue.

import { logStreamOf } from './log_stream.mjs';
import { Refused } from './protocol.mjs';

// An event within a message within a notification, and so on.
const DEPTH_MAX = 6;
const KPL_MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const EXPECTED =
  'expected a CloudWatch Logs event, {"awslogs": {"data": "<base64>"}}, or one of Kinesis, S3, SQS, SNS or ' +
  'EventBridge';

// The event's source: 'kinesis' and 'sqs' report each record, everything else is 'async': done or failed as a whole.
export function sourceOf(event) {
  const records = Array.isArray(event?.Records) ? event.Records : [];
  if (records.length > 0 && records.every((record) => typeof record?.kinesis?.data === 'string')) {
    return 'kinesis';
  }
  if (records.length > 0 && records.every(isSqsRecord)) {
    return 'sqs';
  }
  return 'async';
}

const isSqsRecord = (record) => record?.eventSource === 'aws:sqs' && typeof record.body === 'string';

// The items of an event, in its order. Throws a Refused error at an event of no known shape.
export function itemsOf(event, depth = 0) {
  if (depth > DEPTH_MAX) {
    throw new Refused(`more than ${DEPTH_MAX} events within one another`);
  }
  if (typeof event?.awslogs?.data === 'string') {
    return [cloudWatchItem(event)];
  }
  if (Array.isArray(event?.Records)) {
    return event.Records.flatMap((record) => recordItems(record, event, depth));
  }
  if (event?.source === 'aws.s3' && typeof event['detail-type'] === 'string') {
    return eventBridgeItems(event);
  }
  if (event?.Event === 's3:TestEvent') {
    return [];
  }
  if (event?.Type === 'Notification' && typeof event.Message === 'string') {
    return itemsOf(parse(event.Message, 'the SNS message'), depth + 1);
  }
  if (event?.requestPayload !== undefined && event.requestContext !== undefined) {
    return itemsOf(event.requestPayload, depth + 1);
  }
  throw unknown(event);
}

function cloudWatchItem(event) {
  const label = 'the CloudWatch Logs payload';
  const payload = Buffer.from(event.awslogs.data, 'base64');
  if (payload.length === 0) {
    throw new Refused('awslogs.data of this CloudWatch Logs event holds no base64 data');
  }
  return { label, event, key: () => logStreamOf(payload), payload: () => payload };
}

function recordItems(record, event, depth) {
  if (typeof record?.kinesis?.data === 'string') {
    return [kinesisItem(record)];
  }
  if (isSqsRecord(record)) {
    return sqsItems(record, depth);
  }
  if (record?.s3 !== undefined) {
    return s3Items(record);
  }
  if (typeof record?.Sns?.Message === 'string') {
    return itemsOf(parse(record.Sns.Message, 'the SNS message'), depth + 1);
  }
  throw unknown(event);
}

function kinesisItem(record) {
  const { data, sequenceNumber, partitionKey } = record.kinesis;
  const stream = (record.eventSourceARN ?? '').replace(/^.*stream\//, '');
  const shard = (record.eventID ?? '').split(':')[0];
  const item = {
    label: `Kinesis record ${sequenceNumber} (stream ${stream || 'unknown'}, ${shard || 'shard unknown'})`,
    event: { Records: [record] },
    key: () => partitionKey ?? sequenceNumber ?? '',
    payload: () => Buffer.from(data, 'base64'),
  };
  const head = Buffer.from(data.slice(0, 8), 'base64');
  if (head.length === 0) {
    item.refused = new Refused('the record is empty');
  } else if (head.subarray(0, 4).equals(KPL_MAGIC)) {
    item.refused = new Refused(
      'the record is an aggregate of the Kinesis Producer Library, which vpcflowd does not read: switch aggregation ' +
        'off at the producer (AggregationEnabled=false); CloudWatch Logs never aggregates',
    );
    // Everything of this producer is like it: that must be noticed, so it is neither passed over nor dead-lettered.
    item.blocks = true;
  }
  return item;
}

// The items of a message; a message that cannot be read is an item itself.
export function sqsItems(record, depth = 0) {
  const event = { Records: [record] };
  try {
    return itemsOf(parse(record.body, 'the SQS message'), depth + 1).map((item) => ({ ...item, event }));
  } catch (error) {
    return [{ label: `SQS message ${record.messageId}`, event, refused: error }];
  }
}

function s3Items(record) {
  const name = record.eventName ?? '';
  if (name !== '' && !/^(s3:)?ObjectCreated:|^(s3:)?ObjectRestore:Completed$/.test(name)) {
    return [];
  }
  const bucket = record.s3?.bucket?.name;
  const encoded = record.s3?.object?.key;
  if (typeof bucket !== 'string' || typeof encoded !== 'string') {
    throw new Refused('an S3 event without the names of bucket and object (s3.bucket.name, s3.object.key)');
  }
  return objectItems(bucket, decodeKey(encoded), record.s3.object.size, { Records: [record] });
}

// Keys are encoded as HTML forms are: a space is a plus sign.
function decodeKey(key) {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return key;
  }
}

// EventBridge, unlike S3 itself, gives the key as it is.
function eventBridgeItems(event) {
  if (event['detail-type'] !== 'Object Created' && event['detail-type'] !== 'Object Restore Completed') {
    return [];
  }
  const { bucket, object } = event.detail ?? {};
  if (typeof bucket?.name !== 'string' || typeof object?.key !== 'string') {
    throw new Refused('an EventBridge event of S3 without detail.bucket.name and detail.object.key');
  }
  return objectItems(bucket.name, object.key, object.size, event);
}

function objectItems(bucket, key, size, event) {
  // Folders that the console makes, and the like.
  return size === 0 ? [] : [{ label: printable(`s3://${bucket}/${key}`), event, object: { bucket, key } }];
}

function parse(text, what) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused(`${what} is not JSON: ${EXPECTED}`);
  }
}

function unknown(event) {
  if (event?.KinesisBatchInfo !== undefined) {
    const { streamArn, shardId, startSequenceNumber, endSequenceNumber } = event.KinesisBatchInfo;
    return new Refused(
      `this failure names Kinesis records and does not hold them: read ${startSequenceNumber} to ` +
        `${endSequenceNumber} of ${shardId} in ${streamArn} before they expire`,
    );
  }
  if (typeof event?.deliveryStreamArn === 'string' && Array.isArray(event.records)) {
    return new Refused(
      'this is a Firehose transformation event: transformation must give records back, which this function does ' +
        'not. Let Firehose deliver to vpcflowd\'s HTTP endpoint instead',
    );
  }
  return new Refused(`${EXPECTED}, but got ${describe(event)}`);
}

function describe(event) {
  if (event === null || typeof event !== 'object') {
    return event === null ? 'null' : typeof event;
  }
  if (Array.isArray(event)) {
    return 'an array';
  }
  const keys = Object.keys(event);
  return keys.length === 0 ? 'an object without keys' : `an object with the keys ${keys.slice(0, 10).join(', ')}`;
}

// A name from outside, for one line of a log.
function printable(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
}
