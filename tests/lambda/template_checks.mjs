// What is wrong with a CloudFormation template, as a list of sentences: names that lead nowhere, things that nobody
// uses, rights that are wider than they need be.

import { PSEUDO, refusal } from './cloudformation.mjs';

// Attributes that Fn::GetAtt may ask for, of the types in use.
const ATTRIBUTES = {
  'AWS::IAM::Role': ['Arn', 'RoleId'],
  'AWS::Lambda::Function': ['Arn'],
  'AWS::Logs::LogGroup': ['Arn'],
  'AWS::SQS::Queue': ['Arn', 'QueueName', 'QueueUrl'],
};

// Statements whose resource may be "*", and why.
const EVERYTHING = new Map([['SeeVpc', 'ec2:Describe… takes no resource']]);

export function problemsOf(template) {
  return [...leadsNowhere(template), ...unused(template), ...parameters(template), ...rights(template)];
}

// Every reference in a template: { path, kind, name, under }, `under` being the conditions that hold there. Kinds are
// ref, attribute, condition, map.
function* references(template) {
  for (const [section, entries] of Object.entries(template)) {
    if (section === 'Metadata' || entries === null || typeof entries !== 'object') {
      continue;
    }
    for (const [name, entry] of Object.entries(entries)) {
      const path = `${section}.${name}`;
      const isDeployed = section === 'Resources' || section === 'Outputs';
      const under = isDeployed && entry.Condition !== undefined ? [entry.Condition] : [];
      if (under.length > 0) {
        yield { path, kind: 'condition', name: entry.Condition, under: [] };
      }
      for (const other of isDeployed ? [entry.DependsOn ?? []].flat() : []) {
        yield { path: `${path}.DependsOn`, kind: 'ref', name: other, under };
      }
      const { Condition, DependsOn, ...rest } = isDeployed ? entry : { body: entry };
      yield* within(rest, path, under);
    }
  }
}

function* within(node, path, under) {
  if (node === null || typeof node !== 'object') {
    return;
  }
  for (const [key, value] of Object.entries(node)) {
    const here = `${path}.${key}`;
    if (key === 'Ref') {
      yield { path: here, kind: 'ref', name: value, under };
    } else if (key === 'Fn::GetAtt') {
      yield { path: here, kind: 'attribute', name: value.join('.'), under };
    } else if (key === 'Fn::Sub') {
      const [text, values] = Array.isArray(value) ? value : [value, {}];
      for (const [, name] of text.matchAll(/\$\{([^!}][^}]*)\}/g)) {
        if (values[name] === undefined) {
          yield { path: here, kind: name.includes('.') ? 'attribute' : 'ref', name, under };
        }
      }
      yield* within(values, here, under);
    } else if (key === 'Fn::If') {
      yield { path: here, kind: 'condition', name: value[0], under };
      yield* within([value[1]], here, [...under, value[0]]);
      yield* within([value[2]], here, under);
    } else if (key === 'Condition' && typeof value === 'string') {
      yield { path: here, kind: 'condition', name: value, under };
    } else if (key === 'Fn::FindInMap') {
      yield { path: here, kind: 'map', name: value[0], under };
      yield* within(value.slice(1), here, under);
    } else {
      yield* within(value, here, under);
    }
  }
}

function leadsNowhere(template) {
  const problems = [];
  for (const { path, kind, name, under } of references(template)) {
    const [resource, attribute] = kind === 'attribute' ? name.split('.') : [name];
    const target = template.Resources[resource];
    if (kind === 'condition') {
      if (template.Conditions[name] === undefined) {
        problems.push(`${path}: there is no condition ${name}`);
      }
    } else if (kind === 'map') {
      if (template.Mappings[name] === undefined) {
        problems.push(`${path}: there is no mapping ${name}`);
      }
    } else if (target === undefined) {
      const known = PSEUDO.has(name) || name === 'AWS::NoValue' || template.Parameters[name] !== undefined;
      if (kind === 'attribute' || !known) {
        problems.push(`${path}: there is no ${name}`);
      }
    } else if (kind === 'attribute' && !(ATTRIBUTES[target.Type] ?? []).includes(attribute)) {
      problems.push(`${path}: ${target.Type} has no attribute ${attribute}`);
    } else if (target.Condition !== undefined && !under.includes(target.Condition)) {
      problems.push(`${path}: ${resource} is there only if ${target.Condition}`);
    }
  }
  return problems;
}

