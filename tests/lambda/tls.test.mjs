// TLS and token: against a server that speaks the protocol, and against the real daemon.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Credentials } from '../../lambda/credentials.mjs';
import { handler } from '../../lambda/index.mjs';
import { haveOpenssl, makeCertificates } from './certificates.mjs';
import {
  OK, OK_RESULT, cloudWatchEvent, contextWith, flowLine, gzipOf, startDaemon, useDaemon, useSettings,
} from './daemon.mjs';
import { fakeParameters, fakeSecrets, useServices } from './fakes.mjs';
import { options as realOptions, startVpcflowd, temporaryFolder } from './vpcflowd.mjs';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const skip = haveOpenssl ? false : 'openssl is not installed';
const certificates = haveOpenssl ? makeCertificates() : null;
after(() => certificates?.remove());

const event = cloudWatchEvent([flowLine(1)]);
const send = () => handler(event, contextWith(5000));
const ARN = 'arn:aws:secretsmanager:eu-central-1:210987654321:secret:vpcflowd-AbCdEf';
const NAMES = ['TLS', 'CA', 'PIN_SHA256', 'SERVER_NAME', 'CLIENT_CERTIFICATE', 'CLIENT_KEY', 'TOKEN'];

// Everything that is not named is unset.
function useTls(t, settings) {
  useSettings(t, Object.fromEntries(NAMES.map((name) => [`VPCFLOWD_${name}`, settings[name]])));
}

const serverOf = (name, more = {}) => ({
  key: certificates.text(`${name}.key`), cert: certificates.text(`${name}.crt`), ...more,
});
const text = (name) => certificates.text(name);
const pin = (name) => certificates.pin(name);

async function start(t, name = 'server', more = {}, options = {}) {
  const daemon = await startDaemon(t, options.onPayload, { secure: serverOf(name, more), ...options });
  useDaemon(t, daemon);
  return daemon;
}

test('with the authority set, payloads go over TLS on one connection', { skip }, async (t) => {
  const daemon = await start(t);
  useTls(t, { TLS: '1', CA: text('ca.crt') });
  for (let i = 0; i < 5; i += 1) {
    assert.deepEqual(await send(), OK_RESULT);
  }
  await Promise.all(Array.from({ length: 20 }, send));
  assert.equal(daemon.connections, 1);
  assert.ok([...daemon.sockets][0].encrypted);
  assert.deepEqual(daemon.payloads[0], gzipOf(event));
});

test('an authority in one line, as consoles have it, is read all the same', { skip }, async (t) => {
  await start(t);
  useTls(t, { TLS: 'true', CA: text('ca.crt').replaceAll('\n', '\\n') });
  assert.deepEqual(await send(), OK_RESULT);
});

for (const [name, server, settings, message] of [
  ['of another authority', 'otherServer', { CA: 'ca.crt' }, /not to be trusted.*VPCFLOWD_CA must hold/],
  ['that the system does not know', 'server', {}, /not to be trusted/],
  ['for another name', 'named', { CA: 'ca.crt' }, /not to be trusted.*VPCFLOWD_SERVER_NAME/],
]) {
  test(`a certificate ${name}: nothing is sent, not even the token`, { skip }, async (t) => {
    const daemon = await start(t, server, {}, { tokens: ['s3cret'] });
    useTls(t, { TLS: '1', TOKEN: 's3cret', ...(settings.CA && { CA: text(settings.CA) }) });
    await assert.rejects(send(), message);
    assert.deepEqual([daemon.payloads, daemon.shown], [[], []]);
  });
}

test('VPCFLOWD_SERVER_NAME is the name that the certificate must have', { skip }, async (t) => {
  await start(t, 'named');
  useTls(t, { TLS: '1', CA: text('ca.crt'), SERVER_NAME: 'flows.test' });
  assert.deepEqual(await send(), OK_RESULT);
  useTls(t, { TLS: '1', CA: text('ca.crt'), SERVER_NAME: 'other.test' });
  await assert.rejects(send(), /not to be trusted/);
});

