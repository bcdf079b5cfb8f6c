// A TCP server that stands in for vpcflowd: it reads counted payloads and does with each what the test says.

import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import zlib from 'node:zlib';

export const OK = 'OK exported=3 skipped=1 rejected=0 duplicate=0\n';
export const OK_RESULT = { exported: 3, skipped: 1, rejected: 0, duplicate: 0 };

// `onPayload(bytes, socket, number)` is called for each payload, numbered from 1 over all connections; a string that
// it returns is sent as the reply. `onConnection(socket, number)` is called for each connection. With `secure`, what
// tls.createServer() takes, it speaks TLS; with `tokens`, a list, one of them must come first, as the daemon has it.
export async function startDaemon(
  t,
  onPayload = () => OK,
  { onConnection = () => {}, port = 0, host = '127.0.0.1', secure = null, tokens = null } = {},
) {
  const daemon = { payloads: [], connections: 0, sockets: new Set(), port: 0, tokens, shown: [] };
  const create = secure === null ? net.createServer : (listener) => tls.createServer(secure, listener);
  const server = create((socket) => {
    daemon.connections += 1;
    daemon.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => daemon.sockets.delete(socket));
    readPayloads(socket, daemon, (payload) => {
      daemon.payloads.push(payload);
      const reply = onPayload(payload, socket, daemon.payloads.length);
      if (typeof reply === 'string') {
        socket.write(reply);
      }
    });
    onConnection(socket, daemon.connections);
  });
  server.on('tlsClientError', () => {});
  server.listen(port, host);
  await once(server, 'listening');
  daemon.port = server.address().port;

  daemon.dropConnections = async (how = 'destroy') => {
    const closed = [...daemon.sockets].map((socket) => once(socket, 'close'));
    for (const socket of daemon.sockets) {
      socket[how]();
    }
    await Promise.all(closed);
  };
  daemon.stop = async () => {
    if (server.listening) {
      server.close();
      await daemon.dropConnections();
    }
  };
  t.after(daemon.stop);
  return daemon;
}

function readPayloads(socket, daemon, onPayload) {
  let bytes = Buffer.alloc(0);
  let welcome = daemon.tokens === null;
  let parts = [];
  let missing = 0;
  socket.on('data', (chunk) => {
    // A large payload comes in many pieces: they are put together once.
    parts.push(chunk);
    missing -= chunk.length;
    if (missing > 0) {
      return;
    }
    bytes = Buffer.concat([bytes, ...parts.splice(0)]);
    for (;;) {
      const newline = bytes.indexOf('\n');
      if (newline < 0) {
        return;
      }
      const header = bytes.subarray(0, newline).toString('latin1');
      const token = /^AUTH (.+)$/.exec(header)?.[1];
      if (token !== undefined) {
        daemon.shown.push(token);
        welcome ||= daemon.tokens.includes(token);
        bytes = bytes.subarray(newline + 1);
      }
      if (!welcome) {
        socket.end('ERR 401 not authorised: the token is none of those in token_file\n');
        return;
      }
      if (token !== undefined) {
        continue;
      }
      const length = Number(/^DATA ([0-9]+)$/.exec(header)?.[1] ?? NaN);
      if (Number.isNaN(length)) {
        socket.destroy(new Error(`not a DATA line: ${header}`));
        return;
      }
      if (bytes.length < newline + 1 + length) {
        missing = newline + 1 + length - bytes.length;
        return;
      }
      const payload = bytes.subarray(newline + 1, newline + 1 + length);
      bytes = bytes.subarray(newline + 1 + length);
      onPayload(Buffer.from(payload));
    }
  });
}

// A CloudWatch Logs event of these flow-log lines, as a subscription delivers it to a Lambda function.
export function cloudWatchEvent(lines, { logGroup = '/aws/vpc/test', messageType = 'DATA_MESSAGE' } = {}) {
  const document = {
    messageType,
    owner: '210987654321',
    logGroup,
    logStream: 'eni-0a1b2c3d4e5f60718-all',
    subscriptionFilters: ['to-vpcflowd'],
    logEvents: lines.map((message, i) => ({ id: String(i), timestamp: 1_750_000_000_000 + i, message })),
  };
  return { awslogs: { data: zlib.gzipSync(JSON.stringify(document)).toString('base64') } };
}

export const gzipOf = (event) => Buffer.from(event.awslogs.data, 'base64');

