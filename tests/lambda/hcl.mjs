// Reads the blocks and attributes of Terraform files. Expressions stay text: this is enough to see what is there and
// what refers to what. Here-documents are refused.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const CLOSES = { '(': ')', '[': ']', '{': '}' };

// All blocks of the *.tf files of a folder: [{ type, labels, attributes: Map, blocks }].
export function readModule(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.tf'))
    .sort()
    .flatMap((name) => parseHcl(readFileSync(join(folder, name), 'utf8'), name));
}

export function parseHcl(text, name = 'text') {
  const reader = { text, name, at: 0 };
  const body = readBody(reader, '');
  if (body.attributes.size > 0) {
    fail(reader, 'an attribute outside of any block');
  }
  return body.blocks;
}

function fail(reader, what) {
  throw new Error(`${reader.name}:${reader.text.slice(0, reader.at).split('\n').length}: ${what}`);
}

function skip(reader) {
  for (;;) {
    const match = /^(\s+|#[^\n]*|\/\/[^\n]*|\/\*[^]*?\*\/)/.exec(reader.text.slice(reader.at));
    if (match === null) {
      return;
    }
    reader.at += match[0].length;
  }
}

function take(reader, pattern) {
  const match = pattern.exec(reader.text.slice(reader.at));
  if (match !== null) {
    reader.at += match[0].length;
  }
  return match;
}

function readBody(reader, end) {
  const body = { attributes: new Map(), blocks: [] };
  for (;;) {
    skip(reader);
    if (reader.at >= reader.text.length || reader.text[reader.at] === end) {
      if ((reader.at >= reader.text.length) !== (end === '')) {
        fail(reader, `"${end}" is missing`);
      }
      reader.at += 1;
      return body;
    }
    const name = take(reader, /^[A-Za-z_][A-Za-z0-9_-]*/)?.[0] ?? fail(reader, 'a name is missing');
    if (take(reader, /^[ \t]*=(?!=)[ \t]*/) !== null) {
      if (body.attributes.has(name)) {
        fail(reader, `${name} is set twice`);
      }
      body.attributes.set(name, readExpression(reader));
      continue;
    }
    const labels = [];
    for (let label = take(reader, /^[ \t]*"([^"]*)"/); label !== null; label = take(reader, /^[ \t]*"([^"]*)"/)) {
      labels.push(label[1]);
    }
    if (take(reader, /^[ \t]*\{/) === null) {
      fail(reader, `"=" or "{" is missing after ${name}`);
    }
    body.blocks.push({ type: name, labels, ...readBody(reader, '}') });
  }
}

// Up to the end of the line on which no bracket is open.
function readExpression(reader) {
  const start = reader.at;
  const open = [];
  for (;;) {
    const character = reader.text[reader.at];
    if (character === undefined || (open.length === 0 && character === '\n')) {
      if (open.length > 0) {
        fail(reader, `"${open.at(-1)}" is missing`);
      }
      return reader.text.slice(start, reader.at).trim();
    }
    if (character === '"') {
      readString(reader);
      continue;
    }
    if (character === '#') {
      take(reader, /^[^\n]*/);
      continue;
    }
    if (reader.text.startsWith('<<', reader.at)) {
      fail(reader, 'a here-document, which is not read here');
    }
    if (CLOSES[character] !== undefined) {
      open.push(CLOSES[character]);
    } else if (')]}'.includes(character) && open.pop() !== character) {
      fail(reader, `"${character}" does not belong here`);
    }
    reader.at += 1;
  }
}

// A quoted string, and the ${…} in it, which may hold strings again.
function readString(reader) {
  let depth = 0;
  for (reader.at += 1; ; reader.at += 1) {
    const rest = reader.text.slice(reader.at, reader.at + 2);
    if (rest === '' || (depth === 0 && rest[0] === '\n')) {
      fail(reader, 'a string has no end');
    } else if (rest[0] === '\\') {
      reader.at += 1;
    } else if (rest === '${') {
      depth += 1;
      reader.at += 1;
    } else if (depth > 0 && rest[0] === '}') {
      depth -= 1;
    } else if (rest[0] === '"') {
      if (depth === 0) {
        reader.at += 1;
        return;
      }
      readString(reader);
      reader.at -= 1;
    }
  }
}
