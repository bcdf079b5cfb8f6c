// The CloudFormation template: whole, no wider than it need be, and in step with the function's code.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { deploy, parseTemplate, refusal } from './cloudformation.mjs';
import { problemsOf, statementsOf } from './template_checks.mjs';
import { LARGEST, SMALLEST, folder, key, secret, statementsFor, template, text } from './template_samples.mjs';

const QUEUE_READER = 'sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes';
const ALWAYS = {
  WriteOwnLog: ['logs:CreateLogStream logs:PutLogEvents', '<FunctionLog.Arn>'],
  KeepFailedEvents: ['sqs:SendMessage', '<FailedEvents.Arn>'],
  TakeFailedEventsAgain: [QUEUE_READER, '<FailedEvents.Arn>'],
};
const via = (...services) => {
  const names = services.map((service) => `${service}.*.amazonaws.com*`);
  return { StringLike: { 'kms:ViaService': names.length === 1 ? names[0] : names } };
};

test('the template has nothing that leads nowhere, is unused, or allows more than is needed', () => {
  assert.deepEqual(problemsOf(template), []);
});

// Each of these breaks a copy of the template in one place, and says how the checks must complain.
const BREAKS = [
  ['a queue is gone', (t) => delete t.Resources.FailedEvents, /there is no FailedEvents/],
  ['a permission is gone', (t) => delete t.Resources.LogGroup3Permission, /there is no LogGroup3Permission/],
  ['a parameter is gone', (t) => delete t.Parameters.Token, /there is no Token/],
  ['a condition is gone', (t) => delete t.Conditions.HasKinesis, /there is no condition HasKinesis/],
  ['a mapping is gone', (t) => delete t.Mappings.VisibilityOf, /there is no mapping VisibilityOf/],
  ['a parameter is not used', (t) => (t.Parameters.Spare = t.Parameters.Port), /Parameters.Spare is not used/],
  ['a condition is not used', (t) => (t.Conditions.Spare = t.Conditions.HasS3), /Conditions.Spare is not used/],
  ['an attribute is not one', (t) => (t.Outputs.FunctionArn.Value['Fn::GetAtt'][1] = 'Url'), /no attribute Url/],
  ['a queue that may be missing is needed', (t) => delete t.Outputs.S3EventsArn.Condition, /only if HasS3/],
  ['a parameter takes anything', (t) => delete t.Parameters.Host.AllowedPattern, /Host takes anything/],
  ['a default is refused', (t) => (t.Parameters.Port.Default = 0), /default that it refuses/],
  ['a log group may be anybody’s', (t) => delete t.Resources.LogGroup1Permission.Properties.SourceArn, /SourceArn/],
  ['an account may be any', (t) => delete t.Resources.LogGroup1Permission.Properties.SourceAccount, /SourceAccount/],
  ['the bucket’s account may be any', (t) => {
    delete t.Resources.S3EventsPolicy.Properties.PolicyDocument.Statement[0].Condition.StringEquals;
  }, /without aws:SourceAccount/],
  ['an action is all actions', (t) => (statementOf(t, 'KeepFailedEvents').Action = 'sqs:*'), /allows sqs:\*/],
  ['a resource is everything', (t) => (statementOf(t, 'ReadSecrets').Resource = ['*']), /on everything/],
];
const statementOf = (t, sid) => statementsOf(t).find(({ statement }) => statement.Sid === sid).statement;

for (const [what, change, complaint] of BREAKS) {
  test(`the checks complain when ${what}`, () => {
    const copy = structuredClone(template);
    change(copy);
    assert.match(problemsOf(copy).join('\n'), complaint);
  });
}

test('a key that occurs twice in the template is found', () => {
  assert.throws(() => parseTemplate(`${text}\nOutputs: {}\n`), /occurs twice|Command failed/);
});

test('with a log group alone, the role may write its log and use its queue, and nothing else', () => {
  assert.deepEqual(statementsFor(SMALLEST), ALWAYS);
});

