// Where payloads go that the daemon will never take as they are: an SQS queue, in the form that Lambda's own
// on-failure destinations use, so that this function and replay.mjs can send them again when the cause is mended.

import { service } from './aws.mjs';

// Sends one item there, in `timeoutMs`. Resolves when the queue has it.
export async function sendToDeadLetters(queueUrl, { item, error }, context, timeoutMs) {
  const message = {
    version: '1.0',
    timestamp: new Date().toISOString(),
    requestContext: {
      requestId: context?.awsRequestId,
      functionArn: context?.invokedFunctionArn,
      condition: 'Refused',
    },
    requestPayload: item.event,
    responsePayload: { errorType: error.name, errorMessage: `${item.label}: ${error.message}` },
  };
  const region = /^https?:\/\/sqs\.([a-z0-9-]+)\.amazonaws\./.exec(queueUrl)?.[1] ?? '';
  const sqs = await service('sqs', region);
  await sqs.sendMessage(
    { QueueUrl: queueUrl, MessageBody: JSON.stringify(message) },
    { abortSignal: AbortSignal.timeout(timeoutMs) },
  );
}

// Is this queue the one that a message came from? Then sending it there again would never end.
export function isQueue(queueUrl, arn) {
  const [, , , region, account, name] = (arn ?? '').split(':');
  return name !== undefined && queueUrl.endsWith(`/${account}/${name}`) &&
    (!queueUrl.includes('.amazonaws.') || queueUrl.includes(`.${region}.`));
}
