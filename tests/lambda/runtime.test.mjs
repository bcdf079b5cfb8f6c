// The function in a process of its own, spoken to over the runtime API: cold start, invocations, freezes, restarts of
// the daemon, time-outs.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  OK, OK_RESULT, cloudWatchEvent, flowLine, gzipOf, kinesisEvent, sequenceNumber, sqsEvent, startDaemon,
} from './daemon.mjs';
import { startFunction } from './runtime.mjs';
import { flowsOf, lineOf, options, startVpcflowd } from './vpcflowd.mjs';

const event = (number) => cloudWatchEvent([flowLine(number)]);
const settings = ({ port }, more = {}) => ({ VPCFLOWD_HOST: '127.0.0.1', VPCFLOWD_PORT: String(port), ...more });

test('cold start and further invocations: each event is answered, over one connection', async (t) => {
  const daemon = await startDaemon(t);
  const lambda = await startFunction(t, settings(daemon));
  for (let i = 0; i < 10; i += 1) {
    assert.deepEqual(await lambda.invoke(event(i)), { response: OK_RESULT });
  }
  assert.equal(daemon.connections, 1);
  assert.deepEqual(daemon.payloads[9], gzipOf(event(9)));
  assert.equal(lambda.output, '', 'nothing to log where nothing is wrong');
});

test('a failed invocation is an error of the runtime API, and the next one is served', async (t) => {
  const daemon = await startDaemon(t, (bytes, socket, number) => (number === 1 ? 'ERR 503 busy\n' : OK));
  const lambda = await startFunction(t, settings(daemon));
  const { error } = await lambda.invoke(event(1));
  assert.equal(error.errorType, 'ReplyError');
  assert.match(error.errorMessage, /ERR 503 busy/);
  assert.deepEqual(await lambda.invoke(event(1)), { response: OK_RESULT });
});

test('a wrong setting and an unknown event are errors too, not crashes', async (t) => {
  const lambda = await startFunction(t, { VPCFLOWD_PORT: '1' });
  assert.match((await lambda.invoke(event(1))).error.errorMessage, /VPCFLOWD_HOST is not set/);
  assert.match((await lambda.invoke({ hello: 'world' })).error.errorMessage, /expected a CloudWatch Logs event/);
});

test('an idle connection that was cut while the function was frozen costs nothing', async (t) => {
  const daemon = await startDaemon(t);
  const lambda = await startFunction(t, settings(daemon));
  for (const [i, how] of ['end', 'destroy', 'resetAndDestroy'].entries()) {
    assert.deepEqual(await lambda.invoke(event(i)), { response: OK_RESULT });
    await lambda.freeze();
    for (const socket of daemon.sockets) {
      socket[how]();
    }
    const invocation = lambda.invoke(event(100 + i));
    // The event waits for the frozen process, as the end of its connection does.
    await new Promise((resolve) => setTimeout(resolve, 30));
    lambda.thaw();
    assert.deepEqual(await invocation, { response: OK_RESULT });
  }
  const texts = daemon.payloads.map((bytes) => bytes.toString('base64'));
  for (let i = 0; i < 3; i += 1) {
    assert.ok(texts.includes(event(100 + i).awslogs.data), 'the event behind the freeze arrived');
  }
});

test('frozen in the middle of an invocation: the reply that waits is read after the thaw', async (t) => {
  let thawed = null;
  const daemon = await startDaemon(t, (bytes, socket) => {
    thawed = async () => {
      process.kill(lambda.pid, 'SIGSTOP');
      socket.write(OK);
      await new Promise((resolve) => setTimeout(resolve, 100));
      process.kill(lambda.pid, 'SIGCONT');
    };
    void thawed();
  });
  const lambda = await startFunction(t, settings(daemon));
  assert.deepEqual(await lambda.invoke(event(1)), { response: OK_RESULT });
});

test('no reply: the error is told before the deadline', async (t) => {
  const daemon = await startDaemon(t, () => undefined);
  const lambda = await startFunction(t, settings(daemon));
  const begin = Date.now();
  const { error } = await lambda.invoke(event(1), 2500);
  assert.match(error.errorMessage, /no reply from vpcflowd/);
  assert.ok(Date.now() - begin < 2500, `took ${Date.now() - begin} ms`);
});

test('batches answer with what is not safe', async (t) => {
  const bad = gzipOf(event(2));
  const daemon = await startDaemon(t, (bytes) => (bytes.equals(bad) ? 'ERR 500 a fault\n' : OK));
  const lambda = await startFunction(t, settings(daemon));
  const batch = kinesisEvent([1, 2, 3].map((i) => gzipOf(event(i))));
  assert.deepEqual(await lambda.invoke(batch), {
    response: { batchItemFailures: [{ itemIdentifier: sequenceNumber(1) }] },
  });
  assert.match(lambda.output, /not safe: .*ERR 500/);
  assert.deepEqual(await lambda.invoke(sqsEvent([event(1), event(3)])), { response: { batchItemFailures: [] } });
});

test('the daemon killed and started again between and during invocations: every record arrives', options, async (t) => {
  const before = await startVpcflowd(t);
  const lambda = await startFunction(t, settings(before));
  assert.equal((await lambda.invoke(event(1))).response.exported, 1);
  // Between: killed while the function is frozen, back before the next event.
  await lambda.freeze();
  await before.stop('SIGKILL');
  const second = await startVpcflowd(t, { port: before.port });
  const invocation = lambda.invoke(event(2));
  lambda.thaw();
  assert.equal((await invocation).response.exported, 1);
  // During: it does not answer (stopped), then it is killed.
  process.kill(second.pid, 'SIGSTOP');
  const during = lambda.invoke(event(3));
  await new Promise((resolve) => setTimeout(resolve, 200));
  await second.stop('SIGKILL');
  assert.match((await during).error?.errorMessage ?? 'no error', /vpcflowd at 127\.0\.0\.1/);
  // AWS invokes again.
  const third = await startVpcflowd(t, { port: before.port });
  assert.equal((await lambda.invoke(event(3))).response.exported, 1);
  assert.deepEqual((await flowsOf(third, 1)).map(lineOf), [flowLine(3)]);
  assert.deepEqual(second.flows.map(lineOf), [flowLine(2)]);
});
