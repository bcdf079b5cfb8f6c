// What has been acknowledged, one line for each file, written before the next file begins: ending replay at any moment
// costs at most a repeat of the files under way, and the daemon knows repeats.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export class Journal {
  #done = new Set();
  #fd = null;

  // With an empty name nothing is kept. `readOnly` for a dry run.
  constructor(name, { readOnly = false } = {}) {
    if (name === '') {
      return;
    }
    const text = readIfThere(name);
    for (const line of text.split('\n')) {
      const id = idOf(line);
      if (id !== undefined) {
        this.#done.add(id);
      }
    }
    if (!readOnly) {
      this.#fd = openSync(name, 'a', 0o600);
      // The last line may have been cut off by a crash.
      if (text !== '' && !text.endsWith('\n')) {
        writeSync(this.#fd, '\n');
      }
    }
  }

  has(id) {
    return this.#done.has(id);
  }

  add(id, counts) {
    this.#done.add(id);
    if (this.#fd !== null) {
      writeSync(this.#fd, `${JSON.stringify({ done: id, ...counts })}\n`);
    }
  }

  close() {
    if (this.#fd !== null) {
      closeSync(this.#fd);
      this.#fd = null;
    }
  }
}

function readIfThere(name) {
  try {
    return readFileSync(name, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') {
      return '';
    }
    throw error;
  }
}

function idOf(line) {
  try {
    const { done } = JSON.parse(line);
    return typeof done === 'string' ? done : undefined;
  } catch {
    return undefined;
  }
}