test('a pinned certificate needs no authority; any other is refused before the token', { skip }, async (t) => {
  const daemon = await start(t, 'otherServer', {}, { tokens: ['s3cret'] });
  useTls(t, { TLS: '1', TOKEN: 's3cret', PIN_SHA256: pin('otherServer.crt') });
  assert.deepEqual(await send(), OK_RESULT);
  const two = `${pin('server.crt')},${pin('otherServer.crt').replaceAll(':', '')}`;
  useTls(t, { TLS: '1', TOKEN: 's3cret', PIN_SHA256: two });
  assert.deepEqual(await send(), OK_RESULT, 'two pins, for the time of a change');
  daemon.shown.length = 0;
  useTls(t, { TLS: '1', TOKEN: 's3cret', PIN_SHA256: pin('server.crt') });
  await assert.rejects(send(), /another certificate than the one that VPCFLOWD_PIN_SHA256 names: SHA-256 [0-9a-f]{64}/);
  useTls(t, { TLS: '1', TOKEN: 's3cret', PIN_SHA256: pin('otherServer.crt'), CA: text('ca.crt') });
  await assert.rejects(send(), /not to be trusted/, 'with both set, both must hold');
  assert.deepEqual(daemon.shown, []);
  assert.equal(daemon.payloads.length, 2);
});

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`${version}: a client certificate is shown where the daemon asks for one`, { skip }, async (t) => {
    const versions = { minVersion: version, maxVersion: version };
    const ask = { requestCert: true, rejectUnauthorized: true, ca: text('ca.crt'), ...versions };
    const daemon = await start(t, 'server', ask);
    const trusted = { TLS: '1', CA: text('ca.crt') };
    useTls(t, { ...trusted, CLIENT_CERTIFICATE: text('client.crt'), CLIENT_KEY: text('client.key') });
    assert.deepEqual(await send(), OK_RESULT);
    useTls(t, trusted);
    await assert.rejects(send());
    useTls(t, { ...trusted, CLIENT_CERTIFICATE: text('otherClient.crt'), CLIENT_KEY: text('otherClient.key') });
    await assert.rejects(send());
    assert.equal(daemon.payloads.length, 1);
  });
}

test('older TLS than 1.2 is not spoken', { skip }, async (t) => {
  const daemon = await start(t, 'server', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' });
  useTls(t, { TLS: '1', CA: text('ca.crt') });
  await assert.rejects(send(), /TLS handshake failed|refused the TLS handshake/);
  assert.equal(daemon.payloads.length, 0);
});

test('TLS to a port without it says so', async (t) => {
  const daemon = await startDaemon(t, undefined, { onConnection: (socket) => socket.write('ERR 400 malformed\n') });
  useDaemon(t, daemon);
  useTls(t, { TLS: '1' });
  await assert.rejects(send(), /does not speak TLS on this port|TLS handshake failed/);
});

test('the token goes first on every new connection, and once', async (t) => {
  const daemon = await startDaemon(t, () => OK, { tokens: ['s3cret'] });
  useDaemon(t, daemon);
  useTls(t, { TOKEN: 's3cret' });
  await Promise.all([send(), send(), send()]);
  await send();
  assert.deepEqual(daemon.shown, ['s3cret']);
  await daemon.dropConnections();
  assert.deepEqual(await send(), OK_RESULT);
  assert.deepEqual(daemon.shown, ['s3cret', 's3cret']);
});

test('a wrong token is an error that says what to mend, without the token', async (t) => {
  const daemon = await startDaemon(t, () => OK, { tokens: ['right'] });
  useDaemon(t, daemon);
  useTls(t, { TOKEN: 'wr0ng-t0ken' });
  await assert.rejects(send(), (error) => {
    assert.match(error.message, /ERR 401.*VPCFLOWD_TOKEN must be one of the tokens in the token_file/);
    assert.doesNotMatch(JSON.stringify([error.message, error.stack, error, String(error.cause)]), /wr0ng/);
    return true;
  });
  assert.equal(daemon.payloads.length, 0);
});

test('a token that was exchanged is read again, within the invocation in which it was refused', async (t) => {
  const daemon = await startDaemon(t, () => OK, { tokens: ['first'] });
  useDaemon(t, daemon);
  const secrets = fakeSecrets({ [ARN]: JSON.stringify({ token: 'first', other: 'x' }) });
  useServices(t, { secrets });
  useTls(t, { TOKEN: `${ARN}#token` });
  await send();
  await send();
  assert.equal(secrets.asked, 1, 'kept between invocations');
  secrets.values[ARN] = JSON.stringify({ token: 'second' });
  daemon.tokens.splice(0, 1, 'second');
  assert.deepEqual(await send(), OK_RESULT, 'a connection that stands needs no token');
  await daemon.dropConnections();
  assert.deepEqual(await send(), OK_RESULT);
  assert.deepEqual(daemon.shown, ['first', 'first', 'second']);
  assert.equal(secrets.asked, 2);
});

test('an authority that was exchanged is read again after a failed handshake', { skip }, async (t) => {
  const daemon = await start(t);
  const parameters = fakeParameters({ '/vpcflowd/ca': text('otherCa.crt') });
  useServices(t, { parameters });
  useTls(t, { TLS: '1', CA: 'ssm:/vpcflowd/ca' });
  await assert.rejects(send(), /not to be trusted/);
  parameters.values['/vpcflowd/ca'] = text('ca.crt');
  assert.deepEqual(await send(), OK_RESULT);
  assert.deepEqual(parameters.asked[0], { Name: '/vpcflowd/ca', WithDecryption: true });
  assert.equal(daemon.payloads.length, 1);
});

test('secrets are kept for five minutes, and an old value is used where a new one cannot be had', async (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const secrets = fakeSecrets({ [ARN]: 'first' });
  useServices(t, { secrets });
  const none = { tls: false, ca: '', pins: [], serverName: '', certificate: '', key: '' };
  const credentials = new Credentials({ ...none, token: ARN });
  assert.equal((await credentials.get()).token, 'first');
  assert.equal((await credentials.get()).token, 'first');
  assert.equal(secrets.asked, 1);
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 301_000);
  delete secrets.values[ARN];
  assert.equal((await credentials.get()).token, 'first');
  assert.match(warn.mock.calls[0].arguments[0], /cannot read .*the value read before is used/);
  secrets.values[ARN] = 'second';
  t.mock.method(Date, 'now', () => now + 340_000);
  assert.equal((await credentials.get()).token, 'second');
});