function unused(template) {
  const used = new Set();
  for (const { kind, name } of references(template)) {
    used.add(`${{ condition: 'Conditions', map: 'Mappings' }[kind] ?? 'Parameters'}.${name}`);
  }
  return ['Parameters', 'Conditions', 'Mappings'].flatMap((section) =>
    Object.keys(template[section])
      .filter((name) => !used.has(`${section}.${name}`))
      .map((name) => `${section}.${name} is not used`),
  );
}

function parameters(template) {
  const problems = [];
  const groups = template.Metadata['AWS::CloudFormation::Interface'].ParameterGroups;
  const shown = groups.flatMap((group) => group.Parameters);
  for (const [name, parameter] of Object.entries(template.Parameters)) {
    if (!/^.{10,}\.?$/s.test(parameter.Description ?? '')) {
      problems.push(`Parameters.${name} has no description`);
    }
    if (!['String', 'Number'].includes(parameter.Type)) {
      problems.push(`Parameters.${name} has a type that is not known here`);
    }
    if ([parameter.AllowedPattern, parameter.AllowedValues, parameter.MinValue].every((v) => v === undefined)) {
      problems.push(`Parameters.${name} takes anything`);
    }
    const why = parameter.Default === undefined ? null : refusal(parameter, parameter.Default);
    if (why !== null) {
      problems.push(`Parameters.${name} has a default that it refuses: ${why}`);
    }
    if (shown.filter((other) => other === name).length !== 1) {
      problems.push(`Parameters.${name} is not in one group of the console's form`);
    }
  }
  return problems.concat(
    shown.filter((name) => template.Parameters[name] === undefined).map((name) => `there is no parameter ${name}`),
  );
}

// The statements of all policies of a template, each with the resource that they are in.
export function statementsOf(template) {
  const found = [];
  const seek = (node, path) => {
    if (node === null || typeof node !== 'object') {
      return;
    }
    if (node.Effect !== undefined) {
      found.push({ path, statement: node });
    }
    for (const [key, value] of Object.entries(node)) {
      seek(value, `${path}.${key}`);
    }
  };
  for (const [name, { Properties }] of Object.entries(template.Resources)) {
    seek(Properties, name);
  }
  return found;
}

function rights(template) {
  const problems = [];
  for (const { path, statement } of statementsOf(template)) {
    const actions = [statement.Action].flat();
    if (statement.Effect !== 'Allow') {
      continue;
    }
    for (const action of actions.filter((a) => typeof a !== 'string' || a.includes('*'))) {
      problems.push(`${path}: allows ${action}`);
    }
    if (statement.Principal !== undefined && Object.keys(statement.Principal).join() !== 'Service') {
      problems.push(`${path}: allows it to ${JSON.stringify(statement.Principal)}`);
    }
    const resources = [statement.Resource ?? []].flat();
    if (resources.includes('*') && !EVERYTHING.has(statement.Sid)) {
      problems.push(`${path}: allows ${actions.join(', ')} on everything`);
    }
    if (resources.length === 0 && actions.join() !== 'sts:AssumeRole') {
      problems.push(`${path}: names no resource`);
    }
    const limits = Object.assign({}, ...Object.values(statement.Condition ?? {}));
    if (statement.Resource !== undefined && statement.Principal !== undefined) {
      for (const key of ['aws:SourceArn', 'aws:SourceAccount'].filter((k) => limits[k] === undefined)) {
        problems.push(`${path}: anybody's ${statement.Principal.Service} may do it, without ${key}`);
      }
    }
  }
  for (const [name, { Type, Properties }] of Object.entries(template.Resources)) {
    if (Type === 'AWS::Lambda::Permission') {
      for (const key of ['SourceArn', 'SourceAccount'].filter((k) => Properties[k] === undefined)) {
        problems.push(`${name}: anybody's ${Properties.Principal} may do it, without ${key}`);
      }
    }
  }
  return problems;
}
