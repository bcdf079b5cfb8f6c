// What a connection proves itself with, and what it trusts: token, authorities, pins, client certificate.

import { isReference, readSecret } from './secrets.mjs';

const KEEP_MS = 300_000;
// After a failed refresh the old values are used this long before the next try.
const RETRY_MS = 30_000;
const TOKEN_MAX = 512;

export class Credentials {
  #settings;
  #current = null;
  #expires = 0;
  #pending = null;

  // `settings` as readSettings() gives them: { tls, ca, pins, serverName, certificate, key, token }.
  constructor(settings) {
    this.#settings = settings;
  }

  // May the values be others when they are read again?
  get renewable() {
    const { ca, certificate, key, token } = this.#settings;
    return [ca, certificate, key, token].some(isReference);
  }

  // { token, tls }: what openSocket() takes as `secure` is under tls, null for plain TCP. Read at most every 5 minutes.
  get() {
    if (this.#current !== null && Date.now() < this.#expires) {
      return this.#current;
    }
    this.#pending ??= this.#read().finally(() => {
      this.#pending = null;
    });
    return this.#pending;
  }

  // The daemon did not take these, or they did not take the daemon: the next get() reads anew.
  forget(used) {
    if (used !== null && used === this.#current) {
      this.#current = null;
    }
  }

  async #read() {
    try {
      this.#current = await readAll(this.#settings);
      this.#expires = Date.now() + KEEP_MS;
    } catch (error) {
      if (this.#current === null) {
        throw error;
      }
      console.warn(`${error.message}; the value read before is used for now`);
      this.#expires = Date.now() + RETRY_MS;
    }
    return this.#current;
  }
}

async function readAll(settings) {
  const [token, ca, certificate, key] = await Promise.all([
    readSecret('VPCFLOWD_TOKEN', settings.token),
    readSecret('VPCFLOWD_CA', settings.ca),
    readSecret('VPCFLOWD_CLIENT_CERTIFICATE', settings.certificate),
    readSecret('VPCFLOWD_CLIENT_KEY', settings.key),
  ]);
  const secure = {
    ca: pem('VPCFLOWD_CA', ca, 'CERTIFICATE'),
    pins: settings.pins,
    serverName: settings.serverName,
    certificate: pem('VPCFLOWD_CLIENT_CERTIFICATE', certificate, 'CERTIFICATE'),
    key: pem('VPCFLOWD_CLIENT_KEY', key, 'PRIVATE KEY'),
  };
  return { token: checkedToken(token), tls: settings.tls ? secure : null };
}

function checkedToken(text) {
  const token = text.trim();
  if (!/^[\x21-\x7e]*$/.test(token) || token.length > TOKEN_MAX) {
    throw new Error(`VPCFLOWD_TOKEN must be 1 to ${TOKEN_MAX} printable ASCII characters without spaces`);
  }
  return token;
}

// Consoles make one line of a variable: \n in it stands for the end of a line.
function pem(name, text, what) {
  const value = text.includes('\n') ? text : text.replaceAll('\\n', '\n');
  if (value !== '' && !value.includes(`${what}-----`)) {
    throw new Error(`${name} must be PEM text ("-----BEGIN ${what}-----"), or name a secret that holds it`);
  }
  return value;
}
