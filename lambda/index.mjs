// The Lambda function: takes what AWS invokes it with, hands it to vpcflowd, and tells AWS what is safe there and what
// is not. README.md says what each source does with the answer.

import { Daemons } from './daemons.mjs';
import { isQueue, sendToDeadLetters } from './dead_letter.mjs';
import { Gate, deliver } from './deliver.mjs';
import { itemsOf, sourceOf, sqsItems } from './events.mjs';
import { NOTHING, addCounts } from './protocol.mjs';
import { readSettings } from './settings.mjs';

// Without a context (a run outside Lambda) a reply is waited for this long.
const DEFAULT_TIMEOUT_MS = 30_000;
// Kept back from the invocation's time, so that the error is thrown and logged before Lambda ends the process.
const RESERVE_MS = 500;
// Messages to the dead-letter queue at a time.
const DEAD_LETTERS = 16;

// Connections outlive invocations: Lambda keeps the process, frozen, for the next event.
const known = new Map();

export async function handler(event, context) {
  const source = sourceOf(event);
  // Each message of a queue stands for itself; anything else that has no known shape is an error at once.
  const items = source === 'sqs' ? event.Records.map((record) => sqsItems(record)) : [itemsOf(event)];
  const settings = readSettings(process.env);
  const daemons = daemonsOf(settings);
  const limits = { deadline: Date.now() + timeLeft(context), maxPayload: settings.maxPayload };
  const outcomes = await deliver(items.flat(), daemons, limits);
  const gate = new Gate(DEAD_LETTERS);
  const refusals = outcomes.filter((outcome) => outcome.status === 'refused');
  await Promise.all(refusals.map((outcome) => gate.pass(() => settleRefusal(outcome, source, settings, context))));
  log(outcomes, source);
  if (source === 'kinesis') {
    return kinesisAnswer(event, outcomes);
  }
  return source === 'sqs' ? sqsAnswer(event, items, outcomes) : asyncAnswer(outcomes);
}

// A refused item is dead-lettered, or left to whoever has AWS's own dead letters; then it is 'done' or 'failed'.
async function settleRefusal(outcome, source, settings, context) {
  if (outcome.item.blocks) {
    return;
  }
  const queue = settings.deadLetterQueue;
  const origin = outcome.item.event.Records?.[0]?.eventSourceARN;
  if (queue !== '' && !(source === 'sqs' && isQueue(queue, origin))) {
    try {
      await sendToDeadLetters(queue, outcome, context, timeLeft(context));
      outcome.done = 'it is in the dead-letter queue';
      return;
    } catch (error) {
      outcome.note = `the dead-letter queue did not take it: ${error.name}: ${error.message}`;
    }
  }
  // Kinesis would send the record again, and nothing behind it, until it expires. It stays in the stream meanwhile.
  if (source === 'kinesis' && (queue === '' || /TooLong|InvalidMessage/.test(outcome.note))) {
    outcome.done =
      'it is passed over, and lost when it expires from the stream; set VPCFLOWD_DEAD_LETTER_QUEUE_URL to keep such';
  }
}

const isSettled = (outcome) => outcome.status === 'safe' || outcome.done !== undefined;

function kinesisAnswer(event, outcomes) {
  const batchItemFailures = outcomes.flatMap((outcome, i) =>
    isSettled(outcome) ? [] : [{ itemIdentifier: event.Records[i].kinesis.sequenceNumber }]);
  // An event of a time window wants its state back.
  return event.window === undefined ? { batchItemFailures } : { state: event.state ?? {}, batchItemFailures };
}

function sqsAnswer(event, items, outcomes) {
  const unsafe = new Set(outcomes.filter((outcome) => !isSettled(outcome)).map((outcome) => outcome.item));
  const failed = event.Records.filter((_, i) => items[i].some((item) => unsafe.has(item)));
  return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
}

// The counts of all items together, or an error if one of them is not safe: AWS invokes again, and the daemon knows
// what it has already.
function asyncAnswer(outcomes) {
  const unsettled = outcomes.filter((outcome) => !isSettled(outcome));
  if (unsettled.length === 1 && outcomes.length === 1) {
    const { error, item } = unsettled[0];
    if (item.object !== undefined) {
      error.message = `${item.label}: ${error.message}`;
    }
    throw error;
  }
  if (unsettled.length > 0) {
    const reasons = unsettled.map(({ item, error }) => `${item.label}: ${error.message}`);
    throw new Error(`${unsettled.length} of ${outcomes.length} are not safe: ${reasons.join('; ')}`);
  }
  const counts = outcomes.reduce((sum, outcome) => addCounts(sum, outcome.counts), NOTHING);
  const deadLettered = outcomes.filter((outcome) => outcome.done !== undefined).length;
  return deadLettered === 0 ? counts : { ...counts, deadLettered };
}

// What went wrong, each cause once: a batch may have thousands of records. What is thrown, Lambda logs itself.
function log(outcomes, source) {
  const causes = new Map();
  for (const { item, status, error, done, note } of outcomes.filter((outcome) => outcome.status !== 'safe')) {
    if (source === 'async' && done === undefined && note === undefined) {
      continue;
    }
    const end = [done ?? 'it counts as failed', note].filter((part) => part !== undefined).join('; ');
    const text = `${status === 'refused' ? 'refused for good' : 'not safe'}: ${error.message}; ${end}`;
    const cause = causes.get(text) ?? { label: item.label, more: -1 };
    cause.more += 1;
    causes.set(text, cause);
  }
  for (const [text, { label, more }] of causes) {
    console.error(`${label}${more > 0 ? ` and ${more} more` : ''}: ${text}`);
  }
  const rejected = outcomes.reduce((sum, { counts }) => sum + counts.rejected, 0);
  if (rejected > 0) {
    console.warn(`vpcflowd could not read ${rejected} of the lines sent; its log says why`);
  }
}

function daemonsOf(settings) {
  const key = JSON.stringify(settings);
  if (!known.has(key)) {
    known.set(key, new Daemons(settings));
  }
  return known.get(key);
}

// How long this invocation may wait for its replies, in milliseconds; with little time left, a tenth of it.
function timeLeft(context) {
  const remaining = context?.getRemainingTimeInMillis?.();
  if (!Number.isFinite(remaining)) {
    return DEFAULT_TIMEOUT_MS;
  }
  return Math.max(0, remaining - RESERVE_MS, remaining / 10);
}
