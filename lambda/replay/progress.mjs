// How far replay is: a bar on a terminal, a line now and then elsewhere.

import { NOTHING, addCounts } from '../protocol.mjs';

const BAR = 24;
const REDRAW_MS = 100;
const LINE_MS = 10_000;

export class Progress {
  counts = { ...NOTHING };
  found = 0;
  done = 0;
  before = 0;
  refused = 0;
  failed = 0;
  bytes = 0;
  // False while more files may be found.
  complete = false;
  #stream;
  #shown = 0;
  #begin = Date.now();

  constructor(stream = process.stderr) {
    this.#stream = stream;
  }

  add(counts) {
    this.counts = addCounts(this.counts, counts);
  }

  // A message of its own, above the bar.
  say(text) {
    this.#clear();
    this.#stream.write(`${text}\n`);
    this.#shown = 0;
    this.update();
  }

  update() {
    const now = Date.now();
    if (now - this.#shown < (this.#stream.isTTY ? REDRAW_MS : LINE_MS)) {
      return;
    }
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${this.#bar()} ${this.#line()}`.slice(0, (this.#stream.columns ?? 80) + 3));
    } else if (this.#shown !== 0) {
      this.#stream.write(`${this.#line()}\n`);
    }
    this.#shown = now;
  }

  end() {
    this.#clear();
  }

  summary() {
    const { exported, skipped, rejected, duplicate } = this.counts;
    const files = [
      `${this.done} of ${this.found} files acknowledged`,
      this.before > 0 ? `${this.before} were before` : '',
      this.refused > 0 ? `${this.refused} refused` : '',
      this.failed > 0 ? `${this.failed} failed` : '',
    ];
    return (
      `${files.filter((part) => part !== '').join(', ')}; ` +
      `exported=${exported} skipped=${skipped} rejected=${rejected} duplicate=${duplicate}`
    );
  }

  #clear() {
    if (this.#stream.isTTY) {
      this.#stream.write('\r\x1b[K');
    }
  }

  #ended() {
    return this.done + this.before + this.refused + this.failed;
  }

  #bar() {
    const full = this.found === 0 ? 0 : Math.floor((BAR * this.#ended()) / this.found);
    return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}]`;
  }

  #line() {
    const mebibytes = this.bytes / 1024 ** 2;
    const seconds = Math.max(0.001, (Date.now() - this.#begin) / 1000);
    const bad = this.refused + this.failed;
    return (
      `${this.#ended()}/${this.found}${this.complete ? '' : '+'} files  ${mebibytes.toFixed(1)} MiB ` +
      `(${(mebibytes / seconds).toFixed(1)} MiB/s)  ${this.counts.exported} flows${bad > 0 ? `  ${bad} not taken` : ''}`
    );
  }
}
