// Sends flow-log files through the Lambda function, as CloudWatch Logs would deliver them.
//
// usage: VPCFLOWD_HOST=… VPCFLOWD_PORT=… node script/demo-send.mjs LOG_GROUP=FILE…
//
// A log stream holds one interface's records, so each interface's lines become one event. Writes one line for each
// file: log group, events, exported, skipped, rejected (with tabs between).

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

import { handler } from '../lambda/index.mjs';

function eventsOf(logGroup, text) {
  const streams = new Map();
  for (const line of text.split('\n').filter((l) => l.trim() !== '')) {
    const [, , interfaceId] = line.split(/ +/);
    streams.set(interfaceId, [...(streams.get(interfaceId) ?? []), line]);
  }
  return [...streams].map(([interfaceId, lines]) => cloudWatchEvent(logGroup, interfaceId, lines));
}

function cloudWatchEvent(logGroup, interfaceId, lines) {
  const document = {
    messageType: 'DATA_MESSAGE',
    owner: lines[0].split(/ +/)[1],
    logGroup,
    logStream: `${interfaceId}-all`,
    subscriptionFilters: ['vpcflowd'],
    logEvents: lines.map((message, i) => ({ id: String(i).padStart(56, '3'), timestamp: Date.now(), message })),
  };
  return { awslogs: { data: gzipSync(JSON.stringify(document)).toString('base64') } };
}

const files = process.argv.slice(2);
if (files.length === 0 || files.some((argument) => !argument.includes('='))) {
  console.error('usage: demo-send.mjs LOG_GROUP=FILE…');
  process.exit(2);
}
for (const argument of files) {
  const at = argument.indexOf('=');
  const logGroup = argument.slice(0, at);
  const events = eventsOf(logGroup, readFileSync(argument.slice(at + 1), 'utf8'));
  const sum = { exported: 0, skipped: 0, rejected: 0 };
  for (const event of events) {
    const result = await handler(event, { getRemainingTimeInMillis: () => 15_000 });
    Object.keys(sum).forEach((key) => (sum[key] += result[key]));
  }
  console.log([logGroup, events.length, sum.exported, sum.skipped, sum.rejected].join('\t'));
}
