// Called by script/lint-templates with the folder that has the packages: every resource of the template, with every
// parameter in use, against AWS's own specification; every Terraform file through HashiCorp's parser.

import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { deploy } from './cloudformation.mjs';
import { LARGEST, SMALLEST, folder, template } from './template_samples.mjs';

const require = createRequire(`${resolve(process.argv[2])}/`);
const { loadAwsServiceSpec } = require('@aws-cdk/aws-service-spec');
const hcl = require('@cdktf/hcl2json');

const problems = [];
let checked = 0;
const specification = await loadAwsServiceSpec();

function check(path, type, value) {
  checked += 1;
  const complain = (expected) => problems.push(`${path}: ${JSON.stringify(value)} is not ${expected}`);
  switch (type.type) {
    case 'string':
      return typeof value === 'string' || typeof value === 'number' || complain('a string');
    case 'number':
    case 'integer':
      return Number.isFinite(Number(value)) || complain('a number');
    case 'boolean':
      return typeof value === 'boolean' || complain('true or false');
    case 'array':
      return Array.isArray(value) ? value.forEach((item, i) => check(`${path}.${i}`, type.element, item)) : complain('a list');
    case 'map':
      return Object.entries(value).forEach(([key, item]) => check(`${path}.${key}`, type.element, item));
    case 'union':
      return type.types.some((one) => one.type === 'json') || check(path, type.types[0], value);
    case 'ref':
      return checkObject(path, specification.get('typeDefinition', type.reference.$ref).properties, value);
    case 'json':
      return true;
    default:
      return problems.push(`${path}: the specification's type ${type.type} is not known here`);
  }
}

function checkObject(path, properties, value) {
  for (const [name, item] of Object.entries(value)) {
    if (properties[name] === undefined) {
      problems.push(`${path}.${name}: there is no such property`);
    } else {
      check(`${path}.${name}`, properties[name].type, item);
    }
  }
  for (const [name, { required }] of Object.entries(properties)) {
    if (required && value[name] === undefined) {
      problems.push(`${path}.${name} is required`);
    }
  }
}

for (const given of [SMALLEST, LARGEST]) {
  for (const [name, { Type, ...properties }] of Object.entries(deploy(template, given).resources)) {
    const known = specification.lookup('resource', 'cloudFormationType', 'equals', Type);
    if (known.length === 0) {
      problems.push(`${name}: there is no ${Type}`);
      continue;
    }
    // The path of a local file stands for the object that `aws cloudformation package` makes of it.
    const { Code, ...rest } = properties;
    const packaged = typeof Code === 'string' ? { Code: { S3Bucket: 'b', S3Key: 'k' } } : {};
    checkObject(name, known[0].properties, { ...rest, ...packaged });
  }
}

const terraform = join(folder, 'terraform');
const files = readdirSync(terraform).filter((name) => name.endsWith('.tf'));
for (const name of files) {
  try {
    await hcl.parse(name, readFileSync(join(terraform, name), 'utf8'));
  } catch (error) {
    problems.push(`${name}: ${error.message ?? error}`);
  }
}

for (const problem of problems) {
  console.error(problem);
}
console.log(`${checked} values of the template and ${files.length} Terraform files checked, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
