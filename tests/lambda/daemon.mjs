// A TCP server that stands in for vpcflowd: it reads counted payloads and does with each what the test says.

import { once } from 'node:events';
import net from 'node:net';
import zlib from 'node:zlib';

export const OK = 'OK exported=3 skipped=1 rejected=0 duplicate=0\n';
export const OK_RESULT = { exported: 3, skipped: 1, rejected: 0, duplicate: 0 };

// `onPayload(bytes, socket, number)` is called for each payload, numbered from 1 over all connections; a string that
// it returns is sent as the reply. `onConnection(socket, number)` is called for each connection.
export async function startDaemon(t, onPayload = () => OK, { onConnection = () => {}, port = 0 } = {}) {
  const daemon = { payloads: [], connections: 0, sockets: new Set(), port: 0 };
  const server = net.createServer((socket) => {
    daemon.connections += 1;
    daemon.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => daemon.sockets.delete(socket));
    readPayloads(socket, (payload) => {
      daemon.payloads.push(payload);
      const reply = onPayload(payload, socket, daemon.payloads.length);
      if (typeof reply === 'string') {
        socket.write(reply);
      }
    });
    onConnection(socket, daemon.connections);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  daemon.port = server.address().port;

  daemon.dropConnections = async (how = 'destroy') => {
    const closed = [...daemon.sockets].map((socket) => once(socket, 'close'));
    for (const socket of daemon.sockets) {
      socket[how]();
    }
    await Promise.all(closed);
  };
  daemon.stop = async () => {
    if (server.listening) {
      server.close();
      await daemon.dropConnections();
    }
  };
  t.after(daemon.stop);
  return daemon;
}

function readPayloads(socket, onPayload) {
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const newline = bytes.indexOf('\n');
      if (newline < 0) {
        return;
      }
      const header = bytes.subarray(0, newline).toString('latin1');
      const length = Number(/^DATA ([0-9]+)$/.exec(header)?.[1] ?? NaN);
      if (Number.isNaN(length)) {
        socket.destroy(new Error(`not a DATA line: ${header}`));
        return;
      }
      if (bytes.length < newline + 1 + length) {
        return;
      }
      const payload = bytes.subarray(newline + 1, newline + 1 + length);
      bytes = bytes.subarray(newline + 1 + length);
      onPayload(Buffer.from(payload));
    }
  });
}

// A CloudWatch Logs event of these flow-log lines, as a subscription delivers it to a Lambda function.
export function cloudWatchEvent(lines, { logGroup = '/aws/vpc/test', messageType = 'DATA_MESSAGE' } = {}) {
  const document = {
    messageType,
    owner: '210987654321',
    logGroup,
    logStream: 'eni-0a1b2c3d4e5f60718-all',
    subscriptionFilters: ['to-vpcflowd'],
    logEvents: lines.map((message, i) => ({ id: String(i), timestamp: 1_750_000_000_000 + i, message })),
  };
  return { awslogs: { data: zlib.gzipSync(JSON.stringify(document)).toString('base64') } };
}

export const gzipOf = (event) => Buffer.from(event.awslogs.data, 'base64');

export function flowLine(number) {
  return (
    `2 210987654321 eni-0a1b2c3d4e5f60718 10.20.${number % 250}.9 198.51.100.${number % 250} ${40000 + number} 443 6 ` +
    `${10 + number} ${4000 + number} 1750000000 1750000058 ACCEPT OK`
  );
}

export const contextWith = (milliseconds) => ({ getRemainingTimeInMillis: () => milliseconds });

// Points the handler at a daemon for the length of one test.
export function useDaemon(t, { host = '127.0.0.1', port }) {
  const before = { VPCFLOWD_HOST: process.env.VPCFLOWD_HOST, VPCFLOWD_PORT: process.env.VPCFLOWD_PORT };
  const set = (name, value) => {
    if (value === undefined) {
      delete process.env[name];
    } else {
      process.env[name] = String(value);
    }
  };
  set('VPCFLOWD_HOST', host);
  set('VPCFLOWD_PORT', port);
  t.after(() => Object.entries(before).forEach(([name, value]) => set(name, value)));
}
