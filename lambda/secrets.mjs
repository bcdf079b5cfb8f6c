// Values that settings name instead of holding them: a secret of Secrets Manager, a parameter of SSM, a file.

import { readFile } from 'node:fs/promises';

import { service } from './aws.mjs';

const SECRET = /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]*:secret:[^#]+/;

// Does this setting name its value, so that it may be another one tomorrow?
export function isReference(setting) {
  return SECRET.test(setting) || /^(ssm|file):/.test(setting);
}

// The value of a setting: the setting itself, unless it is one of
//   arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[#key]   a secret, or one key of a secret that holds JSON
//   ssm:/name                                                 a parameter, decrypted
//   file:PATH                                                 a file
// Errors name the setting and where it points to, never a value.
export async function readSecret(name, setting) {
  if (!isReference(setting)) {
    return setting;
  }
  let value;
  try {
    value = await fetchReference(setting);
  } catch (error) {
    throw new Error(`${name}: cannot read ${setting}: ${error.message}`);
  }
  if (typeof value !== 'string' || value.trim() === '') {
    throw new Error(`${name}: ${setting} holds no text`);
  }
  return value;
}

async function fetchReference(setting) {
  if (setting.startsWith('file:')) {
    return readFile(setting.slice('file:'.length), 'utf8');
  }
  if (setting.startsWith('ssm:')) {
    const parameters = await service('parameters');
    const input = { Name: setting.slice('ssm:'.length), WithDecryption: true };
    return (await parameters.getParameter(input)).Parameter?.Value;
  }
  const [arn, key] = setting.split('#', 2);
  const secrets = await service('secrets', SECRET.exec(setting)[1]);
  const answer = await secrets.getSecret({ SecretId: arn });
  const text = answer.SecretString ?? (answer.SecretBinary && Buffer.from(answer.SecretBinary).toString('utf8'));
  return key === undefined ? text : valueAt(text, key);
}

function valueAt(text, key) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Error('it is not JSON, so it has no keys');
  }
  if (typeof document?.[key] !== 'string') {
    throw new Error(`its JSON has no text under the key "${key}"`);
  }
  return document[key];
}
