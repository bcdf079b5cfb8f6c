// The Terraform module: whole, and the same as the CloudFormation template in what it makes.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { deploy } from './cloudformation.mjs';
import { parseHcl, readModule } from './hcl.mjs';
import { LARGEST, folder, statementsFor, template } from './template_samples.mjs';

const modules = readModule(join(folder, 'terraform'));
const named = (type, label) =>
  modules.filter((block) => block.type === type && (label === undefined || block.labels[0] === label));
const everyBlock = (blocks) => blocks.flatMap((block) => [block, ...everyBlock(block.blocks)]);
const strings = (expression) => [...(expression ?? '').matchAll(/"([^"]*)"/g)].map((match) => match[1]);
const snake = (name) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();

test('every name that the Terraform module uses is declared, and every variable and local is used', () => {
  assert.deepEqual(moduleProblems(modules), []);
});

function moduleProblems(blocks) {
  const declared = new Set();
  for (const { type, labels, attributes } of blocks) {
    if (type === 'variable') declared.add(`var.${labels[0]}`);
    if (type === 'resource') declared.add(labels.join('.'));
    if (type === 'data') declared.add(`data.${labels.join('.')}`);
    if (type === 'locals') for (const name of attributes.keys()) declared.add(`local.${name}`);
  }
  const used = new Set();
  for (const { attributes } of everyBlock(blocks)) {
    for (const expression of attributes.values()) {
      // Text in quotes is no reference, but what stands in ${…} in it is.
      const code = expression.replace(/"((?:[^"\\]|\\.)*)"/g, (_, t) => ` ${[...t.matchAll(/\$\{([^}]*)\}/g)].map((m) => m[1]).join(' ')} `);
      for (const [name] of code.matchAll(/(?<![\w.])(?:(?:var|local)\.\w+|data\.\w+\.\w+|aws_\w+\.\w+)/g)) {
        used.add(name);
      }
    }
  }
  return [
    ...[...used].filter((name) => !declared.has(name)).map((name) => `there is no ${name}`),
    ...[...declared].filter((name) => /^(var|local)\./.test(name) && !used.has(name)).map((name) => `${name} is not used`),
  ];
}

test('the checks of the module complain when something is gone or not used', () => {
  const without = (label) => modules.filter(({ labels }) => !labels.includes(label));
  assert.match(moduleProblems(without('failed_events')).join(), /there is no aws_sqs_queue.failed_events/);
  assert.match(moduleProblems(without('token')).join(), /there is no var.token/);
  assert.match(moduleProblems([...modules, ...parseHcl('variable "spare" {}')]).join(), /var.spare is not used/);
});

test('Terraform’s variables are the template’s parameters', () => {
  const parameters = Object.keys(template.Parameters).map((name) => (/^LogGroup\d$/.test(name) ? 'log_groups' : snake(name)));
  const variables = named('variable').map(({ labels }) => labels[0]);
  assert.deepEqual([...variables].sort(), [...new Set([...parameters, 'name'])].sort());
  for (const { labels, attributes } of named('variable')) {
    assert.ok(strings(attributes.get('description'))[0]?.length > 10, `${labels[0]} has a description`);
    assert.ok(attributes.has('type'), `${labels[0]} has a type`);
    assert.equal(attributes.has('default'), labels[0] !== 'host', `${labels[0]} has a default`);
  }
});

