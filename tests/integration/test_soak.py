"""Valid, broken and hostile clients at once: every record of a valid payload arrives exactly once, memory stays flat.

Runs for 20 seconds; VPCFLOWD_SOAK_MINUTES=30 makes it a soak of half an hour, and prints what it saw.
"""
import gzip
import json
import os
import random
import re
import socket
import struct
import threading
import time
import urllib.request
import zlib

import collectors
import flows
import ipfix
import payloads
from daemon import file, write_config
from scenario import reply_to, two_vpcs
from wire import ERR, FRAMINGS, SLOW, Client

MINUTES = float(os.environ.get('VPCFLOWD_SOAK_MINUTES') or 0)
SECONDS = MINUTES * 60 or 20 * min(SLOW, 2)
IDLE = 1000
MEMORY_ROOM = 16 << 20  # bytes that the last third may take beyond the second: a large payload more in flight
LIMITS = {'max_payload': '1M', 'max_inflated': '8M', 'max_connections': '4000', 'max_connections_per_address': '2000',
          'idle_timeout': '20s'}


def reset_on_close(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


class Soak:
    def __init__(self, daemon):
        self.address, self.pid = daemon.address, daemon.pid
        self.ends = time.monotonic() + SECONDS
        self.lock = threading.Lock()
        self.sent, self.counts, self.problems = [], {}, []

    def over(self):
        return time.monotonic() >= self.ends or bool(self.problems)

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def pause(self, seconds):
        time.sleep(max(0, min(seconds, self.ends - time.monotonic())))

    def note_reply(self, lines, reply, what):
        if reply and reply.startswith('ERR 503'):  # nothing of it left; a Lambda would try again
            self.count(f'{what} told to try again')
            return
        if reply != reply_to(lines):
            self.problems.append(f'one of the {what} was answered {reply}')
        with self.lock:
            self.sent += lines
        self.count(what)

    # --- clients that are right -------------------------------------------------------------------------------------

    def sender(self, seed):
        """Whole payloads by any framing; each must be answered OK with the right counts."""
        rng, generator = random.Random(seed), flows.Generator(seed)
        names = list(FRAMINGS)
        client = Client(self.address)
        while not self.over():
            lines = generator.mixed_lines(rng.choice((1, 20, 500)))
            framing = FRAMINGS[rng.choice(names)]
            document = payloads.document_text(rng.choice(list(payloads.DOCUMENT_SHAPES)), lines, seed=rng.random())
            client.send(framing.wrap(document))
            if framing.closes:
                client.finish()
            reply = client.line(60 * SLOW)
            self.note_reply(lines, reply, 'valid payloads')
            if framing.closes or (reply and reply.startswith('ERR')):
                client.close()
                client = Client(self.address)
            self.pause(rng.random() * 0.2)
        client.close()

    def slow_sender(self, seed):
        """A valid payload in single bytes and small pieces."""
        rng, generator = random.Random(seed), flows.Generator(seed)
        while not self.over():
            lines = generator.mixed_lines(3)
            data = FRAMINGS['DATA, gzip'].wrap(payloads.simple_document(lines))
            with Client(self.address) as client:
                try:
                    while data:
                        n = rng.randint(1, 60)
                        client.send(data[:n])
                        data = data[n:]
                        time.sleep(0.01)
                except OSError:  # it was told 503, and closed, in the middle
                    self.count('slow valid payloads cut off by the daemon')
                    continue
                reply = client.line(60 * SLOW)
            self.note_reply(lines, reply, 'slow valid payloads')

    # --- clients that are wrong -------------------------------------------------------------------------------------

    def refused(self, payload, what, may_be=None):
        """Must be refused; or, where the damage may have changed nothing, taken for the lines that it may still be."""
        with Client(self.address) as client:
            try:
                client.data(payload)
                reply = client.line(60 * SLOW)
            except OSError:
                reply = None  # refused at the announced length, and closed while we still wrote
        if may_be is not None and reply == reply_to(may_be):
            with self.lock:
                self.sent += may_be
        elif reply is not None and not ERR.match(reply):
            self.problems.append(f'{what} was answered {reply}')
        self.count(what)

    def broken(self, seed):
        rng, generator = random.Random(seed), flows.Generator(seed)
        while not self.over():
            lines = generator.mixed_lines(100)
            good = gzip.compress(payloads.simple_document(lines))
            at = rng.randrange(12, len(good) - 8)  # behind the header: what is damaged must show in the CRC at least
            # A match may point at another place with the same text, after that: then the CRC is right, and so is OK.
            flipped = good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1:]
            payload = rng.choice((good[:at], flipped, rng.randbytes(rng.randint(1, 3000)), b'{"a":' * 500, b'[' * 5000,
                                  b'{"messageType":"DATA_MESSAGE","logEvents":[{"message":"' + b'x' * 5000))
            self.refused(payload, 'broken payloads', lines if payload is flipped else None)
            self.pause(0.05)

    def bombs(self, _seed):
        zeros = zlib.compress(b' ' * (64 << 20), 9)
        nested = gzip.compress(gzip.compress(gzip.compress(b'{' * (9 << 20))))
        while not self.over():
            self.refused(zeros, 'bombs')
            self.refused(nested, 'bombs')
            self.refused(gzip.compress(b'\n' * (9 << 20)), 'bombs')
            with Client(self.address) as client:
                reply = client.send(b'DATA 9999999999\n').line(60 * SLOW)
            if not (reply or '').startswith('ERR 413'):
                self.problems.append(f'ten gigabytes were answered {reply}')
            self.pause(0.5)

    def garbage(self, seed):
        rng = random.Random(seed)
        while not self.over():
            try:
                with Client(self.address) as client:
                    for _ in range(rng.randint(1, 20)):
                        client.send(rng.randbytes(rng.randint(1, 4000)))
            except OSError:
                pass
            self.count('connections of garbage')
            self.pause(0.05)

    def rude(self, seed):
        """Half a payload, then a reset, or an end."""
        rng, generator = random.Random(seed), flows.Generator(seed)
        while not self.over():
            data = FRAMINGS['DATA, gzip'].wrap(payloads.simple_document(generator.mixed_lines(300)))
            client = Client(self.address)
            if rng.random() < 0.5:
                reset_on_close(client.sock)
            client.send(data[:rng.randrange(1, len(data) - 1)])
            client.close()
            self.count('payloads cut off')
            self.pause(0.02)

    def deaf(self, seed):
        """Asks and asks, and reads no answer."""
        while not self.over():
            sock = socket.create_connection(self.address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(2)
            try:
                while not self.over():
                    sock.sendall(b'PING\n' * 1000)
                    self.count('pings of the deaf', 1000)
            except OSError:
                pass
            self.pause(2)
            reset_on_close(sock)
            sock.close()

    def half_sent(self, seed):
        """Payloads that never end, from many connections."""
        while not self.over():
            clients = [Client(self.address) for _ in range(40)]
            try:
                for client in clients:
                    client.send(b'DATA 1000000\n' + b'x' * 300000)
                    self.count('payloads that never end')
            except OSError:
                pass
            self.pause(3)
            for client in clients:
                reset_on_close(client.sock)
                client.close()

    def idle(self, seed):
        while not self.over():
            socks = []
            for n in range(IDLE):
                try:
                    socks.append(socket.create_connection(self.address, 5, source_address=(f'127.0.0.{10 + n % 4}', 0)))
                except OSError:
                    break
            self.count('idle connections', len(socks))
            self.pause(8)
            for sock in socks:
                sock.close()

    # --- the daemon -------------------------------------------------------------------------------------------------

    def memory(self):
        for line in open(f'/proc/{self.pid}/status', encoding='ascii'):
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) << 10
        raise AssertionError('no VmRSS')

    def guarded(self, role, seed):
        try:
            role(seed)
        except Exception as e:  # a thread's failure is the test's
            self.problems.append(f'{role.__name__}: {e!r}')

    def run(self):
        roles = [self.sender] * 3 + [self.slow_sender, self.broken, self.bombs, self.garbage, self.rude, self.deaf,
                                     self.half_sent, self.idle]
        threads = [threading.Thread(target=self.guarded, args=(role, 7000 + n)) for n, role in enumerate(roles)]
        resident = []
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            resident.append(self.memory())
            time.sleep(0.2)
        return resident


