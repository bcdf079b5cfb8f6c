// The daemons that VPCFLOWD_HOST names, and which of them gets a payload.

import dns from 'node:dns';
import { isIP } from 'node:net';

import { DaemonConnection } from './connection.mjs';
import { Credentials } from './credentials.mjs';
import { ConnectionError, ReplyError, ReplyTimeout } from './protocol.mjs';

// How long a name's addresses are kept.
const NAME_KEEP_MS = 30_000;
// How long finding them may take, before the connection is left to find one.
const NAME_MS = 3_000;
// How long a daemon that failed is asked only after all the others.
const AVOID_MS = 5_000;
// How long connecting may take where another daemon could be asked instead.
const CONNECT_MS = 5_000;
// With less time than this left another daemon is not begun with, and silence says nothing about a daemon.
const TRY_MIN_MS = 100;
const SILENCE_MIN_MS = 1_000;
const STREAMS_KEPT = 4;

// Each payload has a key (its log stream, say), and each key its own order of the daemons (rendezvous hashing): the
// payloads of a key go to one daemon as long as that one is up, and to the next in the key's order when it is not.
// A daemon more or less moves no more keys than it must.
export class Daemons {
  #hosts;
  #credentials;
  #targets = new Map();
  #addresses = new Map();

  constructor(settings) {
    this.#hosts = settings.hosts;
    this.#credentials = settings.tls || settings.token !== '' ? new Credentials(settings) : null;
  }

  // Sends one payload (see DaemonConnection), until `deadline` (as Date.now()). `keyOf` is called only where there is
  // a choice. Rejects with the error of the only, or the last, daemon.
  async send(payload, keyOf, deadline) {
    const targets = await this.#rank(keyOf, deadline);
    const failures = [];
    for (const [i, target] of targets.entries()) {
      const left = Math.max(0, deadline - Date.now());
      if (left < TRY_MIN_MS && failures.length > 0) {
        break;
      }
      const connectMs = i + 1 < targets.length ? Math.min(CONNECT_MS, left / 2) : Infinity;
      try {
        return await this.#sendTo(target, payload, deadline, connectMs);
      } catch (error) {
        if (!isDaemonsFault(error)) {
          throw error;
        }
        failures.push(error);
        if (!(error instanceof ReplyTimeout)) {
          target.avoidUntil = Date.now() + AVOID_MS;
          continue;
        }
        if (left >= SILENCE_MIN_MS) {
          target.avoidUntil = Date.now() + AVOID_MS;
        }
        break;
      }
    }
    throw failures.length === 1 ? failures[0] : allFailed(failures);
  }

  async #sendTo(target, payload, deadline, connectMs) {
    for (let first = true; ; first = false) {
      const connection = target.take(payload);
      try {
        return await connection.send(payload, Math.max(0, deadline - Date.now()), connectMs);
      } catch (error) {
        // Token or certificates may have been exchanged since they were read: read them again, once.
        const mayBeOld = error.status === 401 || error.tls === true;
        if (!(first && mayBeOld && this.#credentials?.renewable)) {
          throw error;
        }
      } finally {
        target.giveBack(payload, connection);
      }
    }
  }

  // The daemons in the key's order, those that failed a moment ago behind the others.
  async #rank(keyOf, deadline) {
    const targets = await this.#resolve(Math.min(NAME_MS, Math.max(0, deadline - Date.now()) / 2));
    if (targets.length === 1) {
      return targets;
    }
    const key = keyOf();
    const now = Date.now();
    const rank = (target) => ({ target, avoided: target.avoidUntil > now ? 1 : 0, score: score(key, target.name) });
    return targets
      .map(rank)
      .sort((a, b) => a.avoided - b.avoided || b.score - a.score)
      .map(({ target }) => target);
  }

  async #resolve(limitMs) {
    const lists = await Promise.all(this.#hosts.map(({ host }) => this.#addressesOf(host, limitMs)));
    const found = new Map();
    for (const [i, { host, port }] of this.#hosts.entries()) {
      // A host's only address is looked up by the connection, as ever.
      const addresses = this.#hosts.length === 1 && lists[i].length === 1 ? [host] : lists[i];
      for (const address of addresses) {
        const name = `${address} ${port}`;
        found.set(name, this.#targets.get(name) ?? new Target(name, host, port, address, this.#credentials));
      }
    }
    for (const [name, target] of this.#targets) {
      if (!found.has(name)) {
        target.close();
      }
    }
    this.#targets = found;
    return [...found.values()];
  }

  // A name that cannot be resolved, or not in time, keeps the addresses it had, or stands for itself: connecting to it
  // tells the error.
  #addressesOf(host, limitMs) {
    if (isIP(host)) {
      return [host];
    }
    const known = this.#addresses.get(host);
    if (known !== undefined && known.expires > Date.now()) {
      return known.addresses;
    }
    const before = known?.list ?? [host];
    const entry = { list: before, expires: Date.now() + NAME_KEEP_MS };
    entry.addresses = lookUp(host, limitMs).then(
      (addresses) => (entry.list = addresses),
      () => {
        entry.expires = 0;
        return before;
      },
    );
    this.#addresses.set(host, entry);
    return entry.addresses;
  }
}

async function lookUp(host, limitMs) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error('late')), limitMs);
  });
  try {
    const answers = await Promise.race([dns.promises.lookup(host, { all: true }), late]);
    return [...new Set(answers.map(({ address }) => address))].sort();
  } finally {
    clearTimeout(timer);
  }
}

// One address of a daemon: the connection that payloads share, and those that objects are streamed over, one each.
class Target {
  #make;
  #shared;
  #streams = [];

  constructor(name, host, port, address, credentials) {
    this.name = name;
    this.avoidUntil = 0;
    this.#make = () => new DaemonConnection(host, port, { address, credentials });
    this.#shared = this.#make();
  }

  take(payload) {
    return Buffer.isBuffer(payload) ? this.#shared : (this.#streams.pop() ?? this.#make());
  }

  giveBack(payload, connection) {
    if (Buffer.isBuffer(payload)) {
      return;
    }
    if (this.#streams.length < STREAMS_KEPT) {
      this.#streams.push(connection);
    } else {
      connection.close();
    }
  }

  close() {
    // What is in flight there may still be answered; a connection that idles is closed by the daemon.
    this.#streams.splice(0).forEach((connection) => connection.close());
  }
}

function isDaemonsFault(error) {
  return (
    error instanceof ConnectionError ||
    error instanceof ReplyTimeout ||
    (error instanceof ReplyError && error.status >= 500)
  );
}

function allFailed(failures) {
  const last = failures[failures.length - 1];
  const error = new Error(
    `none of ${failures.length} daemons took the payload: ${failures.map((failure) => failure.message).join('; ')}`,
    { cause: last },
  );
  error.status = last.status;
  return error;
}

// FNV-1a over both names, and the last mixing steps of MurmurHash3, as FNV alone leaves the high bits alike.
function score(key, name) {
  let hash = 0x811c9dc5;
  const text = `${name}\n${key}`;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