test('each source and setting adds its own statement to the role, for its own resource', () => {
  const parameter = 'arn:aws:ssm:eu-central-1:111122223333:parameter';
  const cases = [
    [{ Token: secret }, { ReadSecrets: ['secretsmanager:GetSecretValue', secret] }],
    [{ Token: `${secret}#token` }, { ReadSecrets: ['secretsmanager:GetSecretValue', secret] }],
    [{ Ca: 'ssm:/vpcflowd/ca' }, { ReadParameters: ['ssm:GetParameter', `${parameter}/vpcflowd/ca`] }],
    [{ Ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----' }, {}],
    [
      { ClientCertificate: 'ssm:/cert', ClientKey: `${secret}#key` },
      {
        ReadSecrets: ['secretsmanager:GetSecretValue', secret],
        ReadParameters: ['ssm:GetParameter', `${parameter}/cert`],
      },
    ],
    [
      { SecretsKmsKeyArn: key('k') },
      { DecryptSecrets: ['kms:Decrypt', key('k'), via('secretsmanager', 'ssm')] },
    ],
    [
      { KinesisStreamArn: LARGEST.KinesisStreamArn },
      {
        ReadStream: [
          'kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:GetRecords kinesis:GetShardIterator ' +
            'kinesis:ListShards',
          LARGEST.KinesisStreamArn,
        ],
      },
    ],
    [{ KinesisKmsKeyArn: key('without-a-stream'), S3KmsKeyArn: key('without-a-bucket') }, {}],
    [
      { S3Bucket: 'flow-logs', S3Prefix: 'prod/AWSLogs/', S3KmsKeyArn: key('k') },
      {
        TakeS3Events: [QUEUE_READER, '<S3Events.Arn>'],
        ReadFlowLogObjects: ['s3:GetObject', 'arn:aws:s3:::flow-logs/prod/AWSLogs/*'],
        DecryptFlowLogObjects: ['kms:Decrypt', key('k'), via('s3')],
      },
    ],
    [
      { SubnetIds: 'subnet-0a1', SecurityGroupIds: 'sg-0c3' },
      {
        AttachToVpc: [
          'ec2:CreateNetworkInterface ec2:DeleteNetworkInterface ec2:AssignPrivateIpAddresses ' +
            'ec2:UnassignPrivateIpAddresses',
          'arn:aws:ec2:eu-central-1:*:*/*',
        ],
        SeeVpc: ['ec2:DescribeNetworkInterfaces ec2:DescribeSubnets', '*'],
      },
    ],
  ];
  for (const [given, added] of cases) {
    assert.deepEqual(statementsFor({ ...SMALLEST, ...given }), { ...ALWAYS, ...added });
  }
});

test('in a VPC the function’s code may do nothing with EC2, though its role may', () => {
  const { resources } = deploy(template, LARGEST);
  assert.deepEqual(resources.NetworkIsLambdasAlone.PolicyDocument.Statement, [
    {
      Sid: 'NotFromCode',
      Effect: 'Deny',
      Action: 'ec2:*',
      Resource: '*',
      Condition: { ArnEquals: { 'lambda:SourceFunctionArn': '<Function.Arn>' } },
    },
  ]);
  assert.deepEqual(resources.Function.VpcConfig, {
    SubnetIds: ['subnet-0a1', 'subnet-0b2'],
    SecurityGroupIds: ['sg-0c3'],
  });
  assert.equal(deploy(template, SMALLEST).resources.Function.VpcConfig, undefined);
});

test('each log group is subscribed whole, and may invoke the function only as itself', () => {
  const { resources } = deploy(template, LARGEST);
  for (const number of [1, 2, 3, 4, 5]) {
    const name = LARGEST[`LogGroup${number}`];
    assert.equal(
      resources[`LogGroup${number}Permission`].SourceArn,
      `arn:aws:logs:eu-central-1:111122223333:log-group:${name}:*`,
    );
    assert.equal(resources[`LogGroup${number}Permission`].SourceAccount, '111122223333');
    const subscription = resources[`LogGroup${number}Subscription`];
    assert.deepEqual([subscription.LogGroupName, subscription.FilterPattern], [name, '']);
  }
});

test('every source retries only what failed, and what is given up goes to the queue', () => {
  const { resources } = deploy(template, LARGEST);
  for (const name of ['KinesisSource', 'S3Source', 'RedriveSource']) {
    assert.deepEqual(resources[name].FunctionResponseTypes, ['ReportBatchItemFailures'], name);
  }
  const failed = { OnFailure: { Destination: '<FailedEvents.Arn>' } };
  assert.deepEqual(resources.FunctionInvokeConfig.DestinationConfig, failed);
  assert.deepEqual(resources.KinesisSource.DestinationConfig, failed);
  assert.equal(resources.KinesisSource.BisectBatchOnFunctionError, true);
  assert.equal(resources.S3Events.RedrivePolicy.deadLetterTargetArn, '<FailedEvents.Arn>');
  assert.equal(resources.FailedEvents.RedrivePolicy.deadLetterTargetArn, '<RefusedEvents.Arn>');
});

test('failed events are redriven only on demand', () => {
  assert.equal(deploy(template, SMALLEST).resources.RedriveSource.Enabled, false);
  assert.equal(deploy(template, LARGEST).resources.RedriveSource.Enabled, true);
});

test('queues are encrypted, keep their messages for 14 days, and give the function six times its timeout', () => {
  for (const timeout of template.Parameters.Timeout.AllowedValues) {
    const { resources } = deploy(template, { ...LARGEST, Timeout: timeout });
    for (const name of ['FailedEvents', 'RefusedEvents', 'S3Events']) {
      assert.equal(resources[name].SqsManagedSseEnabled, true);
      assert.equal(resources[name].MessageRetentionPeriod, 14 * 24 * 3600);
    }
    assert.equal(resources.FailedEvents.VisibilityTimeout, 6 * Number(timeout));
    assert.equal(resources.S3Events.VisibilityTimeout, 6 * Number(timeout));
  }
});

test('alarms watch errors, throttles, both queues, the age of events, and the sources that there are', () => {
  const watched = (given) =>
    Object.values(deploy(template, given).resources)
      .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
      .map(({ MetricName, Dimensions }) => `${MetricName} ${Dimensions[0].Value}`)
      .sort();
  const always = [
    'ApproximateNumberOfMessagesVisible <FailedEvents.QueueName>',
    'ApproximateNumberOfMessagesVisible <RefusedEvents.QueueName>',
    'AsyncEventAge <Function>',
    'DestinationDeliveryFailures <Function>',
    'Errors <Function>',
    'Throttles <Function>',
  ];
  assert.deepEqual(watched(SMALLEST), always);
  const more = ['ApproximateAgeOfOldestMessage <S3Events.QueueName>', 'IteratorAge <Function>'];
  assert.deepEqual(watched(LARGEST), [...always, ...more].sort());
});

test('the command for the bucket’s notification is one that a shell and S3 can read', () => {
  const { outputs } = deploy(template, LARGEST);
  const [, json] = /--notification-configuration '([^']*)'$/.exec(outputs.S3NotificationCommand);
  assert.deepEqual(JSON.parse(json).QueueConfigurations[0], {
    Id: 'vpcflowd',
    QueueArn: '<S3Events.Arn>',
    Events: ['s3:ObjectCreated:*'],
    Filter: {
      Key: { FilterRules: [{ Name: 'prefix', Value: 'AWSLogs/' }, { Name: 'suffix', Value: '.log.gz' }] },
    },
  });
});

