// The AWS services that some sources and settings need. The SDK is part of Lambda's Node.js runtime; it is loaded
// when the first call needs it, so that the function starts fast and runs without it where nothing calls.

const loaded = new Map();
const services = {
  s3: async (region) => {
    const sdk = await load('@aws-sdk/client-s3');
    const client = new sdk.S3Client({ followRegionRedirects: true, ...(region && { region }) });
    return {
      getObject: (input, options) => client.send(new sdk.GetObjectCommand(input), options),
      listObjects: (input, options) => client.send(new sdk.ListObjectsV2Command(input), options),
    };
  },
  sqs: async (region) => {
    const sdk = await load('@aws-sdk/client-sqs');
    const client = new sdk.SQSClient(region ? { region } : {});
    return { sendMessage: (input, options) => client.send(new sdk.SendMessageCommand(input), options) };
  },
  secrets: async (region) => {
    const sdk = await load('@aws-sdk/client-secrets-manager');
    const client = new sdk.SecretsManagerClient(region ? { region } : {});
    return { getSecret: (input, options) => client.send(new sdk.GetSecretValueCommand(input), options) };
  },
  parameters: async (region) => {
    const sdk = await load('@aws-sdk/client-ssm');
    const client = new sdk.SSMClient(region ? { region } : {});
    return { getParameter: (input, options) => client.send(new sdk.GetParameterCommand(input), options) };
  },
};

// A service's few calls: service('s3'), 'sqs', 'secrets' or 'parameters'; in the function's own region if none is
// named. One client of each is made and kept.
export function service(name, region = '') {
  const key = `${name} ${region}`;
  if (!loaded.has(key)) {
    const made = services[name](region);
    loaded.set(key, made);
    made.catch(() => loaded.delete(key));
  }
  return loaded.get(key);
}

// Puts others in the place of AWS's: { s3: { getObject }, … }. Returns what takes them out again.
export function replaceServices(others) {
  const before = { ...services };
  loaded.clear();
  for (const [name, calls] of Object.entries(others)) {
    services[name] = async () => calls;
  }
  return () => {
    Object.assign(services, before);
    loaded.clear();
  };
}

async function load(name) {
  try {
    return await import(name);
  } catch (cause) {
    const error = new Error(
      `${name} is not here (${cause.code ?? cause.message}): Lambda's Node.js runtimes have it; elsewhere run ` +
        `"npm install --no-save ${name}" beside index.mjs`,
      { cause },
    );
    error.final = true;
    throw error;
  }
}