for (const [name, token, message] of [
  ['a secret that is not there', `${ARN}x`, /VPCFLOWD_TOKEN: cannot read arn:.*can't find/],
  ['a key that is not there', `${ARN}#nothing`, /no text under the key "nothing"/],
  ['a secret that is no JSON', `${ARN}2#key`, /is not JSON/],
  ['a parameter that is not there', 'ssm:/none', /cannot read ssm:\/none: ParameterNotFound/],
  ['an empty secret', `${ARN}3`, /holds no text/],
  ['a token with a line break', 'hidden\nvalue', /printable ASCII/],
]) {
  test(`${name} is named in the error, its value is not`, async (t) => {
    useServices(t, {
      secrets: fakeSecrets({ [ARN]: '{"key":"hidden"}', [`${ARN}2`]: 'hidden', [`${ARN}3`]: ' ' }),
      parameters: fakeParameters({}),
    });
    const daemon = await startDaemon(t);
    useDaemon(t, daemon);
    useTls(t, { TOKEN: token });
    await assert.rejects(send(), (error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(`${error.message} ${error.stack}`, /hidden/);
      return true;
    });
    assert.equal(daemon.payloads.length, 0);
  });
}

test('without the SDK a setting that needs it says what is missing', async (t) => {
  useDaemon(t, await startDaemon(t));
  useTls(t, { TOKEN: 'ssm:/vpcflowd/token' });
  await assert.rejects(send(), /VPCFLOWD_TOKEN: .*client-ssm|VPCFLOWD_TOKEN: cannot read/);
});

for (const [settings, message] of [
  [{ CA: 'x' }, /VPCFLOWD_CA is set, but TLS is not switched on/],
  [{ TLS: '0', PIN_SHA256: '00'.repeat(32) }, /VPCFLOWD_PIN_SHA256 is set, but TLS is not/],
  [{ TLS: 'maybe' }, /VPCFLOWD_TLS must be 1 or 0, not "maybe"/],
  [{ TLS: '1', PIN_SHA256: 'abc' }, /SHA-256 in 64 hexadecimal digits, not "abc"/],
  [{ TLS: '1', CLIENT_KEY: 'hidden' }, /must be set together/],
  [{ TLS: '1', CA: 'hidden' }, /VPCFLOWD_CA must be PEM text/],
  [{ TLS: '1', CLIENT_KEY: 'hidden', CLIENT_CERTIFICATE: 'hidden' }, /VPCFLOWD_CLIENT_CERTIFICATE must be PEM text/],
  [{ TLS: '1', CA: '-----BEGIN CERTIFICATE-----\nhidden\n-----END CERTIFICATE-----\n' }, /cannot be used|not to be/],
]) {
  test(`settings ${Object.keys(settings).join(', ')}: ${message.source.slice(0, 60)}`, { skip }, async (t) => {
    await start(t);
    useTls(t, settings);
    await assert.rejects(send(), (error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hidden/);
      return true;
    });
  });
}