test('settings that contradict one another are refused before anything is made', () => {
  const refused = (given, why) => assert.throws(() => deploy(template, { ...SMALLEST, ...given }), why);
  refused({ ClientCertificate: secret }, /ClientCertificate and ClientKey/);
  refused({ SubnetIds: 'subnet-0a1' }, /SubnetIds and SecurityGroupIds/);
  refused({ Tls: 'no', Token: secret }, /need Tls=yes/);
  refused({ Tls: 'no', PinSha256: 'ab'.repeat(32) }, /need Tls=yes/);
  assert.equal(
    deploy(template, { ...SMALLEST, Tls: 'no' }).resources.Function.Environment.Variables.VPCFLOWD_TLS,
    undefined,
  );
});

const RIGHT = {
  Host: ['10.9.0.5', 'a.example.net', 'a, b:20556', '[2001:db8::5]:20555', '2001:db8::5'],
  Token: ['', 'ssm:/vpcflowd/token', secret, `${secret}#token`],
  PinSha256: ['', 'AB'.repeat(32), Array(32).fill('0f').join(':'), `${'ab'.repeat(32)},${'cd'.repeat(32)}`],
  SubnetIds: ['', 'subnet-0a1', 'subnet-0a1,subnet-0b2'],
  MaxPayload: ['', '1048576', '16M'],
  LogGroup1: ['', '/aws/vpc/prod', 'vpc#1.flow_logs'],
};
const WRONG = {
  Host: ['', 'a b', 'http://a.example.net/', 'a,'],
  Token: ['swordfish', 'ssm:token', 'arn:aws:iam::111122223333:role/x', `${secret}#`],
  ClientKey: ['-----BEGIN PRIVATE KEY-----\nMIIB'],
  Ca: ['-----BEGIN PRIVATE KEY-----\nMIIB'],
  PinSha256: ['ab', 'g'.repeat(64)],
  SubnetIds: ['subnet-0a1, subnet-0b2', 'vpc-1'],
  SecretsKmsKeyArn: ['arn:aws:kms:eu-central-1:111122223333:alias/mine', '*'],
  KinesisStreamArn: ['*', 'arn:aws:kinesis:eu-central-1:111122223333:stream/*'],
  MaxPayload: ['16 MB', '-1'],
  LogGroup1: ['/aws/vpc/*', '*'],
  S3Bucket: ['*', 'Upper'],
  S3Prefix: ['*'],
};

