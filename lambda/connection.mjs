// The client's side of vpcflowd's wire protocol (docs/protocol.md): counted payloads out, one reply line each back.

import { openSocket } from './socket.mjs';
import { ConnectionError, ReplyError, ReplyTimeout, parseOk } from './protocol.mjs';

// A longer line without an end is not a reply.
const REPLY_MAX = 4096;
// vpcflowd closes an idle connection after 60 s by default, and firewalls forget one without a word. So one that was
// idle for nearly that long is not used again.
const IDLE_MAX_MS = 50_000;
const WRONG_TOKEN = '; VPCFLOWD_TOKEN must be one of the tokens in the token_file of vpcflowd\'s [listener]';

// One daemon, and the connection to it, opened when it is first needed and kept afterwards.
//
// Several payloads may be in flight: replies come in the order of the payloads, so the requests that wait on a
// connection are a queue. A connection that had answered before and then ends may just have been idle for too long:
// what waits on it is sent once more, on a new one. The daemon knows a repeat when it sees one (duplicate=1).
// A connection that ends before its first answer is an error.
//
// A payload is a Buffer, or an object read as it is sent: { length, open() → { chunks, stop() } }, where chunks is an
// async iterable and stop() ends the reading. While one of those is under way nothing else may be sent: whoever has
// several takes a connection for each.
export class DaemonConnection {
  #host;
  #port;
  #address;
  #credentials;
  #peer;
  // The connection in use, or null. One that has ended is replaced, never mended, so that events of the old socket
  // cannot reach the new one's requests.
  #link = null;

  // `address` is where to connect to, if `host` has several; `credentials` is null for plain TCP without a token.
  constructor(host, port, { address = host, credentials = null } = {}) {
    this.#host = host;
    this.#port = port;
    this.#address = address;
    this.#credentials = credentials;
    this.#peer = `vpcflowd at ${host.includes(':') ? `[${host}]` : host}:${port}`;
    if (address !== host) {
      this.#peer += ` (${address})`;
    }
  }

  // Sends one payload. Resolves with the counts of an OK reply: { exported, skipped, rejected, duplicate }. Rejects
  // with a ReplyError on any other reply, with a ConnectionError if the connection cannot be made (within `connectMs`,
  // where that is given) or ends, and with a ReplyTimeout or ConnectionError if `timeoutMs` pass.
  send(payload, timeoutMs, connectMs = Infinity) {
    return new Promise((resolve, reject) => {
      const request = { payload, resolve, reject, connectMs, link: null, resent: false, settled: false };
      request.timer = setTimeout(() => this.#expire(request, timeoutMs), timeoutMs);
      this.#transmit(request);
    });
  }

  close() {
    if (this.#link !== null) {
      this.#lose(this.#link, new Error('the connection was closed here'));
    }
  }

  #transmit(request) {
    const link = this.#usableLink();
    request.link = link;
    link.queue.push(request);
    this.#limitConnecting(link, request.connectMs);
    link.socket?.ref();
    if (link.ready) {
      this.#write(link, request);
    }
  }

