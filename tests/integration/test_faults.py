"""Allocations that fail, and system calls that do a part only, are interrupted, find no room or fail, over the whole path: the
daemon goes on, no acknowledged record is lost, and what the sanitizers look for is not there.

VPCFLOWD_SOAK=1 runs ten times as many rounds, and prints the figures of docs/reliability.md.
"""
import collections as counting
import json
import os
import random
import re
import time
from typing import NamedTuple

import pytest

import collectors
import flows
import ipfix
import payloads
from certificates import Certificates, TlsClient
from daemon import Daemon, binary, check_sanitizers, file, tcp, tls, udp, write_config
from scenario import generator_for, two_vpcs
from tcp_collector import TcpCollector
from wire import FRAMINGS, SLOW, Client, OK

SOAK = bool(os.environ.get('VPCFLOWD_SOAK'))
PAYLOADS = 8
TALLY = re.compile(r'faults: (\d+) of (\d+) allocations refused, (\d+) of (\d+) calls disturbed')
HTTP = re.compile(r'http on (\S+):(\d+)')
GOOD, BAD = 'a good payload', 'a bad payload'


@pytest.fixture(scope='module')
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp('certificates'))


class Way(NamedTuple):
    """How records come in and go out."""
    collector: str = 'file'  # or udp, tcp, tls
    sender: str = 'tcp'      # or tls, http
    spool: bool = False      # the collector is away at first
    more: bool = False       # repeats are told, refused payloads are kept


class Outlet:
    """A collector, which may not be there yet."""

    def __init__(self, way, directory, certificates):
        self.way, self.directory = way, directory
        self.sink = self.stream = None
        self.got = counting.Counter()
        if way.collector == 'udp':
            self.port = collectors.free_udp_port()
        elif way.collector in ('tcp', 'tls'):
            server = certificates.server
            self.stream = TcpCollector(directory / 'collector', *(
                ('--certificate', server.certificate, '--key', server.key) if way.collector == 'tls' else ()))
            self.port = self.stream.port
        self.ca = certificates.authority.certificate

    def keys(self):
        return {'file': lambda: file(self.directory / 'flows.ipfix'), 'udp': lambda: udp(self.port), 'tcp': lambda: tcp(self.port),
                'tls': lambda: tls(self.port, tls_ca=self.ca)}[self.way.collector]()

    def start(self):
        if self.stream:
            self.stream.start().wait_until_listening()
        elif self.way.collector == 'udp':
            self.sink = collectors.UdpSink(self.port)

    def close(self):
        if self.stream:
            self.stream.kill()
        elif self.sink:
            self.sink.__exit__()

    def finish(self):
        """Once the daemon has ended: how often each flow has arrived."""
        if self.stream:
            self.stream.stop()
            for exporter, number, messages in self.stream.take_connections():
                reader = ipfix.Reader()
                for data in messages:
                    self.got.update(reader.feed(data, exporter, number).flows())
                reader.check_sequences()
        elif self.sink:
            self.sink.finish()
            self.got = self.sink.counts()
        else:
            reader = ipfix.Reader()
            reader.feed_file((self.directory / 'flows.ipfix').read_bytes())
            self.got.update(f._replace(exporter=collectors.exporter_of_domain(m.domain))
                            for m in reader.messages for f in m.flows())
        return self.got


class Inlet:
    """A client that tries until it gets an answer that counts."""

    def __init__(self, way, daemon, context):
        self.way, self.context, self.tries = way, context, 0
        self.address = daemon.address
        if way.sender == 'http':
            match = collectors.until(lambda: HTTP.search(daemon.stderr), 10 * SLOW, 'the HTTP listener')
            self.address = match[1], int(match[2])

    def _client(self):
        return TlsClient(self.address, self.context) if self.way.sender == 'tls' else Client(self.address)

    def _ask_http(self, document):
        with Client(self.address) as client:
            client.send(b'POST /ingest HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n'
                        % len(document) + document)
            client.sock.settimeout(5 * SLOW)
            answer = b''
            while chunk := client.sock.recv(65536):
                answer += chunk
        head, _, body = answer.decode().partition('\r\n\r\n')
        length = re.search(r'Content-Length: (\d+)', head)
        if not length or int(length[1]) != len(body):
            return None
        status = head.split(' ', 1)[1].splitlines()[0]
        if status.startswith('200 '):
            body = json.loads(body)
            return 'OK ' + ' '.join(f'{k}={body[k]}' for k in ('exported', 'skipped', 'rejected', 'duplicate'))
        return 'ERR ' + status

    def _ask(self, framing, document):
        if self.way.sender == 'http':
            return self._ask_http(document)
        with self._client() as client:
            client.send(framing.wrap(document))
            if framing.closes:
                client.finish()
            return client.line(5 * SLOW)

    def send(self, framing, document, deadline, kind=GOOD):
        """As a Lambda would, but more stubbornly: how many tries it took."""
        tries = 0
        while True:
            tries += 1
            try:
                reply = self._ask(framing, document)
            except (OSError, AssertionError):  # cut off, in the middle of a reply as well
                reply = None
            if reply and (OK.match(reply) if kind is GOOD else reply.startswith('ERR 4')):
                return tries
            # 4xx is never right for a good payload, nor OK for a bad one, whatever memory there was.
            assert reply is None or reply.startswith('ERR 5'), reply
            assert time.monotonic() < deadline, f'not accepted after {tries} tries; the last reply: {reply}'
            time.sleep(0.02)