test('Terraform’s patterns are the template’s', () => {
  let compared = 0;
  for (const [name, { AllowedPattern }] of Object.entries(template.Parameters)) {
    const condition = named('variable', snake(name))[0]?.blocks[0]?.attributes.get('condition');
    const literal = /^can\(regex\(("(?:[^"\\]|\\.)*"), var\.\w+\)\)$/.exec(condition ?? '')?.[1];
    if (literal !== undefined) {
      assert.equal(JSON.parse(literal), `^${AllowedPattern}$`, name);
      compared += 1;
    }
  }
  assert.ok(compared >= 14, `${compared} patterns compared`);
});

test('Terraform’s role has the template’s statements', () => {
  const found = {};
  for (const policy of ['function', 'network_is_lambdas_alone']) {
    const [document] = named('data', 'aws_iam_policy_document').filter(({ labels }) => labels[1] === policy);
    for (const { attributes } of everyBlock([document]).filter((block) => block.attributes.has('sid'))) {
      found[strings(attributes.get('sid'))[0]] = strings(attributes.get('actions')).join(' ');
      const everything = attributes.get('resources') === '["*"]';
      assert.equal(everything, ['SeeVpc', 'NotFromCode'].includes(strings(attributes.get('sid'))[0]));
    }
  }
  const expected = Object.fromEntries(
    Object.entries(statementsFor(LARGEST)).map(([sid, [actions]]) => [sid, actions]),
  );
  assert.deepEqual(found, { ...expected, NotFromCode: 'ec2:*' });
});

test('Terraform gives the function the same variables, and the whole of the code', () => {
  const expressions = named('locals').flatMap(({ attributes }) => [...attributes.values()]).join('\n');
  const given = new Set([...expressions.matchAll(/\b(VPCFLOWD_[A-Z0-9_]+) *=/g)].map((match) => match[1]));
  const { Variables } = deploy(template, LARGEST).resources.Function.Environment;
  assert.deepEqual([...given].sort(), Object.keys(Variables).sort());
  const [archive] = named('data', 'archive_file');
  assert.equal(
    archive.blocks[0].attributes.get('for_each'),
    'setsubtract(fileset("${path.module}/..", "{*.mjs,package.json}"), ["replay.mjs"])',
  );
});

test('Terraform makes what the template makes', () => {
  const types = {
    'AWS::CloudWatch::Alarm': 'aws_cloudwatch_metric_alarm',
    'AWS::IAM::Policy': 'aws_iam_role_policy',
    'AWS::IAM::Role': 'aws_iam_role',
    'AWS::Lambda::EventInvokeConfig': 'aws_lambda_function_event_invoke_config',
    'AWS::Lambda::EventSourceMapping': 'aws_lambda_event_source_mapping',
    'AWS::Lambda::Function': 'aws_lambda_function',
    'AWS::Lambda::Permission': 'aws_lambda_permission',
    'AWS::Logs::LogGroup': 'aws_cloudwatch_log_group',
    'AWS::Logs::SubscriptionFilter': 'aws_cloudwatch_log_subscription_filter',
    'AWS::SQS::Queue': 'aws_sqs_queue',
    'AWS::SQS::QueuePolicy': 'aws_sqs_queue_policy',
  };
  const made = Object.values(template.Resources).map(({ Type }) => types[Type]);
  const blocks = named('resource').map(({ labels }) => labels[0]);
  assert.deepEqual(new Set(blocks), new Set(made));
  for (const type of ['aws_sqs_queue', 'aws_lambda_event_source_mapping']) {
    assert.equal(blocks.filter((t) => t === type).length, made.filter((t) => t === type).length, type);
  }
  for (const { labels, attributes } of named('resource', 'aws_lambda_permission')) {
    assert.ok(attributes.has('source_arn') && attributes.has('source_account'), labels.join('.'));
  }
  for (const { labels, attributes } of named('resource', 'aws_sqs_queue')) {
    assert.equal(attributes.get('sqs_managed_sse_enabled'), 'true', labels.join('.'));
    assert.equal(attributes.get('message_retention_seconds'), '1209600', labels.join('.'));
  }
  const alarms = named('locals').flatMap(({ attributes }) => [...attributes.values()]).join('\n');
  const metrics = [...alarms.matchAll(/metric = "(\w+)"/g)].map((match) => match[1]).sort();
  const expected = Object.values(template.Resources)
    .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
    .map(({ Properties }) => Properties.MetricName)
    .sort();
  assert.deepEqual(metrics, expected);
});
