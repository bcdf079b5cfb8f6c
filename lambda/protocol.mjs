// vpcflowd's replies (docs/protocol.md), and the errors that a payload can end with.

export const NOTHING = Object.freeze({ exported: 0, skipped: 0, rejected: 0, duplicate: 0 });

// Codes that say nothing about the payload: the client's credentials, or its pace.
const NOT_THE_PAYLOAD = new Set([401, 403, 408, 429]);

// This payload will never be taken as it is: another try is of no use.
export class Refused extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'Refused';
    this.refused = true;
  }
}

// The daemon answered, and the answer was not OK. `status` is the reply's code (as HTTP's), or 0 if it had none.
export class ReplyError extends Error {
  constructor(peer, reply, hint = '') {
    super(`${peer} answered: ${reply}${hint}`);
    this.name = 'ReplyError';
    this.reply = reply;
    this.status = Number(/^ERR (\d{3})\b/.exec(reply)?.[1] ?? 0);
    this.refused = this.status >= 400 && this.status < 500 && !NOT_THE_PAYLOAD.has(this.status);
  }
}

// The connection could not be made, or ended before the reply.
export class ConnectionError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'ConnectionError';
  }
}

// The connection stood, and the time ended without a reply.
export class ReplyTimeout extends Error {
  constructor(message) {
    super(message);
    this.name = 'ReplyTimeout';
  }
}

// An OK line's counts, or null. Further keys of a later version are passed over.
export function parseOk(line) {
  if (!line.startsWith('OK ')) {
    return null;
  }
  const values = new Map(line.slice(3).split(' ').map((pair) => pair.split('=', 2)));
  const result = {};
  for (const key of Object.keys(NOTHING)) {
    const value = values.get(key);
    if (!/^[0-9]+$/.test(value ?? '')) {
      return null;
    }
    result[key] = Number(value);
  }
  return result;
}

export function addCounts(sum, counts) {
  const result = {};
  for (const key of Object.keys(NOTHING)) {
    result[key] = sum[key] + counts[key];
  }
  return result;
}
