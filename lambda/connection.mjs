// The client's side of vpcflowd's wire protocol (docs/protocol.md): counted payloads out, one reply line each back.

import net from 'node:net';

// A longer line without an end is not a reply.
const REPLY_MAX = 4096;
// vpcflowd closes an idle connection after 60 s by default, and firewalls forget one without a word. So one that was
// idle for nearly that long is not used again.
const IDLE_MAX_MS = 50_000;

// The daemon answered, and the answer was not OK. `status` is the reply's code (as HTTP's), or 0 if it had none.
export class ReplyError extends Error {
  constructor(peer, reply) {
    super(`${peer} answered: ${reply}`);
    this.name = 'ReplyError';
    this.reply = reply;
    this.status = Number(/^ERR (\d{3})\b/.exec(reply)?.[1] ?? 0);
  }
}

// One daemon, and the TCP connection to it, opened when it is first needed and kept afterwards.
//
// Several payloads may be in flight: replies come in the order of the payloads, so the requests that wait on a
// connection are a queue. A connection that had answered before and then ends may just have been idle for too long:
// what waits on it is sent once more, on a new one. The daemon may have had it already: better twice than not at all.
// A connection that ends before its first answer is an error.
export class DaemonConnection {
  #host;
  #port;
  #peer;
  // The TCP connection in use: { socket, queue, answered, text, idleSince }, or null. One that has ended is replaced,
  // never mended, so that events of the old socket cannot reach the new one's requests.
  #link = null;

  constructor(host, port) {
    this.#host = host;
    this.#port = port;
    this.#peer = `vpcflowd at ${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  }

  // Sends one payload. Resolves with the counts of an OK reply: { exported, skipped, rejected, duplicate }. Rejects
  // with a ReplyError on any other reply, and with an Error if none came within `timeoutMs`.
  send(payload, timeoutMs) {
    return new Promise((resolve, reject) => {
      const request = { payload, resolve, reject, link: null, resent: false, timer: null };
      this.#transmit(request);
      request.timer = setTimeout(() => this.#expire(request, timeoutMs), timeoutMs);
    });
  }

  #transmit(request) {
    const link = this.#usableLink();
    request.link = link;
    link.queue.push(request);
    link.socket.ref();
    link.socket.cork();
    link.socket.write(`DATA ${request.payload.length}\n`);
    link.socket.write(request.payload);
    link.socket.uncork();
  }

  #usableLink() {
    const link = this.#link;
    if (link !== null) {
      const stale = link.queue.length === 0 && Date.now() - link.idleSince > IDLE_MAX_MS;
      if (stale || link.socket.destroyed || !link.socket.writable) {
        this.#lose(link, new Error('the connection had ended'));
      }
    }
    this.#link ??= this.#open();
    return this.#link;
  }

  #open() {
    const socket = net.connect({ host: this.#host, port: this.#port, noDelay: true, keepAlive: true });
    const link = { socket, queue: [], answered: false, text: '', idleSince: Date.now() };
    socket.setEncoding('utf8');
    socket.on('data', (text) => this.#receive(link, text));
    socket.on('error', (error) => this.#lose(link, error));
    // The daemon never ends its half alone: an end is the end, also for what waits to be written.
    socket.on('end', () => this.#lose(link, new Error('the connection was closed before the reply')));
    socket.on('close', () => this.#lose(link, new Error('the connection was closed before the reply')));
    return link;
  }

  #receive(link, text) {
    link.text += text;
    for (let end = link.text.indexOf('\n'); end >= 0; end = link.text.indexOf('\n')) {
      const line = link.text.slice(0, end).replace(/\r$/, '');
      link.text = link.text.slice(end + 1);
      if (!this.#answer(link, line)) {
        return;
      }
    }
    if (link.text.length > REPLY_MAX) {
      this.#distrust(link, link.text);
    }
  }

  // Gives a reply line to the request it belongs to. False if the connection cannot be used after it.
  #answer(link, line) {
    const result = parseOk(line);
    if (link.queue.length === 0 || (result === null && !line.startsWith('ERR '))) {
      this.#distrust(link, line);
      return false;
    }
    const request = link.queue.shift();
    link.answered = true;
    if (result !== null) {
      settle(request, () => request.resolve(result));
    } else {
      settle(request, () => request.reject(new ReplyError(this.#peer, line)));
    }
    if (link.queue.length === 0) {
      link.idleSince = Date.now();
      // An idle connection does not keep a process alive that has nothing else to do.
      link.socket.unref();
    }
    return true;
  }

  // What came is no reply of vpcflowd's, so nothing after it can be paired with a payload: everyone is told.
  #distrust(link, text) {
    const error = new ReplyError(this.#peer, JSON.stringify(text.slice(0, 200)));
    for (const request of link.queue.splice(0)) {
      settle(request, () => request.reject(error));
    }
    this.#lose(link, error);
  }

  #expire(request, timeoutMs) {
    const { link } = request;
    const error = link.socket.connecting
      ? new Error(`no connection to ${this.#peer} within ${Math.round(timeoutMs)} ms`)
      : new Error(`no reply from ${this.#peer} within ${Math.round(timeoutMs)} ms`);
    link.queue.splice(link.queue.indexOf(request), 1);
    settle(request, () => request.reject(error));
    // The late reply would be taken for the next payload's.
    this.#lose(link, error);
  }

  // The connection has ended, or is made to. Safe to call again: an end is often told by several events.
  #lose(link, cause) {
    if (this.#link === link) {
      this.#link = null;
    }
    link.socket.destroy();
    for (const request of link.queue.splice(0)) {
      if (link.answered && !request.resent) {
        request.resent = true;
        this.#transmit(request);
      } else {
        const error = new Error(`${this.#peer}: ${messageOf(cause)}`, { cause });
        settle(request, () => request.reject(error));
      }
    }
  }
}

function settle(request, tell) {
  clearTimeout(request.timer);
  tell();
}

// An OK line's counts, or null. Further keys of a later version are passed over.
function parseOk(line) {
  if (!line.startsWith('OK ')) {
    return null;
  }
  const values = new Map(line.slice(3).split(' ').map((pair) => pair.split('=', 2)));
  const result = {};
  for (const key of ['exported', 'skipped', 'rejected', 'duplicate']) {
    const value = values.get(key);
    if (!/^[0-9]+$/.test(value ?? '')) {
      return null;
    }
    result[key] = Number(value);
  }
  return result;
}

// Newer Node versions try several addresses and then give an error that has its causes' texts but none of its own.
function messageOf(error) {
  return error.message || error.errors?.map((e) => e.message).join('; ') || error.code || 'connection failed';
}
