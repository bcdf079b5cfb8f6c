// replay.mjs, as it is run.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync, appendFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';

import { main } from '../../lambda/replay.mjs';
import {
  OK, cloudWatchEvent, destinationRecord, flowLine, gzipOf, kinesisEvent, startDaemon, useDaemon,
} from './daemon.mjs';
import { fakeS3, useServices } from './fakes.mjs';
import { deadline, flowsOf, lineOf, options, startVpcflowd, temporaryFolder, until } from './vpcflowd.mjs';

const script = fileURLToPath(new URL('../../lambda/replay.mjs', import.meta.url));
const HEADER =
  'version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status';

function start(t, args, { port = 1, env = {} } = {}) {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, VPCFLOWD_HOST: '127.0.0.1', VPCFLOWD_PORT: String(port), ...env },
  });
  const run = { child, out: '', err: '' };
  child.stdout.on('data', (text) => (run.out += text));
  child.stderr.on('data', (text) => (run.err += text));
  t.after(() => child.kill('SIGKILL'));
  run.end = deadline(once(child, 'close'), 60_000, 'replay').then(([code]) => code);
  return run;
}

// Files of every kind that replay reads: name → { bytes, lines }.
function makeFiles(folder) {
  let number = 0;
  const lines = (count) => Array.from({ length: count }, () => flowLine(number++));
  const kinds = {
    'plain.log': (l) => `${l.join('\n')}\n`,
    'header.log': (l) => `${HEADER}\n${l.join('\n')}\n`,
    's3.log.gz': (l) => zlib.gzipSync(`${HEADER}\n${l.join('\n')}\n`),
    'payload.gz': (l) => gzipOf(cloudWatchEvent(l)),
    'payload.base64': (l) => cloudWatchEvent(l).awslogs.data,
    'document.json': (l) => zlib.gunzipSync(gzipOf(cloudWatchEvent(l))),
    'event.json': (l) => JSON.stringify(cloudWatchEvent(l), null, 2),
    'dead-letter.json': (l) => JSON.stringify(destinationRecord(cloudWatchEvent(l))),
    'events.jsonl': (l) => l.map((line) => JSON.stringify(cloudWatchEvent([line]))).join('\n'),
    'list.json': (l) => JSON.stringify(l.map((line) => kinesisEvent([gzipOf(cloudWatchEvent([line]))]))),
    'firehose.ndjson': (l) => l.map((message) => JSON.stringify({ message })).join('\n'),
  };
  mkdirSync(join(folder, 'in'));
  const all = [];
  for (const [name, make] of Object.entries(kinds)) {
    const records = lines(4);
    all.push(...records);
    writeFileSync(join(folder, 'in', name), make(records));
  }
  return all;
}

test('--help tells the usage, wrong usage ends with 2 and says what is wrong', async (t) => {
  const help = start(t, ['--help']);
  assert.equal(await help.end, 0);
  assert.match(help.out, /usage: .*replay\.mjs[^]*--resume FILE[^]*--dry-run[^]*Exit code/);
  for (const [args, message] of [
    [[], /name at least one file/],
    [['--nonsense', 'x'], /no option --nonsense/],
    [['--concurrency', '0', 'x'], /--concurrency must be a number from 1 to 256, not "0"/],
    [['--tries=many', 'x'], /--tries must be a number/],
    [['--resume'], /--resume needs a value/],
    [['/nowhere/at/all'], /ENOENT.*\/nowhere\/at\/all/],
    [['s3://'], /names no bucket/],
  ]) {
    const run = start(t, args);
    assert.equal(await run.end, 2, args.join(' '));
    assert.match(run.err, message);
  }
  const unset = start(t, [script], { env: { VPCFLOWD_HOST: '' } });
  assert.equal(await unset.end, 2);
  assert.match(unset.err, /VPCFLOWD_HOST is not set/);
});

test('a folder with every kind of file: all records arrive, and a second run has nothing to do', options, async (t) => {
  const folder = temporaryFolder(t);
  const lines = makeFiles(folder);
  const daemon = await startVpcflowd(t);
  const journal = join(folder, 'journal');
  const args = ['--resume', journal, join(folder, 'in')];
  const first = start(t, args, daemon);
  assert.equal(await first.end, 0, first.err);
  assert.match(first.out, new RegExp(`^11 of 11 files acknowledged; exported=${lines.length} skipped=0 rejected=0 `));
  assert.deepEqual((await flowsOf(daemon, lines.length)).map(lineOf).sort(), [...lines].sort());
  const second = start(t, args, daemon);
  assert.equal(await second.end, 0);
  assert.match(second.out, /^0 of 11 files acknowledged, 11 were before; exported=0/);
});

test('--dry-run sends nothing, writes no journal and passes over what is in one', async (t) => {
  const folder = temporaryFolder(t);
  makeFiles(folder);
  const daemon = await startDaemon(t);
  const journal = join(folder, 'journal');
  const dry = start(t, ['--dry-run', '--resume', journal, join(folder, 'in')], daemon);
  assert.equal(await dry.end, 0);
  assert.match(dry.out, /plain\.log\t[0-9]+\n[^]*11 of 11 files would be sent/);
  assert.ok(!existsSync(journal));
  assert.equal(daemon.connections, 0);
});

