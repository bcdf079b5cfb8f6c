// The real daemon and real collectors: set VPCFLOWD_BIN to the path of the vpcflowd binary, else such tests are
// skipped.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const binary = process.env.VPCFLOWD_BIN;
export const options = { skip: binary ? false : 'VPCFLOWD_BIN is not set' };

export const FIELDS = [
  'version', 'account-id', 'interface-id', 'srcaddr', 'dstaddr', 'srcport', 'dstport', 'protocol', 'packets', 'bytes',
  'start', 'end', 'action', 'log-status',
];

export async function deadline(promise, milliseconds, what) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export async function until(condition, what, milliseconds = 20_000) {
  const begin = Date.now();
  while (!(await condition())) {
    assert.ok(Date.now() - begin < milliseconds, `${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'vpcflowd-lambda-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// Starts the daemon and waits until it listens. Without `conf` it prints the flows it reads (daemon.flows); `conf` is
// a configuration file's text, in which %PORT% stands for the port.
export async function startVpcflowd(t, { port = 0, conf = null } = {}) {
  let args = ['--listen', `127.0.0.1:${port}`, '--print'];
  if (conf !== null) {
    const file = join(temporaryFolder(t), 'vpcflowd.conf');
    writeFileSync(file, conf.replaceAll('%PORT%', String(port)));
    args = ['-c', file];
  }
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const daemon = { flows: [], log: [], port: 0, pid: child.pid };
  const exited = once(child, 'exit');
  createInterface({ input: child.stdout }).on('line', (line) => daemon.flows.push(JSON.parse(line)));
  const listening = new Promise((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      daemon.log.push(line);
      const found = /listening on 127\.0\.0\.1:([0-9]+)/.exec(line);
      if (found) {
        resolve(Number(found[1]));
      }
    });
  });
  const died = exited.then(([code, signal]) => {
    throw new Error(`vpcflowd ended with ${code ?? signal}: ${daemon.log.join(' | ')}`);
  });
  died.catch(() => {});
  daemon.stop = async (signal = 'SIGTERM') => {
    child.kill(signal);
    const [code] = await deadline(exited, 20_000, 'the end of vpcflowd');
    return code;
  };
  t.after(() => child.kill('SIGKILL'));
  daemon.port = await deadline(Promise.race([listening, died]), 20_000, 'the start of vpcflowd');
  return daemon;
}

export async function flowsOf(daemon, count) {
  await until(() => daemon.flows.length >= count, `${count} flows`);
  return daemon.flows;
}

// A flow as `--print` gives it, back in the order of a flow-log line.
export const lineOf = (flow) => FIELDS.map((field) => flow[field] ?? '-').join(' ');

// nfcapd, and what it has stored when it has been stopped, as "srcaddr dstaddr srcport dstport protocol packets bytes".
export async function startNfcapd(t) {
  const folder = join(temporaryFolder(t), 'flows');
  mkdirSync(folder);
  const port = await freeUdpPort();
  const child = spawn('nfcapd', ['-4', '-b', '127.0.0.1', '-p', String(port), '-t', '3600', '-w', folder], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  await until(() => udpBound(port), 'nfcapd');
  return {
    port,
    async stop() {
      child.kill('SIGTERM');
      await deadline(exited, 20_000, 'the end of nfcapd');
      const text = execFileSync('nfdump', ['-R', folder, '-q', '-N', '-6', '-o', 'fmt:%sa %da %sp %dp %pr %pkt %byt'], {
        encoding: 'utf8',
        env: { ...process.env, TZ: 'UTC' },
        maxBuffer: 256 * 1024 * 1024,
      });
      return text.split('\n').map((line) => line.trim().split(/ +/).join(' ')).filter((line) => line !== '').sort();
    },
  };
}

export const has = (program, argument = '-V') => spawnSync(program, [argument]).error === undefined;

// The same words of a flow-log line.
export const storedForm = (line) => line.split(' ').slice(3, 10).join(' ');

function udpBound(port) {
  const want = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  return readFileSync('/proc/net/udp', 'latin1').includes(want);
}

async function freeUdpPort() {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}
