// The Lambda service's side of the runtime API: starts the function's process, hands it events, and freezes it between
// them as Lambda does.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { deadline, until } from './vpcflowd.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// function.invoke(event, ms) → { response } or { error }; function.freeze() and thaw(); function.output: what it wrote.
export async function startFunction(t, env, { root = here('../../lambda'), handler = 'index.handler' } = {}) {
  const state = { waiting: null, pending: null, number: 0, initError: null };
  const server = http.createServer((request, response) => answer(state, request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const child = fork(here('bootstrap.mjs'), [], {
    execArgv: [],
    silent: true,
    env: {
      PATH: process.env.PATH,
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${server.address().port}`,
      LAMBDA_TASK_ROOT: root,
      _HANDLER: handler,
      ...env,
    },
  });
  const self = { pid: child.pid, output: '' };
  child.stdout.on('data', (text) => (self.output += text));
  child.stderr.on('data', (text) => (self.output += text));
  t.after(() => {
    child.kill('SIGKILL');
    server.closeAllConnections();
    server.close();
  });

  self.freeze = async () => {
    // Lambda freezes a function that has answered and asked for its next event.
    await until(() => state.waiting !== null, 'the function\'s next request');
    child.kill('SIGSTOP');
    await until(() => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8')), 'the freeze');
  };
  self.thaw = () => child.kill('SIGCONT');
  self.invoke = async (event, milliseconds = 10_000) => {
    await until(() => state.waiting !== null || state.initError !== null, 'the function\'s start');
    if (state.initError !== null) {
      return { error: state.initError };
    }
    const answered = new Promise((resolve) => (state.pending = resolve));
    const response = state.waiting;
    state.waiting = null;
    state.number += 1;
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Lambda-Runtime-Aws-Request-Id': `00000000-0000-4000-8000-${String(state.number).padStart(12, '0')}`,
      'Lambda-Runtime-Deadline-Ms': String(Date.now() + milliseconds),
      'Lambda-Runtime-Invoked-Function-Arn': 'arn:aws:lambda:eu-central-1:210987654321:function:vpcflowd',
      'Lambda-Runtime-Trace-Id': 'Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0',
    });
    response.end(JSON.stringify(event));
    return deadline(answered, milliseconds + 20_000, 'the function\'s answer');
  };
  return self;
}

async function answer(state, request, response) {
  const path = request.url.replace('/2018-06-01/runtime/', '');
  if (request.method === 'GET' && path === 'invocation/next') {
    state.waiting = response;
    return;
  }
  let body = '';
  for await (const part of request) {
    body += part;
  }
  response.writeHead(202).end('{"status":"OK"}');
  const [, , what] = path.split('/');
  if (path === 'init/error') {
    state.initError = JSON.parse(body);
  } else {
    state.pending?.(what === 'error' ? { error: JSON.parse(body) } : { response: JSON.parse(body) });
    state.pending = null;
  }
}