test('parameters take what is right and refuse what is not', () => {
  for (const [name, values] of Object.entries(RIGHT)) {
    for (const value of values) {
      assert.equal(refusal(template.Parameters[name], value), null, `${name} ${value}`);
    }
  }
  for (const [name, values] of Object.entries(WRONG)) {
    for (const value of values) {
      assert.notEqual(refusal(template.Parameters[name], value), null, `${name} ${value}`);
    }
  }
});

// ---- in step with the code

const programs = readdirSync(folder).filter((name) => name.endsWith('.mjs'));

test('the function is given every variable that its code knows, and no other', () => {
  const known = new Set();
  for (const name of programs) {
    for (const [variable] of readFileSync(join(folder, name), 'utf8').matchAll(/\bVPCFLOWD_[A-Z0-9_]+/g)) {
      known.add(variable);
    }
  }
  const given = deploy(template, LARGEST).resources.Function.Environment.Variables;
  assert.deepEqual(Object.keys(given).sort(), [...known].sort());
});

test('the handler that is deployed is there', async () => {
  const [, file, name] = /^(\w+)\.(\w+)$/.exec(template.Resources.Function.Properties.Handler);
  assert.equal(typeof (await import(join(folder, `${file}.mjs`)))[name], 'function');
});

// ---- in step with the README

const readme = readFileSync(join(folder, 'README.md'), 'utf8');

test('the README names every variable and every statement of the role, and its test event is a control message', () => {
  const { Function: deployed } = deploy(template, LARGEST).resources;
  for (const name of [...Object.keys(deployed.Environment.Variables), ...Object.keys(statementsFor(LARGEST)), 'NotFromCode']) {
    assert.ok(readme.includes(`| \`${name}\``), name);
  }
  const [, data] = /^\{"awslogs": \{"data": "([^"]+)"\}\}$/m.exec(readme);
  const { messageType, logEvents } = JSON.parse(gunzipSync(Buffer.from(data, 'base64')));
  assert.deepEqual([messageType, logEvents.length], ['CONTROL_MESSAGE', 1]);
});
