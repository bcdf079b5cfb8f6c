// The function's settings: environment variables, checked.

import { isIP } from 'node:net';

const DEFAULT_PORT = 20555;
const DEFAULT_MAX_PAYLOAD = 16 * 1024 * 1024;
const UNITS = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };
const TLS_ONLY = {
  VPCFLOWD_CA: 'ca',
  VPCFLOWD_PIN_SHA256: 'pin',
  VPCFLOWD_SERVER_NAME: 'serverName',
  VPCFLOWD_CLIENT_CERTIFICATE: 'certificate',
  VPCFLOWD_CLIENT_KEY: 'key',
};

// Read at each invocation, so that a mended setting needs no new code. Errors never hold a value that may be secret.
export function readSettings(env) {
  const text = (name) => (env[name] ?? '').trim();
  const settings = {
    hosts: readHosts(text('VPCFLOWD_HOST'), readPort(text('VPCFLOWD_PORT'), 'VPCFLOWD_PORT')),
    tls: readSwitch('VPCFLOWD_TLS', text('VPCFLOWD_TLS')),
    ca: text('VPCFLOWD_CA'),
    pins: readPins(text('VPCFLOWD_PIN_SHA256')),
    serverName: text('VPCFLOWD_SERVER_NAME'),
    certificate: text('VPCFLOWD_CLIENT_CERTIFICATE'),
    key: text('VPCFLOWD_CLIENT_KEY'),
    token: text('VPCFLOWD_TOKEN'),
    maxPayload: readSize('VPCFLOWD_MAX_PAYLOAD', text('VPCFLOWD_MAX_PAYLOAD')),
    deadLetterQueue: text('VPCFLOWD_DEAD_LETTER_QUEUE_URL'),
  };
  const tlsOnly = Object.keys(TLS_ONLY).filter((name) => text(name) !== '');
  if (!settings.tls && tlsOnly.length > 0) {
    throw new Error(`${tlsOnly[0]} is set, but TLS is not switched on: set VPCFLOWD_TLS to 1`);
  }
  if ((settings.certificate === '') !== (settings.key === '')) {
    throw new Error('VPCFLOWD_CLIENT_CERTIFICATE and VPCFLOWD_CLIENT_KEY must be set together');
  }
  if (settings.deadLetterQueue !== '' && !/^https?:\/\/[^\s/]+\/.+/.test(settings.deadLetterQueue)) {
    throw new Error(
      `VPCFLOWD_DEAD_LETTER_QUEUE_URL must be an SQS queue's URL (https://…), not "${settings.deadLetterQueue}"`,
    );
  }
  return settings;
}

function readHosts(text, defaultPort) {
  const entries = text.split(',').map((entry) => entry.trim()).filter((entry) => entry !== '');
  if (entries.length === 0) {
    throw new Error('VPCFLOWD_HOST is not set: it names the host, or hosts, that vpcflowd listens on');
  }
  return entries.map((entry) => readHost(entry, defaultPort));
}

function readHost(entry, defaultPort) {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(entry);
  const [, host, port] = bracketed ?? (isIP(entry) ? [entry, entry] : /^([^:]*)(?::(.*))?$/.exec(entry)) ?? [];
  const isName = /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(host ?? '') && bracketed === null;
  if ((isIP(host ?? '') === 0 && !isName) || (port ?? '').includes('/')) {
    throw new Error(
      'VPCFLOWD_HOST must be a host name or IP address, with its port if that is not VPCFLOWD_PORT, or several ' +
        `with commas between (a.example, 10.0.0.5:20556, [2001:db8::5]:20555), not "${entry}"`,
    );
  }
  return { host, port: port === undefined ? defaultPort : readPort(port, `the port of "${entry}" in VPCFLOWD_HOST`) };
}

function readPort(text, name) {
  const port = text === '' ? DEFAULT_PORT : Number(text);
  if (!/^[0-9]*$/.test(text) || port < 1 || port > 65535) {
    throw new Error(`${name} must be a number from 1 to 65535, not "${text}"`);
  }
  return port;
}

function readSwitch(name, text) {
  const values = { '': false, 0: false, false: false, no: false, 1: true, true: true, yes: true };
  const value = values[text.toLowerCase()];
  if (value === undefined) {
    throw new Error(`${name} must be 1 or 0, not "${text}"`);
  }
  return value;
}

function readPins(text) {
  const pins = text.split(',').map((pin) => pin.replace(/[:\s]/g, '').toLowerCase()).filter((pin) => pin !== '');
  const bad = pins.find((pin) => !/^[0-9a-f]{64}$/.test(pin));
  if (bad !== undefined) {
    throw new Error(
      `VPCFLOWD_PIN_SHA256 must be a certificate's SHA-256 in 64 hexadecimal digits, not "${bad}"; ` +
        '"openssl x509 -noout -fingerprint -sha256 -in FILE" shows it',
    );
  }
  return pins;
}

function readSize(name, text) {
  const [, digits, unit] = /^([0-9]{1,12})([KMG]?)$/i.exec(text === '' ? String(DEFAULT_MAX_PAYLOAD) : text) ?? [];
  const size = Number(digits) * UNITS[(unit ?? '').toUpperCase()];
  if (!(size >= 1024)) {
    throw new Error(`${name} must be the max_payload of vpcflowd's [listener] (16M, say; 1K at least), not "${text}"`);
  }
  return size;
}
