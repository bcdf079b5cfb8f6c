// How much memory the handler takes for a large object: a process of its own, with S3 replaced by a stream of plain
// flow-log text that is made as it is read. Run by s3.test.mjs.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { contextWith, flowLine, s3Event } from './daemon.mjs';
import { fakeS3 } from './fakes.mjs';

const SIZE = 128 * 1024 * 1024;

// Resolves with { sent, grown }: the payload bytes that the daemon got, and the process's growth in MiB.
export async function measure(t, { maxPayload }) {
  let sent = 0;
  let missing = 0;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      while (chunk.length > 0) {
        if (missing === 0) {
          const newline = chunk.indexOf(10);
          missing = Number(chunk.toString('latin1', 5, newline));
          chunk = chunk.subarray(newline + 1);
        }
        const taken = Math.min(missing, chunk.length);
        missing -= taken;
        sent += taken;
        chunk = chunk.subarray(taken);
        if (missing === 0) {
          socket.write('OK exported=1 skipped=0 rejected=0 duplicate=0\n');
        }
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const env = {
    ...process.env, VPCFLOWD_HOST: '127.0.0.1', VPCFLOWD_PORT: String(server.address().port),
    VPCFLOWD_MAX_PAYLOAD: maxPayload,
  };
  const child = fork(fileURLToPath(import.meta.url), ['run'], { env, execArgv: [] });
  t.after(() => child.kill('SIGKILL'));
  const [grown] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`the process ended with ${code}`);
    }),
  ]);
  return { sent, grown };
}

function* textOf(size) {
  const block = Buffer.from(Array.from({ length: 600 }, (_, i) => `${flowLine(i)}\n`).join('').slice(0, 65_535) + '\n');
  for (let left = size; left > 0; left -= block.length) {
    yield Buffer.from(block.subarray(0, Math.min(left, block.length)));
  }
}

async function run() {
  const { handler } = await import('../../lambda/index.mjs');
  const { replaceServices } = await import('../../lambda/aws.mjs');
  const object = (size) => () => ({ ContentLength: size, Body: Readable.from(textOf(size), { objectMode: true }) });
  replaceServices({ s3: fakeS3({ small: object(1 << 20), large: object(SIZE) }) });
  await handler(s3Event(['small']), contextWith(20_000));
  const before = process.resourceUsage().maxRSS;
  await handler(s3Event(['large']), contextWith(100_000));
  process.send((process.resourceUsage().maxRSS - before) / 1024, () => process.exit(0));
}

if (process.argv[2] === 'run') {
  await run();
}