class Round:
    def __init__(self, directory, way, certificates, environment):
        self.directory, self.way, self.certificates, self.environment = directory, way, certificates, environment
        self.outlet = Outlet(way, directory, certificates)
        self.daemons = []
        self.lines, self.repeated = [], False

    def configuration(self):
        sections = {}
        listener = self.certificates.listener() if self.way.sender == 'tls' else {}
        if self.way.sender == 'http':
            sections['http'] = {'address': '127.0.0.1:0'}
        if self.way.spool:
            sections['spool'] = {'directory': self.directory / 'spool'}
        if self.way.more:
            sections['rejects'] = {'directory': self.directory / 'rejects'}
            listener['duplicate_window'] = '1h'
        return write_config(self.directory, {'sink': self.outlet.keys()}, two_vpcs(), listener=listener, **sections)

    def start(self, faults):
        self.environment.setenv('VPCFLOWD_FAULTS', faults)
        self.daemons.append(Daemon(['-c', self.configuration()], self.directory))
        return self.daemons[-1].start()

    def send(self, daemon, seed):
        rng = random.Random(seed)
        inlet = Inlet(self.way, daemon, self.certificates.context())
        generator = generator_for(f'faults {seed}')
        deadline = time.monotonic() + 60 * SLOW
        for n in range(PAYLOADS):
            if n == PAYLOADS // 2 and self.way.spool:
                self.outlet.start()
            lines = generator.mixed_lines(rng.choice((1, 40, 700)))
            framing = FRAMINGS[rng.choice(list(FRAMINGS))]
            self.repeated |= inlet.send(framing, payloads.simple_document(lines), deadline) > 1
            self.lines += lines
            if self.way.more and rng.random() < 0.3:
                bad = 'no flow log %d %d\n' % (seed, n)
                inlet.send(FRAMINGS['DATA, plain'], bad.encode(), deadline, BAD)

    def stop(self):
        """What the spool still has comes by a daemon without faults."""
        self.daemons[-1].stop()
        tally = TALLY.search(self.daemons[-1].stderr)
        assert tally, self.daemons[-1].stderr
        if self.way.spool:
            daemon = self.start('')
            collectors.until(lambda: not self.segments(), 30 * SLOW, f'an empty spool: {self.segments()}')
            daemon.stop()
        return [int(n) for n in tally.groups()]

    def segments(self):
        return [path for path in (self.directory / 'spool').glob('*/*') if not path.name.startswith('position')]

    def check(self):
        got, want = self.outlet.finish(), counting.Counter(flows.expected(self.lines))
        missing = set(want) - set(got)
        assert not missing, f'{len(missing)} acknowledged records are not there, as {next(iter(missing))}'
        surplus = set(got) - set(want)
        assert not surplus, f'{len(surplus)} records that nobody sent, as {next(iter(surplus))}'
        if self.way.collector == 'file' and not self.repeated:
            assert got == want, 'records repeat, though nothing was sent twice'

    def close(self):
        for daemon in self.daemons:
            daemon.kill()
        self.outlet.close()


@pytest.fixture
def faulty(vpcflowd, monkeypatch, certificates):
    """faulty(directory, way, faults, seed) plays a round, and returns its tally."""
    program = binary().parent / 'vpcflowd-faults'
    if not program.exists():
        pytest.skip('vpcflowd-faults is not built')
    monkeypatch.setenv('VPCFLOWD_BIN', str(program))

    def play(directory, way, faults, seed):
        directory.mkdir()
        r = Round(directory, way, certificates, monkeypatch)
        try:
            if not way.spool:
                r.outlet.start()
            r.send(r.start(faults), seed)
            tally = r.stop()
            r.check()
            return tally
        finally:
            r.close()
            for daemon in r.daemons:
                check_sanitizers(daemon.stderr)
    return play


def play_rounds(faulty, directory, way, faults, rounds):
    total = [0, 0, 0, 0]
    for seed in range(1, rounds + 1):
        tally = faulty(directory / str(seed), way, f'{faults},seed={seed}', seed)
        total = [a + b for a, b in zip(total, tally)]
    print(f'\n{way}, {faults}: {rounds} rounds, {total[0]} of {total[1]} allocations refused, {total[2]} of {total[3]} calls disturbed')
    assert total[0] + total[2], 'nothing failed: nothing was tested'


FAULTS = ('alloc=60', 'alloc=150,io=4', 'io=2')
WAYS = {
    'file': (Way(), 2),
    'file, http': (Way(sender='http', more=True), 1),
    'file, tls': (Way(sender='tls', more=True), 1),
    'udp': (Way('udp', more=True), 2),
    'tcp': (Way('tcp', more=True), 2),
    'tls': (Way('tls', sender='tls', more=True), 1),
    'udp, spool': (Way('udp', spool=True), 1),
    'tcp, spool': (Way('tcp', spool=True), 1),
    'tls, spool': (Way('tls', sender='tls', spool=True, more=True), 1),
}


# A request by HTTP without an answer takes 2 s, and a UDP collector that was away some seconds.
@pytest.mark.parametrize('way, faults', [(way, faults) for way in WAYS for faults in FAULTS
                                         if SOAK or way == 'file' or faults == 'alloc=150,io=4'])
def test_nothing_acknowledged_is_lost(faulty, tmp_path, way, faults):
    way, rounds = WAYS[way]
    play_rounds(faulty, tmp_path, way, faults, rounds * (10 if SOAK else 1))


@pytest.mark.parametrize('way', ['file', 'tcp'])
def test_each_allocation_may_fail_once(faulty, tmp_path, way):
    """Allocations of a short session, one after the other (in steps, where they are many)."""
    way = Way(way, more=way == 'tcp')
    total = faulty(tmp_path / 'count', way, 'only=999999999', 1)[1]
    step = max(1, total // (400 if SOAK else 10))
    for k in range(1, total + 1, step):
        faulty(tmp_path / str(k), way, f'only={k}', 1)
