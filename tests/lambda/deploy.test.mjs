// lambda/deploy, with a program in the place of the AWS CLI that writes down what it was called with.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../lambda/', import.meta.url));

// A copy of lambda/ and an "aws" that is found first. `run(…)` returns { status, stderr, calls, members(), unpack() }.
function workplace(t) {
  const folder = mkdtempSync(join(tmpdir(), 'vpcflowd-deploy-'));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(source, join(folder, 'lambda'), { recursive: true });
  const record = join(folder, 'calls');
  writeFileSync(record, '');
  writeFileSync(
    join(folder, 'aws'),
    `#!/bin/sh\nprintf '%s\\n' "$*" >>'${record}'\n[ "$2" = "$FAIL" ] && exit 9\nexit 0\n`,
    { mode: 0o755 },
  );
  return (args, fail = '') => {
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, FAIL: fail };
    const { status, stderr } = spawnSync(join(folder, 'lambda/deploy'), args, { env, encoding: 'utf8' });
    const calls = readFileSync(record, 'utf8').trim().split('\n').filter((line) => line !== '');
    const zip = join(folder, 'lambda/function.zip');
    const list = () => execFileSync('/usr/bin/python3', ['-m', 'zipfile', '-l', zip], { encoding: 'utf8' });
    const unpack = () => {
      execFileSync('/usr/bin/python3', ['-m', 'zipfile', '-e', zip, join(folder, 'unpacked')]);
      return join(folder, 'unpacked/index.mjs');
    };
    const members = () => list().trim().split('\n').slice(1).map((line) => line.split(' ')[0]);
    return { status, stderr, calls, members, unpack };
  };
}

test('zips the code, puts it into the bucket, and deploys the stack with the parameters', (t) => {
  const { status, stderr, calls, members } = workplace(t)(['flows', 'mine', 'Host=10.9.0.5', 'LogGroup1=/aws/vpc/prod']);
  assert.equal(status, 0, stderr);
  assert.equal(calls.length, 3);
  assert.match(calls[0], /^cloudformation package --template-file template\.yaml --s3-bucket mine /);
  assert.match(calls[1], /^cloudformation deploy .*--stack-name flows --capabilities CAPABILITY_IAM /);
  assert.match(calls[1], / --parameter-overrides Host=10\.9\.0\.5 LogGroup1=\/aws\/vpc\/prod$/);
  assert.match(calls[2], /^cloudformation describe-stacks --stack-name flows /);
  const code = readdirSync(source).filter((name) => name.endsWith('.mjs') && name !== 'replay.mjs');
  assert.deepEqual(members().sort(), [...code, 'package.json'].sort());
});

test('what is in the zip file is whole: the handler loads from it', async (t) => {
  const { unpack } = workplace(t)(['flows', 'mine']);
  assert.equal(typeof (await import(unpack())).handler, 'function');
});

test('an update needs no parameters', (t) => {
  const { status, calls } = workplace(t)(['flows', 'mine']);
  assert.equal(status, 0);
  assert.doesNotMatch(calls[1], /parameter-overrides/);
});

test('nothing is called for a parameter that the template does not have', (t) => {
  const { status, stderr, calls } = workplace(t)(['flows', 'mine', 'Hots=10.9.0.5']);
  assert.equal(status, 2);
  assert.match(stderr, /"Hots=10\.9\.0\.5" is not Parameter=value/);
  assert.deepEqual(calls, []);
});

test('without a stack and a bucket it says how it is used', (t) => {
  const run = workplace(t);
  for (const args of [[], ['flows'], ['flows', 'Host=10.9.0.5']]) {
    const { status, stderr, calls } = run(args);
    assert.equal(status, 2);
    assert.match(stderr, /lambda\/deploy STACK BUCKET/);
    assert.deepEqual(calls, []);
  }
});

test('what fails ends it, and nothing follows', (t) => {
  const { status, calls } = workplace(t)(['flows', 'mine', 'Host=10.9.0.5'], 'package');
  assert.equal(status, 9);
  assert.equal(calls.length, 1);
});
