// The connection between invocations: kept, lost, opened again; and several payloads at once on it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DaemonConnection } from '../../lambda/connection.mjs';
import { handler } from '../../lambda/index.mjs';
import { OK, OK_RESULT, cloudWatchEvent, contextWith, flowLine, gzipOf, startDaemon, useDaemon } from './daemon.mjs';

const eventNumber = (number) => cloudWatchEvent([flowLine(number)]);
const send = (number, milliseconds = 5000) => handler(eventNumber(number), contextWith(milliseconds));
const replyTo = (bytes) => `OK exported=${bytes.length} skipped=0 rejected=0 duplicate=0\n`;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test('invocations one after another share one connection', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  for (let i = 0; i < 25; i += 1) {
    assert.deepEqual(await send(i), OK_RESULT);
  }
  assert.equal(daemon.connections, 1);
  assert.equal(daemon.payloads.length, 25);
});

test('a long run of invocations leaves no listeners behind', async (t) => {
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning.message);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  for (let i = 0; i < 40; i += 1) {
    await send(i);
  }
  await Promise.all(Array.from({ length: 40 }, (_, i) => send(i)));
  await pause(10);
  assert.deepEqual(warnings, []);
});

for (const how of ['end', 'destroy', 'resetAndDestroy']) {
  test(`an idle connection that the daemon ended (${how}) is opened again when it has been noticed`, async (t) => {
    const daemon = await startDaemon(t);
    useDaemon(t, daemon);
    await send(1);
    await daemon.dropConnections(how);
    await pause(20);
    assert.deepEqual(await send(2), OK_RESULT);
    assert.equal(daemon.connections, 2);
    assert.deepEqual(daemon.payloads, [gzipOf(eventNumber(1)), gzipOf(eventNumber(2))]);
  });

  test(`a payload that meets the end of a used connection (${how}) is sent once more`, async (t) => {
    const daemon = await startDaemon(t, (bytes, socket, number) => {
      if (number === 2) {
        socket[how]();
        return undefined;
      }
      return OK;
    });
    useDaemon(t, daemon);
    await send(1);
    assert.deepEqual(await send(2), OK_RESULT);
    assert.equal(daemon.connections, 2);
    assert.deepEqual(daemon.payloads[2], gzipOf(eventNumber(2)));
  });
}

test('half a reply and then the end of a used connection: sent once more', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number === 2) {
      socket.end('OK exported=3 ski');
      return undefined;
    }
    return OK;
  });
  useDaemon(t, daemon);
  await send(1);
  assert.deepEqual(await send(2), OK_RESULT);
  assert.equal(daemon.payloads.length, 3);
});

test('a payload is sent again only once', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number > 1) {
      socket.destroy();
      return undefined;
    }
    return OK;
  });
  useDaemon(t, daemon);
  await send(1);
  await assert.rejects(send(2), /vpcflowd at 127\.0\.0\.1:\d+: /);
  assert.equal(daemon.payloads.length, 3);
});

for (const [name, reply] of [['before the reply', ''], ['within the reply', 'OK expor']]) {
  test(`a new connection that is closed ${name} is an error at once, and nothing is sent again`, async (t) => {
    const daemon = await startDaemon(t, (bytes, socket) => {
      socket.end(reply);
    });
    useDaemon(t, daemon);
    await assert.rejects(send(1), /closed before the reply|ECONNRESET/);
    await pause(20);
    assert.equal(daemon.payloads.length, 1);
    assert.equal(daemon.connections, 1);
  });
}

test('the daemon may be restarted between invocations', async (t) => {
  const before = await startDaemon(t);
  useDaemon(t, before);
  await send(1);
  await before.stop();
  await assert.rejects(send(2), /ECONNREFUSED/);
  const after = await startDaemon(t, undefined, { port: before.port });
  assert.deepEqual(await send(2), OK_RESULT);
  assert.equal(after.payloads.length, 1);
});

test('the time for a reply is not begun anew when a payload is sent again', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number === 2) {
      setTimeout(() => socket.destroy(), 800);
    }
    return number === 1 ? OK : undefined;
  });
  useDaemon(t, daemon);
  await send(1);
  const begin = Date.now();
  await assert.rejects(send(2, 1500), /no reply/);
  const took = Date.now() - begin;
  assert.ok(took >= 990 && took < 1700, `took ${took} ms`);
  assert.equal(daemon.payloads.length, 3);
});

