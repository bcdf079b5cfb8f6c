// AWS's services for the length of a test: the few calls that the function makes, at the module's boundary.

import { Readable } from 'node:stream';

import { replaceServices } from '../../lambda/aws.mjs';

function awsError(name, message = name) {
  return Object.assign(new Error(message), { name });
}

// `objects`: key → bytes, or a function that gives a Readable and its length, or an Error. Buckets are not told apart.
export function fakeS3(objects) {
  const s3 = { asked: [], aborted: 0 };
  s3.getObject = async ({ Bucket, Key }) => {
    s3.asked.push(`${Bucket}/${Key}`);
    const object = objects[Key];
    if (object === undefined) {
      throw awsError('NoSuchKey', 'The specified key does not exist.');
    }
    if (object instanceof Error) {
      throw object;
    }
    if (typeof object === 'function') {
      return object();
    }
    return { Body: Readable.from(inChunks(object)), ContentLength: object.length };
  };
  s3.listObjects = async ({ Prefix, ContinuationToken }) => {
    const keys = Object.keys(objects).filter((key) => key.startsWith(Prefix)).sort();
    const at = Number(ContinuationToken ?? 0);
    const page = keys.slice(at, at + 2);
    return {
      Contents: page.map((Key) => ({ Key, Size: objects[Key].length, ETag: `"${Key.length}"` })),
      ...(at + 2 < keys.length && { NextContinuationToken: String(at + 2) }),
    };
  };
  return s3;
}

function* inChunks(bytes, size = 1000) {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
  }
}

export function fakeSqs({ fail = null } = {}) {
  const sqs = { messages: [] };
  sqs.sendMessage = async ({ QueueUrl, MessageBody }) => {
    if (fail !== null) {
      throw fail;
    }
    sqs.messages.push({ queue: QueueUrl, body: JSON.parse(MessageBody) });
  };
  return sqs;
}

// `values`: ARN → text.
export function fakeSecrets(values) {
  const secrets = { asked: 0, values };
  secrets.getSecret = async ({ SecretId }) => {
    secrets.asked += 1;
    if (!(SecretId in values)) {
      throw awsError('ResourceNotFoundException', 'Secrets Manager can\'t find the specified secret.');
    }
    return { SecretString: values[SecretId] };
  };
  return secrets;
}

export function fakeParameters(values) {
  const parameters = { asked: [], values };
  parameters.getParameter = async (input) => {
    parameters.asked.push(input);
    if (!(input.Name in values)) {
      throw awsError('ParameterNotFound');
    }
    return { Parameter: { Value: values[input.Name] } };
  };
  return parameters;
}

export function useServices(t, services) {
  t.after(replaceServices(services));
}

export { awsError };
