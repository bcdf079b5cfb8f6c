// The template, and two stacks of it: with as little as possible, and with everything.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { deploy, parseTemplate } from './cloudformation.mjs';

export const folder = fileURLToPath(new URL('../../lambda/', import.meta.url));
export const text = readFileSync(join(folder, 'template.yaml'), 'utf8');
export const template = parseTemplate(text);
export const secret = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:vpcflowd-AbCdEf';
export const key = (name) => `arn:aws:kms:eu-central-1:111122223333:key/${name}`;

export const SMALLEST = { Host: '10.9.0.5', LogGroup1: '/aws/vpc/prod' };
export const LARGEST = {
  Host: 'a.example.net,b.example.net:20556',
  Ca: 'ssm:/vpcflowd/ca',
  PinSha256: 'ab'.repeat(32),
  ServerName: 'vpcflowd.example.net',
  ClientCertificate: `${secret}#certificate`,
  ClientKey: `${secret}#key`,
  Token: `${secret}#token`,
  SecretsKmsKeyArn: key('of-secrets'),
  MaxPayload: '1048576',
  LogGroup1: '/aws/vpc/a',
  LogGroup2: '/aws/vpc/b',
  LogGroup3: '/aws/vpc/c',
  LogGroup4: '/aws/vpc/d',
  LogGroup5: '/aws/vpc/e',
  KinesisStreamArn: 'arn:aws:kinesis:eu-central-1:111122223333:stream/flows',
  KinesisKmsKeyArn: key('of-stream'),
  S3Bucket: 'flow-logs',
  S3BucketAccount: '444455556666',
  S3KmsKeyArn: key('of-bucket'),
  SubnetIds: 'subnet-0a1,subnet-0b2',
  SecurityGroupIds: 'sg-0c3',
  ReservedConcurrency: '20',
  Redrive: 'yes',
  AlarmTopicArn: 'arn:aws:sns:eu-central-1:111122223333:alarms',
};

// The role's statements in such a stack: sid → [actions, resources, condition if there is one].
export const statementsFor = (given) =>
  Object.fromEntries(
    deploy(template, given)
      .resources.FunctionRole.Policies.flatMap((policy) => policy.PolicyDocument.Statement)
      .map(({ Sid, Effect, Action, Resource, Condition }) => {
        assert.equal(Effect, 'Allow');
        return [Sid, [[Action].flat().join(' '), [Resource].flat().join(' '), Condition].filter((v) => v !== undefined)];
      }),
  );
