// Files of flow logs, in S3 or elsewhere: passed on as they are, read while they are sent.

import { service } from './aws.mjs';
import { PIECE, piecesOf } from './pieces.mjs';
import { NOTHING, Refused, addCounts } from './protocol.mjs';

// Pieces of a large file that are under way at a time.
const IN_FLIGHT = 2;
// Bytes that tell a format.
const HEAD = 16;
const FORMATS = [
  ['PAR1', 'Parquet'],
  ['\x28\xb5\x2f\xfd', 'zstd'],
  ['BZh', 'bzip2'],
  ['\xfd7zXZ', 'xz'],
  ['PK\x03\x04', 'a ZIP archive'],
  ['Obj\x01', 'Avro'],
  ['ORC', 'ORC'],
  ['%PDF', 'PDF'],
];

// An S3 object as a file: { label, key, open() → { length, chunks, stop() } }. Only s3:GetObject is needed.
export function s3File({ bucket, key }, label) {
  const open = async (signal) => {
    const s3 = await service('s3');
    const answer = await s3.getObject({ Bucket: bucket, Key: key }, { abortSignal: signal }).catch(explainS3);
    const { Body: body, ContentLength: length } = answer;
    return { length, chunks: body, stop: () => body.destroy?.() };
  };
  return { label, key: () => `${bucket}/${key}`, name: key, open };
}

function explainS3(error) {
  const known = {
    NoSuchKey: 'there is no such object any more',
    NoSuchBucket: 'there is no such bucket',
    InvalidObjectState: 'it is archived: restore it first',
  }[error.name];
  if (known !== undefined) {
    throw new Refused(`S3 says ${error.name}: ${known}`, { cause: error });
  }
  if (error.name === 'AccessDenied') {
    const denied = new Error(
      'S3 says AccessDenied: the role needs s3:GetObject on it, and kms:Decrypt where KMS encrypts it',
    );
    denied.final = true;
    throw denied;
  }
  throw new Error(`S3 says ${error.name}: ${error.message}`, { cause: error });
}

// Sends a file, by `deadline`. Resolves with the counts. A file that is larger than the daemon takes, as it is or
// inflated, goes in pieces; then, and only then, it is inflated here.
export async function sendFile(file, daemons, { deadline, maxPayload }) {
  if (/\.parquet$/i.test(file.name)) {
    throw wrongFormat('Parquet');
  }
  const reader = new Reader(file, deadline);
  try {
    const { length, head } = await reader.begin();
    if (head.length === 0) {
      return { ...NOTHING };
    }
    const gzipped = head[0] === 0x1f && head[1] === 0x8b;
    checkFormat(head, gzipped);
    if (length <= maxPayload) {
      try {
        return await daemons.send({ length, open: () => reader.open() }, file.key, deadline);
      } catch (error) {
        if (error.status !== 413) {
          throw error;
        }
      }
    }
    const { chunks } = await reader.open();
    const pieces = piecesOf(chunks, gzipped, Math.min(PIECE, Math.floor(maxPayload * 0.9)));
    return await sendPieces(pieces, (bytes) => daemons.send(bytes, file.key, deadline));
  } catch (error) {
    throw reader.late ? new Error('it could not be read and sent in the time there was', { cause: error }) : error;
  } finally {
    reader.end();
  }
}

// Reads a file, from the beginning as often as need be, and never beyond the deadline.
class Reader {
  #file;
  #deadline;
  #opened = null;
  #fresh = false;
  #timer;
  #abort = new AbortController();
  late = false;

  constructor(file, deadline) {
    this.#file = file;
    this.#deadline = deadline;
  }

  // The file's length and first bytes.
  async begin() {
    this.#timer = setTimeout(() => {
      this.late = true;
      this.#abort.abort();
      this.#opened?.stop();
    }, Math.max(0, this.#deadline - Date.now()));
    await this.#reopen();
    this.#fresh = true;
    return { length: this.#opened.length ?? Infinity, head: this.#opened.head };
  }

  // { chunks, stop() } from the file's first byte on; the first time what begin() opened.
  async open() {
    if (!this.#fresh) {
      await this.#reopen();
    }
    this.#fresh = false;
    return this.#opened;
  }

  end() {
    clearTimeout(this.#timer);
    this.#opened?.stop();
  }

  async #reopen() {
    this.#opened?.stop();
    const opened = await this.#file.open(this.#abort.signal);
    // What is being read can be stopped, also before its first byte.
    this.#opened = opened;
    const iterator = opened.chunks[Symbol.asyncIterator]();
    // The format shows in the first bytes, however short the chunks are.
    let head = Buffer.alloc(0);
    while (head.length < HEAD) {
      const next = await iterator.next();
      if (next.done) {
        break;
      }
      head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
    }
    this.#opened = { length: opened.length, head, chunks: rejoin(head, iterator), stop: opened.stop };
  }
}

async function* rejoin(head, iterator) {
  try {
    yield head;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

function checkFormat(head, gzipped) {
  const start = Buffer.from(head.subarray(0, 64)).toString('latin1');
  for (const [magic, name] of FORMATS) {
    if (start.startsWith(magic)) {
      throw wrongFormat(name);
    }
  }
  // zlib's deflate begins with an x.
  if (!gzipped && !start.startsWith('x') && /[^\t\r\n\x20-\x7e\x80-\xff]/.test(start)) {
    throw wrongFormat('binary data of an unknown kind');
  }
}

function wrongFormat(name) {
  return new Refused(
    `it is ${name}: vpcflowd reads flow logs as text or JSON, plain or gzipped (.log.gz). Choose the text format in ` +
      'the flow log\'s settings',
  );
}

// A piece in which no line can be read counts as so many rejected lines, unless the whole file is like it.
async function sendPieces(pieces, send) {
  let sum = { ...NOTHING };
  let accepted = 0;
  let refusal = null;
  const waiting = [];
  const settleOne = async () => {
    const { result, lines } = waiting.shift();
    const { counts, error } = await result;
    if (error === undefined) {
      accepted += 1;
      sum = addCounts(sum, counts);
    } else if (error.status === 422) {
      refusal ??= error;
      sum.rejected += lines;
    } else {
      if (error.status === 413) {
        error.message += '; VPCFLOWD_MAX_PAYLOAD must be the max_payload of vpcflowd\'s [listener]';
      }
      throw error;
    }
  };
  for await (const { bytes, lines } of pieces) {
    waiting.push({ lines, result: send(bytes).then((counts) => ({ counts }), (error) => ({ error })) });
    if (waiting.length >= IN_FLIGHT) {
      await settleOne();
    }
  }
  while (waiting.length > 0) {
    await settleOne();
  }
  if (accepted === 0 && refusal !== null) {
    throw refusal;
  }
  return sum;
}