test('what is refused ends with 1, is not noted, and the reason is told; the rest goes through', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'a.log'), `${flowLine(1)}\n`);
  writeFileSync(join(folder, 'b.log'), 'no flow log\n');
  writeFileSync(join(folder, 'c.parquet'), 'PAR1');
  const daemon = await startDaemon(t, (bytes) => (bytes.includes('no flow') ? 'ERR 422 no record could be read\n' : OK));
  const journal = join(folder, 'journal');
  const files = ['a.log', 'b.log', 'c.parquet'].map((name) => join(folder, name));
  const run = start(t, [`--resume=${journal}`, ...files], daemon);
  assert.equal(await run.end, 1);
  assert.match(run.out, /^1 of 3 files acknowledged, 2 refused; exported=3 skipped=1/);
  assert.match(run.err, /b\.log: refused: .*ERR 422/);
  assert.match(run.err, /c\.parquet: refused: it is Parquet/);
  assert.equal(readFileSync(journal, 'utf8').trim().split('\n').length, 1);
});

test('a daemon that is busy or away is asked again', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'a.log'), `${flowLine(1)}\n`);
  const daemon = await startDaemon(t, (bytes, socket, number) => (number === 1 ? 'ERR 503 busy\n' : OK));
  const run = start(t, [join(folder, 'a.log')], daemon);
  assert.equal(await run.end, 0, run.err);
  assert.match(run.err, /ERR 503 busy; it is tried again/);
  await daemon.stop();
  const away = start(t, ['--tries', '1', join(folder, 'a.log')], daemon);
  assert.equal(await away.end, 1);
  assert.match(away.out, /^0 of 1 files acknowledged, 1 failed;/);
  assert.match(away.err, /ECONNREFUSED/);
});

test('Ctrl-C: the files under way are finished and noted, and --resume goes on behind them', async (t) => {
  const folder = temporaryFolder(t);
  const names = Array.from({ length: 12 }, (_, i) => join(folder, `${String(i).padStart(2, '0')}.log`));
  names.forEach((name, i) => writeFileSync(name, `${flowLine(i)}\n`));
  const journal = join(folder, 'journal');
  const held = [];
  const daemon = await startDaemon(t, (bytes, socket, number) => {
    if (number <= 3) {
      return OK;
    }
    held.push(socket);
    return undefined;
  });
  const args = ['--resume', journal, '--concurrency', '2', ...names];
  const run = start(t, args, daemon);
  await until(() => held.length === 2, 'two files under way');
  run.child.kill('SIGINT');
  await until(() => run.err.includes('once more ends at once'), 'the first Ctrl-C');
  held.forEach((socket) => socket.write(OK));
  assert.equal(await run.end, 130);
  assert.equal(readFileSync(journal, 'utf8').trim().split('\n').length, 5);
  assert.equal(daemon.payloads.length, 5);

  const rest = await startDaemon(t);
  // As if the machine had crashed while a line was written.
  appendFileSync(journal, '{"done":"/half/a li');
  const again = start(t, args, rest);
  assert.equal(await again.end, 0);
  assert.match(again.out, /^7 of 12 files acknowledged, 5 were before;/);
  const sent = [...daemon.payloads, ...rest.payloads].map(String).sort();
  assert.deepEqual(sent, names.map((_, i) => `${flowLine(i)}\n`).sort());
});

test('a second Ctrl-C ends at once, and the journal has what was acknowledged', async (t) => {
  const folder = temporaryFolder(t);
  const names = ['a.log', 'b.log'].map((name) => join(folder, name));
  names.forEach((name, i) => writeFileSync(name, `${flowLine(i)}\n`));
  const journal = join(folder, 'journal');
  const daemon = await startDaemon(t, (bytes, socket, number) => (number === 1 ? OK : undefined));
  const run = start(t, ['--resume', journal, '--concurrency', '1', ...names], daemon);
  await until(() => daemon.payloads.length === 2, 'the second file');
  run.child.kill('SIGINT');
  await until(() => run.err.includes('once more'), 'the first Ctrl-C');
  run.child.kill('SIGINT');
  assert.equal(await run.end, 130);
  assert.match(readFileSync(journal, 'utf8'), /a\.log/);
});

test('a whole S3 prefix, page after page, with resume', async (t) => {
  const out = t.mock.method(console, 'log', () => {});
  const objects = { 'other/x.log.gz': Buffer.from('x') };
  for (let i = 0; i < 7; i += 1) {
    objects[`logs/${'k'.repeat(i + 1)}.log.gz`] = zlib.gzipSync(`${HEADER}\n${flowLine(i)}\n`);
  }
  useServices(t, { s3: fakeS3(objects) });
  const daemon = await startDaemon(t);
  useDaemon(t, daemon);
  const args = ['--resume', join(temporaryFolder(t), 'journal'), 's3://bucket/logs/'];
  assert.equal(await main(args), 0);
  assert.equal(daemon.payloads.length, 7);
  assert.equal(await main(args), 0);
  assert.equal(daemon.payloads.length, 7);
  assert.match(out.mock.calls[1].arguments[0], /7 were before/);
});

test('on a terminal there is a bar, elsewhere only lines', async (t) => {
  const { Progress } = await import('../../lambda/replay/progress.mjs');
  const screen = { isTTY: true, columns: 70, text: '', write(text) { this.text += text; } };
  const progress = new Progress(screen);
  Object.assign(progress, { found: 4, done: 1, complete: true });
  progress.update();
  assert.match(screen.text, /\r\x1b\[K\[######-{18}\] 1\/4 files/);
  progress.say('a message');
  assert.match(screen.text, /\r\x1b\[Ka message\n\r\x1b\[K\[###/);
  const file = { isTTY: false, text: '', write(text) { this.text += text; } };
  const plain = new Progress(file);
  plain.update();
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 11_000);
  Object.assign(plain, { found: 4, done: 2 });
  plain.update();
  assert.match(file.text, /^2\/4\+ files .*\n$/);
});
