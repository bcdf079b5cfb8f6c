// A flow-log file that is too large for one payload, in pieces of whole lines, each with the file's header line.

import { Readable, pipeline } from 'node:stream';
import { createGunzip, gzip } from 'node:zlib';
import { promisify } from 'node:util';

import { Refused } from './protocol.mjs';

// Text in a piece, before it is compressed, at most: below the daemon's usual max_payload and max_inflated, and what is
// held of the file at a time.
export const PIECE = 4 * 1024 * 1024;
const LINE_MAX = 1024 * 1024;
const NEWLINE = 10;
const WORDS = /^[a-z][a-z0-9-]*( +[a-z][a-z0-9-]*)*\r?$/;
const FIELDS = new Set(
  ('version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action ' +
    'log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id resource-type ' +
    'tgw-id tgw-attachment-id flow-direction traffic-path').split(' '),
);
const compress = promisify(gzip);

// Yields { bytes, lines }: a gzipped piece, and how many lines it has besides a header. The same file always gives
// the same pieces, however its bytes arrive, so that the daemon knows a repeat. `pieceSize` is the text in a piece.
export async function* piecesOf(chunks, gzipped, pieceSize = PIECE) {
  let header = '';
  for await (const text of cut(gzipped ? inflate(chunks) : chunks, pieceSize)) {
    const seen = scan(text);
    const begins = header !== '' && !seen.begins ? [Buffer.from(`${header}\n`), text] : [text];
    header = seen.header ?? header;
    if (seen.lines > 0) {
      yield { bytes: await compress(Buffer.concat(begins), { level: 1 }), lines: seen.lines };
    }
  }
}

async function* inflate(chunks) {
  const gunzip = createGunzip();
  // The iteration below tells its errors.
  pipeline(Readable.from(chunks), gunzip, () => {});
  try {
    yield* gunzip;
  } catch (error) {
    if (error.code?.startsWith('Z_') || error.code === 'ERR_BUFFER_OUT_OF_BOUNDS') {
      throw new Refused(`its gzip data is damaged (${error.message})`, { cause: error });
    }
    throw error;
  }
}

// Cuts behind the first end of a line at or after `pieceSize` bytes.
async function* cut(chunks, pieceSize) {
  let parts = [];
  let size = 0;
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    while (rest.length > 0) {
      const end = size + rest.length < pieceSize ? -1 : rest.indexOf(NEWLINE, Math.max(0, pieceSize - 1 - size));
      if (end < 0) {
        parts.push(rest);
        size += rest.length;
        break;
      }
      parts.push(rest.subarray(0, end + 1));
      yield Buffer.concat(parts);
      parts = [];
      size = 0;
      rest = rest.subarray(end + 1);
    }
    if (size > pieceSize + LINE_MAX) {
      const what = `a line of more than ${LINE_MAX} bytes`;
      throw new Refused(`it is too large for one payload, and has ${what}: it holds no flow logs`);
    }
  }
  if (size > 0) {
    yield Buffer.concat(parts);
  }
}

// Counts a piece's lines, and finds its last header line: files that were put together have one each.
function scan(text) {
  const seen = { lines: 0, header: undefined, begins: false };
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf(NEWLINE, at);
    const end = newline < 0 ? text.length : newline;
    const isHeader = text[at] >= 0x61 && text[at] <= 0x7a && isHeaderLine(text.toString('latin1', at, end));
    if (isHeader) {
      seen.header = text.toString('latin1', at, end).trimEnd();
      seen.begins ||= at === 0;
    } else if (end > at) {
      seen.lines += 1;
    }
    at = end + 1;
  }
  return seen;
}

function isHeaderLine(line) {
  return line.length < 4096 && WORDS.test(line) && line.trimEnd().split(/ +/).some((word) => FIELDS.has(word));
}
