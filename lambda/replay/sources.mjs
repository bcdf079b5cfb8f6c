// The files that replay's arguments name: { id, label, size, items() }, in order. `items()` is what deliver() takes.

import { createReadStream } from 'node:fs';
import { open, readFile, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { service } from '../aws.mjs';
import { itemsOf } from '../events.mjs';
import { s3File } from '../objects.mjs';

// Lambda events are read as a whole; larger JSON files go to the daemon as they are.
const EVENTS_MAX = 256 * 1024 * 1024;

// Every path must exist: a typing error is told before anything is sent.
export async function checkPaths(paths) {
  for (const path of paths) {
    if (path.startsWith('s3://')) {
      splitS3(path);
    } else {
      await stat(path);
    }
  }
}

export async function* filesOf(paths) {
  for (const path of paths) {
    yield* path.startsWith('s3://') ? s3Files(path) : localFiles(path);
  }
}

async function* localFiles(path) {
  const about = await stat(path);
  if (about.isDirectory()) {
    const names = (await readdir(path)).sort();
    for (const name of names) {
      yield* localFiles(join(path, name));
    }
  } else if (about.isFile()) {
    const id = `${resolve(path)} ${about.size} ${Math.round(about.mtimeMs)}`;
    yield { id, label: path, size: about.size, items: () => localItems(path, about.size) };
  }
}

async function localItems(path, size) {
  const events = size <= EVENTS_MAX && (await beginsLikeJson(path)) ? await eventItems(path) : null;
  return events ?? [{ label: path, event: null, file: localFile(path, size) }];
}

function localFile(path, size) {
  const read = async () => {
    const stream = createReadStream(path, { highWaterMark: 256 * 1024 });
    return { length: size, chunks: stream, stop: () => stream.destroy() };
  };
  return { label: path, key: () => path, name: path, open: read };
}

async function beginsLikeJson(path) {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
    return /^\s*[[{]/.test(buffer.toString('latin1', 0, bytesRead));
  } finally {
    await file.close();
  }
}

// The items of a file of Lambda events: one, a list, or one on each line. Null if it holds anything else, which the
// daemon may know (CloudWatch Logs documents, Firehose records).
async function eventItems(path) {
  try {
    const events = parseEvents(await readFile(path, 'utf8'));
    return events.flatMap((event) => itemsOf(event)).map((item) => ({ ...item, label: `${path}: ${item.label}` }));
  } catch {
    return null;
  }
}

function parseEvents(text) {
  try {
    const value = JSON.parse(text);
    return Array.isArray(value) ? value : [value];
  } catch {
    return text.split('\n').filter((line) => line.trim() !== '').map((line) => JSON.parse(line));
  }
}

function splitS3(path) {
  const [, bucket, prefix] = /^s3:\/\/([^/]+)\/?(.*)$/s.exec(path) ?? [];
  if (bucket === undefined) {
    throw new Error(`${path} names no bucket: s3://bucket/prefix`);
  }
  return { bucket, prefix };
}

async function* s3Files(path) {
  const { bucket, prefix } = splitS3(path);
  const s3 = await service('s3');
  let token;
  do {
    const input = { Bucket: bucket, Prefix: prefix, ...(token && { ContinuationToken: token }) };
    const page = await s3.listObjects(input);
    for (const { Key: key, Size: size, ETag: tag } of page.Contents ?? []) {
      if (size > 0) {
        yield s3Unit(bucket, key, size, tag);
      }
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
}

function s3Unit(bucket, key, size, tag) {
  const label = `s3://${bucket}/${key}`;
  const items = async () => [{ label, event: null, file: s3File({ bucket, key }, label) }];
  return { id: `${label} ${tag ?? size}`, label, size, items };
}