test('a connection that was idle for nearly the daemon\'s idle_timeout is not used again', async (t) => {
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  await send(1);
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 40_000);
  await send(2);
  assert.equal(daemon.connections, 1);
  t.mock.method(Date, 'now', () => now + 100_000);
  await send(3);
  assert.equal(daemon.connections, 2);
  assert.equal(daemon.payloads.length, 3);
});

test('what comes unasked on an idle connection is never taken for a reply', async (t) => {
  const daemon = await startDaemon(t, (bytes) => replyTo(bytes));
  useDaemon(t, daemon);
  await send(1);
  for (const socket of daemon.sockets) {
    socket.write('OK exported=0 skipped=0 rejected=0 duplicate=1\n');
  }
  await pause(20);
  assert.equal((await send(2)).exported, gzipOf(eventNumber(2)).length);
  assert.equal(daemon.connections, 2);
});

test('concurrent invocations share a connection and each gets its own reply', async (t) => {
  // Answers late, in bunches and in pieces, but in order.
  let late = '';
  let timer = null;
  const daemon = await startDaemon(t, (bytes, socket) => {
    late += replyTo(bytes);
    timer ??= setTimeout(() => {
      const half = Math.floor(late.length / 2) + 3;
      socket.write(late.slice(0, half));
      const rest = late.slice(half);
      setTimeout(() => socket.write(rest), 5);
      late = '';
      timer = null;
    }, 10);
  });
  useDaemon(t, daemon);
  const lines = Array.from({ length: 60 }, (_, i) => flowLine(i));
  const events = lines.map((_, i) => cloudWatchEvent(lines.slice(0, i + 1)));
  const results = await Promise.all(events.map((event) => handler(event, contextWith(5000))));
  assert.deepEqual(results.map((result) => result.exported), events.map((event) => gzipOf(event).length));
  assert.ok(new Set(results.map((result) => result.exported)).size > 30, 'the replies differ');
  assert.equal(daemon.connections, 1);
});

test('of concurrent invocations an ERR reaches the one that it is for', async (t) => {
  const error = 'ERR 422 no record could be read';
  const daemon = await startDaemon(t, (bytes, socket, number) => (number === 2 ? `${error}\n` : OK));
  useDaemon(t, daemon);
  const results = await Promise.allSettled([send(1), send(2), send(3)]);
  assert.deepEqual(results.map((result) => result.status), ['fulfilled', 'rejected', 'fulfilled']);
  assert.match(results[1].reason.message, /ERR 422/);
});

test('after ERR 413 and the close that follows it, what was behind is sent once more', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number === 1) {
      socket.end('ERR 413 too large\n');
      return undefined;
    }
    return number === 2 || number === 3 ? undefined : replyTo(bytes);
  });
  useDaemon(t, daemon);
  const results = await Promise.allSettled([send(1), send(2), send(300)]);
  assert.match(results[0].reason.message, /ERR 413 too large/);
  assert.equal(results[1].value.exported, gzipOf(eventNumber(2)).length);
  assert.equal(results[2].value.exported, gzipOf(eventNumber(300)).length);
  assert.equal(daemon.connections, 2);
});

test('of concurrent invocations one without a reply in time costs the others at most a new connection', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => (number === 2 || number === 3 ? undefined : OK));
  useDaemon(t, daemon);
  await send(1);
  const results = await Promise.allSettled([send(2, 700), send(3, 5000)]);
  assert.match(results[0].reason.message, /no reply/);
  assert.deepEqual(results[1].value, OK_RESULT);
});

test('a connection that cannot be made in time says so', async () => {
  // The documentation's network: packets to it are dropped, or refused at once where there is no route.
  const connection = new DaemonConnection('192.0.2.1', 20555);
  await assert.rejects(
    connection.send(Buffer.from('x'), 100),
    /no connection to vpcflowd at 192\.0\.2\.1:20555 within 100 ms|vpcflowd at 192\.0\.2\.1:20555: /,
  );
});
