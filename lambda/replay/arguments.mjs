// replay's command line.

export const HELP = `usage: node replay.mjs [option…] PATH|s3://BUCKET/PREFIX…

Sends flow logs to vpcflowd as the Lambda function does: files (text, .log.gz, base64, CloudWatch Logs or Firehose
JSON, Lambda events and what their on-failure queues hold), folders of them, and all objects under an S3 prefix.

  --concurrency N   files under way at a time (4)
  --resume FILE     note in FILE what vpcflowd has acknowledged, and pass over what is noted there already
  --timeout S       seconds that a file may take, each time it is tried (120)
  --tries N         how often a file is tried (5) while vpcflowd is away or busy
  --dry-run         say what would be sent
  --help            this text

Where vpcflowd is, and how it is reached, is in the environment variables of the function (README.md): VPCFLOWD_HOST,
VPCFLOWD_PORT, VPCFLOWD_TLS, VPCFLOWD_TOKEN and so on. S3 takes the AWS SDK and credentials as the AWS CLI does.

Ctrl-C ends it when the files under way are done; a second one ends it at once.
Exit code: 0 everything was acknowledged, 1 something was not, 2 wrong usage, 130 ended by Ctrl-C.`;

const NUMBERS = { '--concurrency': [1, 256], '--timeout': [1, 86_400], '--tries': [1, 1000] };

export class UsageError extends Error {}

// { paths, concurrency, resume, timeout, tries, dryRun, help }
export function parseArguments(argv) {
  const options = { paths: [], concurrency: 4, resume: '', timeout: 120, tries: 5, dryRun: false, help: false };
  const rest = [...argv];
  while (rest.length > 0) {
    const [name, inline] = splitOption(rest.shift());
    const value = () => inline ?? rest.shift() ?? fail(`${name} needs a value`);
    if (name === '--') {
      options.paths.push(...rest.splice(0));
    } else if (!name.startsWith('-')) {
      options.paths.push(name);
    } else if (name in NUMBERS) {
      options[name.slice(2)] = readNumber(name, value());
    } else if (name === '--resume') {
      options.resume = value();
    } else if (name === '--dry-run') {
      options.dryRun = true;
    } else if (name === '--help' || name === '-h') {
      options.help = true;
    } else {
      fail(`there is no option ${name}`);
    }
  }
  if (options.paths.length === 0 && !options.help) {
    fail('name at least one file, folder or s3://bucket/prefix');
  }
  return options;
}

function splitOption(text) {
  const equals = text.startsWith('--') ? text.indexOf('=') : -1;
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}

function readNumber(name, text) {
  const [min, max] = NUMBERS[name];
  const number = Number(text);
  if (!/^[0-9]+$/.test(text) || number < min || number > max) {
    fail(`${name} must be a number from ${min} to ${max}, not "${text}"`);
  }
  return number;
}

function fail(message) {
  throw new UsageError(message);
}