def status(daemon):
    host, port = re.search(r'admin on (\S+):(\d+)', daemon.stderr).groups()
    with urllib.request.urlopen(f'http://{host}:{port}/status', timeout=10 * SLOW) as response:
        return json.load(response)


def test_every_valid_record_arrives_and_memory_stays_flat(start, tmp_path):
    path = tmp_path / 'flows.ipfix'
    daemon = start(['-c', write_config(tmp_path, {'archive': file(path)}, two_vpcs(), listener=LIMITS,
                                       admin={'address': '127.0.0.1:0'})])
    soak = Soak(daemon)
    resident = soak.run()
    assert not soak.problems, soak.problems[:5]
    with Client(daemon.address) as client:
        assert client.ping() == 'PONG'
    # Nothing of all these connections and payloads is left.
    collectors.until(lambda: (lambda s: s['connections'] == 0 and s['payloads_in_flight'] == 0)(status(daemon)), 60 * SLOW,
                     'an idle daemon')
    daemon.stop()
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    got = [f._replace(exporter=collectors.exporter_of_domain(m.domain)) for m in reader.messages for f in m.flows()]
    problem = collectors.difference(got, flows.expected(soak.sent))
    assert not problem, problem
    for what in ('valid payloads', 'slow valid payloads', 'broken payloads', 'bombs', 'connections of garbage',
                 'payloads cut off', 'pings of the deaf', 'payloads that never end', 'idle connections'):
        assert soak.counts.get(what), f'no {what}: nothing was tested'
    third = len(resident) // 3
    before, after = max(resident[third:2 * third]), max(resident[2 * third:])
    print(f'\n{SECONDS:.0f} s: {soak.counts}; {len(got)} records; resident at most {before >> 20} MiB in the second third, '
          f'{after >> 20} MiB in the last')
    if SLOW == 1:  # sanitizers keep what is freed
        assert after <= before * 1.1 + MEMORY_ROOM, f'resident {before} bytes in the second third, {after} in the last'
