// A socket to vpcflowd: plain TCP, or TLS with whatever proves the two ends to each other.

import net from 'node:net';
import tls from 'node:tls';

// OpenSSL's codes for a certificate that does not hold, here or at the other end.
const CERTIFICATE =
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|INVALID_|HOSTNAME_|ERR_TLS_CERT|ERR_SSL_.*(CERT|ALERT_UNKNOWN_CA))/;

// Connects to `address`:`port`. `secure` is null for plain TCP, or { ca, pins, serverName, certificate, key }. Calls
// `ready()` when payloads may be sent, or `ready(error)` when the peer is not who it should be; failures before that
// are the socket's own 'error' events.
export function openSocket({ host, port, address }, secure, ready) {
  const options = { host: address, port, noDelay: true, keepAlive: true };
  if (secure === null) {
    const socket = net.connect(options, () => ready());
    socket.setEncoding('utf8');
    return socket;
  }
  const socket = connectTls({ ...options, ...tlsOptions(host, secure) });
  socket.setEncoding('utf8');
  socket.on('secureConnect', () => ready(pinError(socket, secure.pins)));
  // First of the listeners, so that those behind it see the explained error.
  socket.on('error', explain);
  return socket;
}

function connectTls(options) {
  try {
    return tls.connect(options);
  } catch (cause) {
    const error = new Error(
      `VPCFLOWD_CA, VPCFLOWD_CLIENT_CERTIFICATE or VPCFLOWD_CLIENT_KEY cannot be used (${cause.message})`,
    );
    error.tls = true;
    throw error;
  }
}

function tlsOptions(host, { ca, pins, serverName, certificate, key }) {
  const name = serverName || host;
  return {
    ca: ca || undefined,
    cert: certificate || undefined,
    key: key || undefined,
    minVersion: 'TLSv1.2',
    // A server name is a name (RFC 6066): of an address only the certificate is checked.
    servername: net.isIP(name) ? '' : name,
    checkServerIdentity: (_, peer) => tls.checkServerIdentity(name, peer),
    // A pinned certificate needs nobody to vouch for it; where authorities are given too, both must hold.
    rejectUnauthorized: pins.length === 0 || Boolean(ca),
  };
}

function pinError(socket, pins) {
  if (pins.length === 0) {
    return undefined;
  }
  const shown = (socket.getPeerCertificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase();
  if (pins.includes(shown)) {
    return undefined;
  }
  const error = new Error(`it shows another certificate than the one that VPCFLOWD_PIN_SHA256 names: SHA-256 ${shown}`);
  error.tls = true;
  return error;
}

// Says what to do about the failures that a wrong setting leads to.
function explain(error) {
  const code = error.code ?? '';
  if (CERTIFICATE.test(code)) {
    error.tls = true;
    error.message = code.startsWith('ERR_SSL')
      ? `it refused the TLS handshake (${error.message.trim()}); where vpcflowd has tls_client_ca, ` +
        'VPCFLOWD_CLIENT_CERTIFICATE and VPCFLOWD_CLIENT_KEY must be set to what that authority issued'
      : `its certificate is not to be trusted (${error.message}); VPCFLOWD_CA must hold the authority that ` +
        'issued it, and VPCFLOWD_SERVER_NAME the name in it, if that is not VPCFLOWD_HOST';
  } else if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    error.tls = true;
    error.message = 'it does not speak TLS on this port; unset VPCFLOWD_TLS, or set tls_certificate in vpcflowd.conf';
  } else if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') || code === 'EPROTO') {
    error.tls = true;
    error.message = `the TLS handshake failed (${error.message.trim()})`;
  }
}
