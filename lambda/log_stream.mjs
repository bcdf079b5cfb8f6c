// Whose records a compressed CloudWatch Logs payload holds, without inflating it.

import { constants, gunzipSync } from 'node:zlib';

// The names stand at the document's beginning: a few hundred compressed bytes show them.
const HEAD = 600;

// "<log group> <log stream>", or where the names are not found something that is the payload's own. Takes some 20 µs;
// only asked for where there are several daemons.
export function logStreamOf(payload) {
  let text = '';
  try {
    text = gunzipSync(payload.subarray(0, HEAD), { finishFlush: constants.Z_SYNC_FLUSH }).toString('utf8');
  } catch {
    // Not gzip: the daemon will say so.
  }
  const group = stringAt(text, 'logGroup');
  const stream = stringAt(text, 'logStream');
  return stream === undefined ? payload.subarray(-32).toString('base64') : `${group ?? ''} ${stream}`;
}

function stringAt(text, key) {
  return new RegExp(`"${key}"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)"`).exec(text)?.[1];
}
