// Reads a CloudFormation template, and works out what it comes to for given parameters: enough of CloudFormation's
// functions for lambda/template.yaml. What it does not know, it refuses.

import { execFileSync } from 'node:child_process';

const PYTHON = `
import json, sys, yaml

class Loader(yaml.SafeLoader):
    pass

def mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise SystemExit(f'{node.start_mark}: the key {key} occurs twice')
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value)}

def function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = mapping(loader, node)
    if suffix == 'GetAtt' and isinstance(value, str):
        value = value.split('.', 1)
    return {suffix if suffix in ('Ref', 'Condition') else 'Fn::' + suffix: value}

Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
Loader.add_multi_constructor('!', function)
json.dump(yaml.load(sys.stdin.read(), Loader), sys.stdout)
`;

// The template as an object, short forms (!Ref) written out ({"Ref": …}). Throws on what is not YAML.
export function parseTemplate(text) {
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', PYTHON], { input: text, encoding: 'utf8' }));
}

export const PSEUDO = new Map([
  ['AWS::AccountId', '111122223333'],
  ['AWS::Partition', 'aws'],
  ['AWS::Region', 'eu-central-1'],
  ['AWS::StackName', 'flows'],
]);
const NOTHING = Symbol('AWS::NoValue');

// A parameter's value is refused as CloudFormation would refuse it: null if it is right.
export function refusal(parameter, value) {
  const text = String(value);
  if (parameter.AllowedValues !== undefined && !parameter.AllowedValues.map(String).includes(text)) {
    return `${text} is none of ${parameter.AllowedValues.join(', ')}`;
  }
  if (parameter.AllowedPattern !== undefined && !new RegExp(`^(?:${parameter.AllowedPattern})$`).test(text)) {
    return `${text} does not match ${parameter.AllowedPattern}`;
  }
  if (parameter.Type === 'Number') {
    const number = Number(text);
    if (text === '' || !Number.isFinite(number) || number < parameter.MinValue || number > parameter.MaxValue) {
      return `${text} is not a number from ${parameter.MinValue} to ${parameter.MaxValue}`;
    }
  }
  return null;
}

// What would be deployed: { resources, outputs }. `!GetAtt A.B` of a resource becomes "<A.B>", `!Ref A` "<A>". Throws
// if a parameter is refused, a rule does not hold, or something refers to what is not deployed.
export function deploy(template, given) {
  const parameters = {};
  for (const [name, parameter] of Object.entries(template.Parameters)) {
    const value = given[name] ?? parameter.Default;
    if (value === undefined) {
      throw new Error(`${name} is not given`);
    }
    const why = refusal(parameter, value);
    if (why !== null) {
      throw new Error(`${name}: ${why}`);
    }
    parameters[name] = String(value);
  }
  for (const name of Object.keys(given)) {
    if (template.Parameters[name] === undefined) {
      throw new Error(`${name} is no parameter`);
    }
  }

  const scope = { template, parameters };
  for (const [name, rule] of Object.entries(template.Rules)) {
    if (rule.RuleCondition === undefined || truth(scope, rule.RuleCondition)) {
      for (const { Assert, AssertDescription } of rule.Assertions) {
        if (!truth(scope, Assert)) {
          throw new Error(`${name}: ${AssertDescription}`);
        }
      }
    }
  }
  scope.deployed = new Set(
    Object.keys(template.Resources).filter((name) => holds(scope, template.Resources[name].Condition)),
  );

  const resources = {};
  for (const name of scope.deployed) {
    const { Type, Properties, DependsOn } = template.Resources[name];
    for (const other of [DependsOn ?? []].flat()) {
      existing(scope, other);
    }
    resources[name] = { Type, ...evaluate(scope, Properties) };
  }
  const outputs = {};
  for (const [name, output] of Object.entries(template.Outputs)) {
    if (holds(scope, output.Condition)) {
      outputs[name] = evaluate(scope, output.Value);
    }
  }
  return { resources, outputs };
}

function holds(scope, condition) {
  return condition === undefined || truth(scope, { Condition: condition });
}

function truth(scope, node) {
  const [[name, value]] = Object.entries(node);
  switch (name) {
    case 'Condition':
      if (scope.template.Conditions[value] === undefined) {
        throw new Error(`there is no condition ${value}`);
      }
      return truth(scope, scope.template.Conditions[value]);
    case 'Fn::Equals':
      return evaluate(scope, value[0]) === evaluate(scope, value[1]);
    case 'Fn::Not':
      return !truth(scope, value[0]);
    case 'Fn::And':
    case 'Fn::Or':
      if (value.length < 2 || value.length > 10) {
        throw new Error(`${name} takes 2 to 10 conditions`);
      }
      return name === 'Fn::And' ? value.every((v) => truth(scope, v)) : value.some((v) => truth(scope, v));
    default:
      throw new Error(`${name} is no condition`);
  }
}

function existing(scope, name) {
  if (!scope.deployed?.has(name)) {
    throw new Error(`${name} is not deployed, or does not exist`);
  }
  return name;
}

function reference(scope, name) {
  if (name === 'AWS::NoValue') {
    return NOTHING;
  }
  return PSEUDO.get(name) ?? scope.parameters[name] ?? `<${existing(scope, name)}>`;
}

function substitute(scope, text, values) {
  return text.replace(/\$\{([A-Za-z0-9:.]+)\}/g, (_, name) => {
    if (values[name] !== undefined) {
      return evaluate(scope, values[name]);
    }
    const [resource, attribute] = name.split('.');
    return attribute === undefined ? reference(scope, name) : `<${existing(scope, resource)}.${attribute}>`;
  });
}

function evaluate(scope, node) {
  if (node === null || typeof node !== 'object') {
    return node;
  }
  if (Array.isArray(node)) {
    return node.map((item) => evaluate(scope, item)).filter((item) => item !== NOTHING);
  }
  const [name, value] = Object.entries(node)[0] ?? [];
  if (name === undefined || !(name === 'Ref' || name.startsWith('Fn::'))) {
    const entries = Object.entries(node).map(([key, item]) => [key, evaluate(scope, item)]);
    return Object.fromEntries(entries.filter(([, item]) => item !== NOTHING));
  }
  switch (name) {
    case 'Ref':
      return reference(scope, value);
    case 'Fn::GetAtt':
      return `<${existing(scope, value[0])}.${value[1]}>`;
    case 'Fn::Sub':
      return Array.isArray(value) ? substitute(scope, ...value) : substitute(scope, value, {});
    case 'Fn::If':
      return evaluate(scope, truth(scope, { Condition: value[0] }) ? value[1] : value[2]);
    case 'Fn::Split':
      return evaluate(scope, value[1]).split(value[0]);
    case 'Fn::Select':
      return present(evaluate(scope, value[1])[value[0]], node);
    case 'Fn::FindInMap': {
      const [map, first, second] = evaluate(scope, value);
      return present(scope.template.Mappings[map]?.[first]?.[second], node);
    }
    default:
      throw new Error(`the function ${name} is not known here`);
  }
}

function present(value, node) {
  if (value === undefined) {
    throw new Error(`nothing is selected by ${JSON.stringify(node)}`);
  }
  return value;
}
