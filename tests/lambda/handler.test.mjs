// The handler, from the event to the reply, against a scripted server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import dns from 'node:dns';
import net from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { handler } from '../../lambda/index.mjs';
import { OK, OK_RESULT, cloudWatchEvent, contextWith, flowLine, gzipOf, startDaemon, useDaemon } from './daemon.mjs';

const event = cloudWatchEvent([flowLine(1), flowLine(2), flowLine(3)]);

test('sends the gzip bytes unchanged and returns the counts of the OK reply', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
  assert.equal(daemon.payloads.length, 1);
  assert.deepEqual(daemon.payloads[0], gzipOf(event));
});

test('a payload of megabytes arrives whole', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const bytes = Buffer.alloc(6_000_000, 0);
  for (let i = 0; i < bytes.length; i += 4) {
    bytes.writeUInt32LE((i * 2654435761) % 4294967296, i);
  }
  await handler({ awslogs: { data: bytes.toString('base64') } }, contextWith(10_000));
  assert.ok(daemon.payloads[0].equals(bytes));
});

test('reads keys of a later version past', async (t) => {
  const daemon = await startDaemon(t, () => 'OK exported=3 skipped=1 rejected=0 duplicate=0 spooled=7\r\n');
  useDaemon(t, daemon);
  assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
});

for (const reply of ['ERR 400 malformed: not gzip', 'ERR 422 no record could be read', 'ERR 503 busy']) {
  test(`throws with the reply's text on ${reply.slice(0, 7)}, and goes on with the same connection`, async (t) => {
    const daemon = await startDaemon(t, (bytes, socket, number) => (number === 1 ? `${reply}\n` : OK));
    useDaemon(t, daemon);
    await assert.rejects(handler(event, contextWith(5000)), (error) => {
      assert.ok(error instanceof Error);
      assert.ok(error.message.includes(reply), error.message);
      assert.equal(error.status, Number(reply.slice(4, 7)));
      return true;
    });
    assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
    assert.equal(daemon.connections, 1);
  });
}

for (const reply of [
  'HTTP/1.1 400 Bad Request\r\n',
  'OK\n',
  'OK exported=3\n',
  'OK exported=x skipped=0 rejected=0 duplicate=0\n',
  '\n',
  '\u0000\u0001\u0002\n',
  'PONG\n',
]) {
  test(`throws on the garbage reply ${JSON.stringify(reply)} and uses that connection no more`, async (t) => {
    const daemon = await startDaemon(t, (bytes, socket, number) => (number === 1 ? reply : OK));
    useDaemon(t, daemon);
    await assert.rejects(handler(event, contextWith(5000)), (error) => {
      assert.ok(error.message.includes(JSON.stringify(reply.trimEnd())), error.message);
      return true;
    });
    assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
    assert.equal(daemon.connections, 2);
    assert.equal(daemon.payloads.length, 2);
  });
}

test('a reply without an end is refused, not collected for ever', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket) => {
    socket.write('x'.repeat(100_000));
  });
  useDaemon(t, daemon);
  await assert.rejects(handler(event, contextWith(5000)), /answered: "xxx/);
});

test('a reply that comes byte by byte is read as one', async (t) => {
  const daemon = await startDaemon(t, async (bytes, socket) => {
    socket.setNoDelay(true);
    for (const byte of OK) {
      socket.write(byte);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
  useDaemon(t, daemon);
  assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
});

test('takes 30 s for a reply where there is no context', async (t) => {
  t.mock.method(globalThis, 'setTimeout');
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  assert.deepEqual(await handler(event), OK_RESULT);
  assert.ok(setTimeout.mock.calls.some(({ arguments: [, ms] }) => ms > 29_000 && ms <= 30_000));
});

test('without a reply throws 500 ms before the invocation would end, and closes the connection', async (t) => {
  const daemon = await startDaemon(t, () => undefined);
  useDaemon(t, daemon);
  const begin = Date.now();
  await assert.rejects(handler(event, contextWith(1500)), /no reply from vpcflowd at [0-9.:]+ within (1000|99\d) ms/);
  const took = Date.now() - begin;
  assert.ok(took >= 990 && took < 1450, `took ${took} ms`);
  await Promise.all([...daemon.sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
  assert.equal(daemon.payloads.length, 1);
});

test('a reply that comes too late is not taken for the next payload\'s', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number > 1) {
      return OK;
    }
    setTimeout(() => socket.write('OK exported=99 skipped=0 rejected=0 duplicate=0\n'), 150);
    return undefined;
  });
  useDaemon(t, daemon);
  await assert.rejects(handler(event, contextWith(600)), /no reply/);
  assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
  assert.equal(daemon.connections, 2);
});

test('names host and port when nobody listens', async (t) => {
  const daemon = await startDaemon(t);
  await daemon.stop();
  useDaemon(t, daemon);
  await assert.rejects(handler(event, contextWith(5000)), new RegExp(`127.0.0.1:${daemon.port}: .*ECONNREFUSED`));
  useDaemon(t, { host: 'localhost', port: daemon.port });
  await assert.rejects(handler(event, contextWith(5000)), /vpcflowd at localhost:\d+: .*(ECONNREFUSED|ENOTFOUND)/);
});

test('reaches an IPv6 address, in brackets or without', async (t) => {
  const sockets = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('data', () => socket.write(OK));
  });
  try {
    await new Promise((resolve, reject) => server.on('error', reject).listen(0, '::1', resolve));
  } catch {
    t.skip('no IPv6 here');
    return;
  }
  t.after(() => {
    server.close();
    sockets.forEach((socket) => socket.destroy());
  });
  const { port } = server.address();
  for (const host of ['::1', '[::1]']) {
    useDaemon(t, { host, port });
    assert.deepEqual(await handler(event, contextWith(5000)), OK_RESULT);
  }
});