  #write(link, request) {
    const { socket } = link;
    const { payload } = request;
    if (!Buffer.isBuffer(payload)) {
      void this.#writeStream(link, request);
      return;
    }
    // What is sent in one turn of the event loop leaves in one system call.
    socket.cork();
    socket.write(`DATA ${payload.length}\n`);
    socket.write(payload);
    process.nextTick(() => socket.uncork());
  }

  async #writeStream(link, request) {
    const { socket } = link;
    const { payload } = request;
    const going = () => !link.ended && !request.settled;
    let source = null;
    let written = 0;
    try {
      source = await payload.open();
      request.stop = source.stop;
      if (going()) {
        socket.write(`DATA ${payload.length}\n`);
      }
      for await (const chunk of source.chunks) {
        if (!going() || written + chunk.length > payload.length) {
          break;
        }
        written += chunk.length;
        if (!socket.write(chunk)) {
          await drained(link);
        }
      }
      if (going() && written !== payload.length) {
        throw new Error(`it has another length than the ${payload.length} bytes announced; it changed meanwhile`);
      }
    } catch (error) {
      if (going()) {
        this.#withdraw(request, error);
      }
    } finally {
      source?.stop();
    }
    // An answer that came before the end of the payload: what follows could not be told from the next one.
    if (!link.ended && request.settled && written !== payload.length) {
      this.#lose(link, new Error('the payload was not sent to its end'));
    }
  }

  // The payload itself could not be read: nobody's fault on the connection, but half of it may have been sent.
  #withdraw(request, error) {
    const { link } = request;
    link.queue.splice(link.queue.indexOf(request), 1);
    settle(request, () => request.reject(error));
    this.#lose(link, error);
  }

  #usableLink() {
    const link = this.#link;
    if (link !== null) {
      const stale = link.queue.length === 0 && Date.now() - link.idleSince > IDLE_MAX_MS;
      if (stale || (link.ready && (link.socket.destroyed || !link.socket.writable))) {
        this.#lose(link, new Error('the connection had ended'));
      }
    }
    this.#link ??= this.#open();
    return this.#link;
  }

  // The first to give a limit is the one that counts.
  #limitConnecting(link, connectMs) {
    if (!link.ready && link.timer === null && Number.isFinite(connectMs)) {
      const late = () => this.#lose(link, new Error(`no connection within ${Math.round(connectMs)} ms`));
      link.timer = setTimeout(late, connectMs);
    }
  }

  #open() {
    const link = {
      socket: null, queue: [], ready: false, ended: false, answered: false, text: '', idleSince: Date.now(),
      used: null, timer: null, wake: null,
    };
    void this.#dial(link);
    return link;
  }

  async #dial(link) {
    try {
      link.used = this.#credentials === null ? null : await this.#credentials.get();
      if (link.ended) {
        return;
      }
      const target = { host: this.#host, port: this.#port, address: this.#address };
      link.socket = openSocket(target, link.used?.tls ?? null, (error) => {
        if (error) {
          this.#lose(link, error);
        } else {
          this.#begin(link);
        }
      });
    } catch (error) {
      // Not before the request that is the reason for this connection waits on it.
      process.nextTick(() => this.#lose(link, error));
      return;
    }
    const { socket } = link;
    const gone = () => this.#lose(link, new Error('the connection was closed before the reply'));
    socket.on('data', (text) => this.#receive(link, text));
    socket.on('error', (error) => this.#lose(link, error));
    socket.on('drain', () => link.wake?.());
    // The daemon never ends its half alone: an end is the end, also for what waits to be written.
    socket.on('end', gone);
    socket.on('close', gone);
  }

  // The connection stands: the token goes first, then what has been waiting.
  #begin(link) {
    if (link.ended) {
      return;
    }
    clearTimeout(link.timer);
    link.ready = true;
    if (link.used?.token) {
      link.socket.write(`AUTH ${link.used.token}\n`);
    }
    for (const request of [...link.queue]) {
      this.#write(link, request);
    }
  }

  #receive(link, text) {
    link.text += text;
    for (let end = link.text.indexOf('\n'); end >= 0; end = link.text.indexOf('\n')) {
      const line = link.text.slice(0, end).replace(/\r$/, '');
      link.text = link.text.slice(end + 1);
      if (link.ended || !this.#answer(link, line)) {
        return;
      }
    }
    if (link.text.length > REPLY_MAX) {
      this.#distrust(link, new ReplyError(this.#peer, JSON.stringify(link.text.slice(0, 200))));
    }
  }

  // Gives a reply line to the request it belongs to. False if the connection cannot be used after it.
  #answer(link, line) {
    const result = parseOk(line);
    if (link.queue.length === 0 || (result === null && !line.startsWith('ERR '))) {
      this.#distrust(link, new ReplyError(this.#peer, JSON.stringify(line.slice(0, 200))));
      return false;
    }
    if (line.startsWith('ERR 401')) {
      // That is about the connection: nothing behind it would be taken either.
      this.#credentials?.forget(link.used);
      this.#distrust(link, new ReplyError(this.#peer, line, WRONG_TOKEN));
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

  // What came is no reply to a payload, so nothing after it can be paired with one: everyone is told.
  #distrust(link, error) {
    for (const request of link.queue.splice(0)) {
      settle(request, () => request.reject(error));
    }
    this.#lose(link, error);
  }

  #expire(request, timeoutMs) {
    const { link } = request;
    const within = `within ${Math.round(timeoutMs)} ms`;
    let error = new ConnectionError(
      `no connection to ${this.#peer} ${within}: is it reachable from here (routes, firewall)?`,
    );
    if (link.ready) {
      error = new ReplyTimeout(`no reply from ${this.#peer} ${within}: is it overloaded, or is its collector away?`);
    } else if (link.socket === null) {
      error = new Error(
        `the secrets that VPCFLOWD_… settings name were not read ${within}: in a VPC they need a NAT gateway, or ` +
          'an endpoint for secretsmanager or ssm',
      );
    }
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
    clearTimeout(link.timer);
    link.ended = true;
    link.wake?.();
    link.socket?.destroy();
    if (cause.tls) {
      this.#credentials?.forget(link.used);
    }
    for (const request of link.queue.splice(0)) {
      request.stop?.();
      if (link.answered && !request.resent) {
        request.resent = true;
        this.#transmit(request);
      } else {
        const error = new ConnectionError(`${this.#peer}: ${messageOf(cause)}`, { cause });
        error.tls = cause.tls === true;
        settle(request, () => request.reject(error));
      }
    }
  }
}

// Until the socket takes more, or the connection has ended.
function drained(link) {
  if (link.ended) {
    return undefined;
  }
  return new Promise((resolve) => {
    link.wake = () => {
      link.wake = null;
      resolve();
    };
  });
}

function settle(request, tell) {
  clearTimeout(request.timer);
  request.settled = true;
  request.stop?.();
  request.link?.wake?.();
  tell();
}

// Newer Node versions try several addresses and then give an error that has its causes' texts but none of its own.
function messageOf(error) {
  return error.message || error.errors?.map((e) => e.message).join('; ') || error.code || 'connection failed';
}