// The real daemon.

function configuration(t, { clientCa = false, token = null } = {}) {
  let conf = `[listener]\naddress = 127.0.0.1:%PORT%\n`;
  conf += `tls_certificate = ${certificates.path('server.crt')}\ntls_key = ${certificates.path('server.key')}\n`;
  if (clientCa) {
    conf += `tls_client_ca = ${certificates.path('ca.crt')}\n`;
  }
  const folder = temporaryFolder(t);
  if (token !== null) {
    writeFileSync(join(folder, 'tokens'), `${token}\nanother-token-of-a-rotation\n`, { mode: 0o600 });
    conf += `token_file = ${join(folder, 'tokens')}\n`;
  }
  return `${conf}\n[collector "file"]\ntransport = file\naddress = ${join(folder, 'flows.ipfix')}\n\n` +
    '[vpc "default"]\nexporter_ip = 127.0.0.9\n';
}

const real = (name, set, body) =>
  test(`the daemon: ${name}`, { skip: realOptions.skip || skip }, async (t) => {
    const daemon = await startVpcflowd(t, { conf: configuration(t, set) });
    useDaemon(t, daemon);
    await body(t, daemon);
  });

const EXPORTED = { exported: 1, skipped: 0, rejected: 0, duplicate: 0 };
const sendLine = (number) => handler(cloudWatchEvent([flowLine(number)]), contextWith(10_000));

real('TLS with its authority, and with a pin; not with another authority or pin, nor in the clear', {}, async (t) => {
  useTls(t, { TLS: '1', CA: text('ca.crt') });
  assert.deepEqual(await sendLine(1), EXPORTED);
  useTls(t, { TLS: '1', PIN_SHA256: pin('server.crt') });
  assert.deepEqual(await sendLine(2), EXPORTED);
  useTls(t, { TLS: '1', CA: text('otherCa.crt') });
  await assert.rejects(sendLine(3), /not to be trusted/);
  useTls(t, { TLS: '1', PIN_SHA256: pin('ca.crt') });
  await assert.rejects(sendLine(4), /another certificate/);
  useTls(t, {});
  await assert.rejects(sendLine(5), /closed|ECONNRESET|answered/);
});

real('a client certificate where it asks for one', { clientCa: true }, async (t) => {
  const trusted = { TLS: '1', CA: text('ca.crt') };
  useTls(t, { ...trusted, CLIENT_CERTIFICATE: text('client.crt'), CLIENT_KEY: text('client.key') });
  assert.deepEqual(await sendLine(1), EXPORTED);
  useTls(t, trusted);
  await assert.rejects(sendLine(2));
  useTls(t, { ...trusted, CLIENT_CERTIFICATE: text('otherClient.crt'), CLIENT_KEY: text('otherClient.key') });
  await assert.rejects(sendLine(3));
});

real('a token, a wrong one, none', { token: 'the-token-of-this-test-0123456789' }, async (t) => {
  useTls(t, { TLS: '1', CA: text('ca.crt'), TOKEN: 'the-token-of-this-test-0123456789' });
  assert.deepEqual(await sendLine(1), EXPORTED);
  useTls(t, { TLS: '1', CA: text('ca.crt'), TOKEN: 'wrong' });
  await assert.rejects(sendLine(2), /ERR 401/);
  useTls(t, { TLS: '1', CA: text('ca.crt') });
  await assert.rejects(sendLine(3), /ERR 401/);
});
