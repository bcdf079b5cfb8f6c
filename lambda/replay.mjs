#!/usr/bin/env node
// Sends flow logs that lie somewhere to vpcflowd, through the Lambda function's own code: history, what a dead-letter
// queue has kept, a bucket that was filled while nobody listened.

import { pathToFileURL } from 'node:url';

import { Daemons } from './daemons.mjs';
import { deliver } from './deliver.mjs';
import { HELP, UsageError, parseArguments } from './replay/arguments.mjs';
import { Journal } from './replay/journal.mjs';
import { Progress } from './replay/progress.mjs';
import { checkPaths, filesOf } from './replay/sources.mjs';
import { NOTHING, addCounts } from './protocol.mjs';
import { readSettings } from './settings.mjs';

const WAIT_MS = 1_000;
const WAIT_MAX_MS = 30_000;

// Resolves with the exit code.
export async function main(argv, env = process.env) {
  let options;
  let run;
  try {
    options = parseArguments(argv);
    if (options.help) {
      console.log(HELP);
      return 0;
    }
    await checkPaths(options.paths);
    const settings = options.dryRun ? null : readSettings(env);
    run = new Run(options, settings);
  } catch (error) {
    console.error(`replay: ${error.message}${error instanceof UsageError ? ' (--help tells more)' : ''}`);
    return 2;
  }
  return run.all();
}

class Run {
  #options;
  #daemons;
  #maxPayload;
  #journal;
  #progress = new Progress();
  #stopped = '';
  // Ends a wait between two tries.
  #wake = new Set();

  constructor(options, settings) {
    this.#options = options;
    this.#daemons = settings === null ? null : new Daemons(settings);
    this.#maxPayload = settings?.maxPayload;
    this.#journal = new Journal(options.resume, { readOnly: options.dryRun });
  }

  async all() {
    const onSignal = (signal) => this.#stop(signal);
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    try {
      const files = this.#files();
      const workers = Array.from({ length: this.#options.concurrency }, () => this.#work(files));
      await Promise.all(workers);
    } catch (error) {
      this.#progress.failed += 1;
      this.#progress.say(`replay: ${error.message}`);
    } finally {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      this.#journal.close();
      this.#progress.end();
    }
    return this.#result();
  }

  #result() {
    const { refused, failed, found, before, bytes } = this.#progress;
    if (this.#options.dryRun) {
      console.log(`${found - before} of ${found} files would be sent, ${bytes} bytes`);
    } else {
      console.log(this.#progress.summary());
    }
    if (this.#stopped !== '') {
      return this.#stopped === 'SIGINT' ? 130 : 143;
    }
    return refused + failed > 0 ? 1 : 0;
  }

  #stop(signal) {
    if (this.#stopped !== '') {
      this.#journal.close();
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
    this.#stopped = signal;
    this.#progress.say('replay: finishing the files under way; once more ends at once');
    this.#wake.forEach((wake) => wake());
  }

  async *#files() {
    for await (const file of filesOf(this.#options.paths)) {
      this.#progress.found += 1;
      yield file;
    }
    this.#progress.complete = true;
  }

  // All workers take from one iterator, so that each file is some worker's.
  async #work(files) {
    while (this.#stopped === '') {
      const { value: file, done } = await files.next();
      if (done) {
        return;
      }
      if (this.#stopped !== '') {
        return;
      }
      await this.#one(file);
      this.#progress.update();
    }
  }

  async #one(file) {
    const progress = this.#progress;
    if (this.#journal.has(file.id)) {
      progress.before += 1;
      return;
    }
    if (this.#options.dryRun) {
      progress.bytes += file.size;
      console.log(`${file.label}\t${file.size}`);
      return;
    }
    const { counts, refused, failed } = await this.#send(file);
    progress.add(counts);
    progress.bytes += file.size;
    if (refused.length + failed.length === 0) {
      progress.done += 1;
      this.#journal.add(file.id, counts);
      return;
    }
    progress[failed.length > 0 ? 'failed' : 'refused'] += 1;
    for (const { item, status, error } of [...refused, ...failed].slice(0, 3)) {
      progress.say(`${item.label}: ${status}: ${error.message}`);
    }
  }

  // Sends a file until all of it is safe or refused, or the tries are used up.
  async #send(file) {
    let counts = { ...NOTHING };
    const refused = [];
    let failed = [];
    let items;
    try {
      items = await file.items();
    } catch (error) {
      return { counts, refused, failed: [{ item: file, status: 'failed', error }] };
    }
    for (let tries = 1; ; tries += 1) {
      const limits = { deadline: Date.now() + this.#options.timeout * 1000, maxPayload: this.#maxPayload };
      const outcomes = await deliver(items, this.#daemons, limits);
      counts = outcomes.reduce((sum, outcome) => addCounts(sum, outcome.counts), counts);
      refused.push(...outcomes.filter(({ status }) => status === 'refused'));
      failed = outcomes.filter(({ status }) => status === 'failed');
      const hopeless = failed.every(({ error }) => error.final);
      if (hopeless || tries >= this.#options.tries || this.#stopped !== '') {
        return { counts, refused, failed };
      }
      this.#progress.say(`${failed[0].item.label}: ${failed[0].error.message}; it is tried again`);
      await this.#pause(Math.min(WAIT_MAX_MS, WAIT_MS * 2 ** (tries - 1)));
      items = failed.map(({ item }) => item);
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wake.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, milliseconds);
      this.#wake.add(wake);
    });
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
