// A function's process as Lambda's Node.js runtime is one: it loads the handler, asks the runtime API for one
// invocation after another, and answers each with a response or an error. Run by runtime.mjs.

import http from 'node:http';
import { pathToFileURL } from 'node:url';

const { AWS_LAMBDA_RUNTIME_API: api, LAMBDA_TASK_ROOT: root, _HANDLER: name } = process.env;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(`http://${api}/2018-06-01/runtime/${path}`, { method, agent, headers }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(parts).toString('utf8') }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const errorBody = (error) => ({
  errorType: error?.name ?? 'Error',
  errorMessage: error?.message ?? String(error),
  trace: (error?.stack ?? '').split('\n'),
});

async function loadHandler() {
  const [file, exported] = name.split('.');
  const module = await import(pathToFileURL(`${root}/${file}.mjs`).href);
  // Newer runtimes take async handlers only: event and context, no callback.
  if (typeof module[exported] !== 'function' || module[exported].length > 2) {
    throw new Error(`${name} is no async handler of (event, context)`);
  }
  return module[exported];
}

let handler;
try {
  handler = await loadHandler();
} catch (error) {
  await call('POST', 'init/error', JSON.stringify(errorBody(error)), {
    'Lambda-Runtime-Function-Error-Type': 'Runtime.HandlerNotFound',
  });
  process.exit(1);
}
for (;;) {
  const next = await call('GET', 'invocation/next');
  const id = next.headers['lambda-runtime-aws-request-id'];
  const deadline = Number(next.headers['lambda-runtime-deadline-ms']);
  const context = {
    awsRequestId: id,
    invokedFunctionArn: next.headers['lambda-runtime-invoked-function-arn'],
    functionName: 'vpcflowd',
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  try {
    const result = await handler(JSON.parse(next.body), context);
    await call('POST', `invocation/${id}/response`, JSON.stringify(result ?? null));
  } catch (error) {
    await call('POST', `invocation/${id}/error`, JSON.stringify(errorBody(error)), {
      'Lambda-Runtime-Function-Error-Type': error?.name ?? 'Error',
    });
  }
}
