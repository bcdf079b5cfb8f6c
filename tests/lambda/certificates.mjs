// Certificates for one test file, made by openssl: an authority, a server's and a client's certificate, and strangers.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';

export const haveOpenssl = spawnSync('openssl', ['version']).status === 0;

// { path(name), text(name), pin(name), remove() }; names: ca, server, client, otherCa, otherServer, with .crt or .key.
export function makeCertificates() {
  const folder = mkdtempSync(join(tmpdir(), 'vpcflowd-certificates-'));
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = (name) =>
    openssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', '2',
      '-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE');
  const issue = (name, by, extensions) => {
    writeFileSync(join(folder, `${name}.ext`), extensions);
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${by}.crt`, '-CAkey', `${by}.key`, '-CAcreateserial',
      '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.crt`);
  };
  authority('ca');
  authority('otherCa');
  issue('server', 'ca', 'subjectAltName=DNS:flows.test,IP:127.0.0.1\n');
  issue('named', 'ca', 'subjectAltName=DNS:flows.test\n');
  issue('otherServer', 'otherCa', 'subjectAltName=DNS:flows.test,IP:127.0.0.1\n');
  issue('client', 'ca', 'extendedKeyUsage=clientAuth\n');
  issue('otherClient', 'otherCa', 'extendedKeyUsage=clientAuth\n');
  const path = (name) => join(folder, name);
  const text = (name) => readFileSync(path(name), 'utf8');
  return {
    path,
    text,
    pin: (name) => new X509Certificate(text(name)).fingerprint256,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