test('warns of lines that could not be read', async (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const daemon = await startDaemon(t, () => 'OK exported=2 skipped=0 rejected=1 duplicate=0\n');
  useDaemon(t, daemon);
  assert.equal((await handler(event, contextWith(5000))).rejected, 1);
  assert.match(warn.mock.calls[0].arguments[0], /could not read 1 /);
});

for (const [name, bad, message] of [
  ['an unset host', { host: undefined, port: 1 }, /VPCFLOWD_HOST is not set/],
  ['an empty host', { host: ' ', port: 1 }, /VPCFLOWD_HOST is not set/],
  ['a URL as host', { host: 'tcp://10.0.0.1', port: 1 }, /VPCFLOWD_HOST must be a host name.*"tcp:\/\/10\.0\.0\.1"/],
  ['a list with a bad host', { host: 'a.example, b c' }, /VPCFLOWD_HOST must be a host name.*not "b c"/],
  ['a list of nothing', { host: ' , ' }, /VPCFLOWD_HOST is not set/],
  ['a bracketed name', { host: '[a.example]' }, /VPCFLOWD_HOST must be a host name.*"\[a\.example\]"/],
  ['a bad port in the list', { host: '10.0.0.1:http' }, /the port of "10\.0\.0\.1:http" in VPCFLOWD_HOST must be/],
  ['a port that is no number', { port: 'http' }, /VPCFLOWD_PORT must be a number from 1 to 65535, not "http"/],
  ['port 0', { port: '0' }, /VPCFLOWD_PORT must be .* not "0"/],
  ['port 65536', { port: '65536' }, /VPCFLOWD_PORT must be .* not "65536"/],
  ['a port in hexadecimal', { port: '0x50' }, /VPCFLOWD_PORT must be .* not "0x50"/],
]) {
  test(`refuses ${name} and says what is expected`, async (t) => {
    useDaemon(t, 'host' in bad ? { host: '', ...bad } : bad);
    if (bad.host === undefined && 'host' in bad) {
      delete process.env.VPCFLOWD_HOST;
    }
    await assert.rejects(handler(event, contextWith(5000)), message);
  });
}

test('settings are read at each invocation', async (t) => {
  const first = await startDaemon(t);
  const second = await startDaemon(t);
  for (const daemon of [first, second, first]) {
    useDaemon(t, daemon);
    await handler(event, contextWith(5000));
  }
  assert.equal(first.payloads.length, 2);
  assert.equal(second.payloads.length, 1);
});

test('the port is 20555 where none is set', async (t) => {
  const connect = t.mock.method(net, 'connect', () => {
    throw new Error('stop here');
  });
  t.mock.method(dns.promises, 'lookup', async () => [{ address: '192.0.2.7', family: 4 }]);
  useDaemon(t, { host: 'flows.example' });
  await assert.rejects(handler(event, contextWith(5000)), /stop here/);
  assert.equal(connect.mock.calls[0].arguments[0].port, 20555);
  assert.equal(connect.mock.calls[0].arguments[0].host, 'flows.example');
});

for (const [name, wrong, got] of [
  ['another service\'s event', { Records: [{ dynamodb: {} }] }, /an object with the keys Records/],
  ['an unwrapped document', { messageType: 'DATA_MESSAGE', logEvents: [] }, /keys messageType, logEvents/],
  ['an empty object', {}, /an object without keys/],
  ['no event', undefined, /undefined/],
  ['null', null, /null/],
  ['a string', 'H4sI', /string/],
  ['an array', [event], /an array/],
  ['data that is no string', { awslogs: { data: 7 } }, /keys awslogs/],
]) {
  test(`throws on ${name}, naming what was expected and what came`, async (t) => {
    const daemon = await startDaemon(t);
    useDaemon(t, daemon);
    await assert.rejects(handler(wrong, contextWith(5000)), (error) => {
      assert.match(error.message, /expected a CloudWatch Logs event/);
      assert.match(error.message, got);
      return true;
    });
    assert.equal(daemon.connections, 0);
  });
}

test('throws on an event whose data decodes to nothing', async (t) => {
  useDaemon(t, { port: 1 });
  await assert.rejects(handler({ awslogs: { data: '' } }, contextWith(5000)), /holds no base64 data/);
});

test('an idle connection does not keep a process alive', async (t) => {
  const daemon = await startDaemon(t);
  const script =
    `import { handler } from ${JSON.stringify(new URL('../../lambda/index.mjs', import.meta.url).href)};` +
    `console.log(JSON.stringify(await handler(${JSON.stringify(event)})));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...process.env, VPCFLOWD_HOST: '127.0.0.1', VPCFLOWD_PORT: String(daemon.port) },
    timeout: 10_000,
  });
  assert.deepEqual(JSON.parse(stdout), OK_RESULT);
});
