// The Lambda function: takes what AWS invokes it with, hands the compressed bytes to vpcflowd, and returns once the
// daemon says that their records are safe. Anything else throws, so that AWS tries the event again and, when its
// tries are used up, sends it to the function's on-failure destination.

import { isIP } from 'node:net';

import { DaemonConnection } from './connection.mjs';

const DEFAULT_PORT = 20555;
// Without a context (a run outside Lambda) a reply is waited for this long.
const DEFAULT_TIMEOUT_MS = 30_000;
// Kept back from the invocation's time, so that the error is thrown and logged before Lambda ends the process.
const RESERVE_MS = 500;

// Connections outlive invocations: Lambda keeps the process, frozen, for the next event.
const connections = new Map();

export async function handler(event, context) {
  const payload = payloadOf(event);
  const { host, port } = readSettings(process.env);
  const result = await connectionTo(host, port).send(payload, timeLeft(context));
  if (result.rejected > 0) {
    console.warn(`vpcflowd could not read ${result.rejected} of this payload's lines; its log says why`);
  }
  return result;
}

// The bytes to send, by the event's shape.
function payloadOf(event) {
  const data = event?.awslogs?.data;
  if (typeof data === 'string') {
    const payload = Buffer.from(data, 'base64');
    if (payload.length === 0) {
      throw new Error('awslogs.data of this CloudWatch Logs event holds no base64 data');
    }
    return payload;
  }
  throw new Error(`expected a CloudWatch Logs event, {"awslogs": {"data": "<base64>"}}, but got ${describe(event)}`);
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

// Read at each invocation, so that a mended setting needs no new code.
function readSettings(env) {
  const host = (env.VPCFLOWD_HOST ?? '').trim().replace(/^\[(.*)\]$/, '$1');
  if (host === '') {
    throw new Error('VPCFLOWD_HOST is not set: it names the host that vpcflowd listens on');
  }
  if (isIP(host) === 0 && !/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(host)) {
    throw new Error(
      `VPCFLOWD_HOST must be one host name or IP address (its port goes into VPCFLOWD_PORT), not "${host}"`,
    );
  }

  const text = (env.VPCFLOWD_PORT ?? '').trim();
  const port = text === '' ? DEFAULT_PORT : Number(text);
  if (!/^[0-9]*$/.test(text) || port < 1 || port > 65535) {
    throw new Error(`VPCFLOWD_PORT must be a number from 1 to 65535, not "${text}"`);
  }
  return { host, port };
}

function connectionTo(host, port) {
  const key = `${host} ${port}`;
  let connection = connections.get(key);
  if (connection === undefined) {
    connection = new DaemonConnection(host, port);
    connections.set(key, connection);
  }
  return connection;
}

// How long this invocation may wait for its reply, in milliseconds; with little time left, a tenth of it.
function timeLeft(context) {
  const remaining = context?.getRemainingTimeInMillis?.();
  if (!Number.isFinite(remaining)) {
    return DEFAULT_TIMEOUT_MS;
  }
  return Math.max(0, remaining - RESERVE_MS, remaining / 10);
}