// A batch as a Kinesis trigger delivers it: each payload is the bytes of one record.
export function kinesisEvent(payloads, { partitionKey = (i) => `stream-${i}` } = {}) {
  return {
    Records: payloads.map((payload, i) => ({
      kinesis: {
        kinesisSchemaVersion: '1.0',
        partitionKey: partitionKey(i),
        sequenceNumber: sequenceNumber(i),
        data: payload.toString('base64'),
        approximateArrivalTimestamp: 1_750_000_000 + i,
      },
      eventSource: 'aws:kinesis',
      eventVersion: '1.0',
      eventID: `shardId-000000000003:${sequenceNumber(i)}`,
      eventName: 'aws:kinesis:record',
      awsRegion: 'eu-central-1',
      eventSourceARN: 'arn:aws:kinesis:eu-central-1:210987654321:stream/flow-logs',
    })),
  };
}

export const sequenceNumber = (i) => `4960000000000000000000000000000000000000000000000000${String(1000 + i)}`;

// A batch as an SQS trigger delivers it: each body is a text, or an object that becomes JSON.
export function sqsEvent(bodies, { queue = 'flow-logs' } = {}) {
  return {
    Records: bodies.map((body, i) => ({
      messageId: messageId(i),
      receiptHandle: `handle-${i}`,
      body: typeof body === 'string' ? body : JSON.stringify(body),
      attributes: { ApproximateReceiveCount: '1' },
      messageAttributes: {},
      eventSource: 'aws:sqs',
      eventSourceARN: `arn:aws:sqs:eu-central-1:210987654321:${queue}`,
      awsRegion: 'eu-central-1',
    })),
  };
}

export const messageId = (i) => `00000000-1111-2222-3333-${String(i).padStart(12, '0')}`;

// S3's own notification of objects; keys are encoded as S3 does.
export function s3Event(keys, { bucket = 'flow-logs', eventName = 'ObjectCreated:Put' } = {}) {
  const encode = (key) => encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%20', '+');
  return {
    Records: keys.map((key) => ({
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      awsRegion: 'eu-central-1',
      eventName,
      s3: { s3SchemaVersion: '1.0', bucket: { name: bucket }, object: { key: encode(key), size: 1000 } },
    })),
  };
}

export const snsEnvelope = (message) => ({
  Type: 'Notification',
  TopicArn: 'arn:aws:sns:eu-central-1:210987654321:flow-logs',
  Message: JSON.stringify(message),
});

export const snsEvent = (message) => ({
  Records: [{ EventSource: 'aws:sns', EventVersion: '1.0', Sns: snsEnvelope(message) }],
});

export const eventBridgeEvent = (key, { bucket = 'flow-logs', detailType = 'Object Created' } = {}) => ({
  version: '0',
  source: 'aws.s3',
  'detail-type': detailType,
  detail: { version: '0', bucket: { name: bucket }, object: { key, size: 1000 } },
});

// What Lambda's on-failure destination for asynchronous invocations holds.
export const destinationRecord = (event) => ({
  version: '1.0',
  requestContext: { condition: 'RetriesExhausted', approximateInvokeCount: 3 },
  requestPayload: event,
  responseContext: { statusCode: 200, functionError: 'Unhandled' },
  responsePayload: { errorMessage: 'vpcflowd was away' },
});

export function flowLine(number) {
  return (
    `2 210987654321 eni-0a1b2c3d4e5f60718 10.20.${number % 250}.9 198.51.100.${number % 250} ` +
    `${(40_000 + number) % 65_536} 443 6 ${10 + number} ${4000 + number} 1750000000 1750000058 ACCEPT OK`
  );
}

export const contextWith = (milliseconds) => ({ getRemainingTimeInMillis: () => milliseconds });

// Points the handler at a daemon for the length of one test.
export function useDaemon(t, { host = '127.0.0.1', port }) {
  useSettings(t, { VPCFLOWD_HOST: host, VPCFLOWD_PORT: port });
}

// Sets environment variables for the length of one test.
export function useSettings(t, settings) {
  const before = Object.fromEntries(Object.keys(settings).map((name) => [name, process.env[name]]));
  const set = (name, value) => {
    if (value === undefined) {
      delete process.env[name];
    } else {
      process.env[name] = String(value);
    }
  };
  Object.entries(settings).forEach(([name, value]) => set(name, value));
  t.after(() => Object.entries(before).forEach(([name, value]) => set(name, value)));
}
