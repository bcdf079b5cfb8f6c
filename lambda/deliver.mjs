// Items (events.mjs) to the daemons, and what became of each.

import { s3File, sendFile } from './objects.mjs';
import { NOTHING } from './protocol.mjs';

// Objects that are read at a time; payloads that are in memory anyway all go at once.
const OBJECTS = 4;

// Outcomes, in the items' order: { item, status, counts, error }, where status is
//   'safe'     the daemon has answered OK
//   'refused'  it will never be taken as it is
//   'failed'   it may be taken when it is sent again
export async function deliver(items, daemons, limits) {
  const gate = new Gate(OBJECTS);
  return Promise.all(items.map((item) => deliverOne(item, daemons, limits, gate)));
}

async function deliverOne(item, daemons, limits, gate) {
  try {
    return { item, status: 'safe', counts: await send(item, daemons, limits, gate) };
  } catch (error) {
    return { item, status: error.refused ? 'refused' : 'failed', counts: { ...NOTHING }, error };
  }
}

function send(item, daemons, limits, gate) {
  if (item.refused !== undefined) {
    throw item.refused;
  }
  if (item.payload !== undefined) {
    return daemons.send(item.payload(), item.key, limits.deadline);
  }
  const file = item.file ?? s3File(item.object, item.label);
  return gate.pass(() => sendFile(file, daemons, limits));
}

// Lets so many through at a time.
export class Gate {
  #free;
  #waiting = [];

  constructor(places) {
    this.#free = places;
  }

  async pass(work) {
    if (this.#free === 0) {
      await new Promise((resolve) => this.#waiting.push(resolve));
    } else {
      this.#free -= 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#free += 1;
      } else {
        next();
      }
    }
  }
}
