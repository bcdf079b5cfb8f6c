"""Collectors over TCP and TLS that are killed, stopped and restarted: every record that was answered OK is in their files,
each connection is an IPFIX stream of its own, and what is there twice is accounted for.

VPCFLOWD_SOAK=1 kills ten times as often, and prints the figures of docs/reliability.md.
"""
import collections
import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

import collectors
import ipfix
import payloads
from daemon import tcp, tls, udp, write_config
from flows import DEV, PROD, expected
from scenario import reply_to, two_vpcs
from tcp_collector import TcpCollector
from wire import SLOW, Client, ok

ROUNDS, UDP_ROUNDS = (200, 50) if os.environ.get('VPCFLOWD_SOAK') else (20, 10)
LINES = 150  # a payload's, of each VPC in turn
SENDERS = 2

serial = itertools.count(1)


class Load:
    """Senders that each wait for OK before they send the next payload. A record is known by its byte count."""

    def __init__(self, address, pause=0.01):
        self.acknowledged, self.stopping, self.pause = [], False, pause
        self.errors = []
        self.threads = [threading.Thread(target=self._run, args=(address,)) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def _run(self, address):
        try:
            with Client(address) as client:
                while not self.stopping:
                    numbers = list(itertools.islice(serial, LINES))
                    lines = [self.line(n) for n in numbers]
                    reply = client.data('\n'.join(lines).encode()).line(120 * SLOW)
                    assert reply == ok(LINES), reply
                    self.acknowledged += numbers
                    time.sleep(self.pause)
        except Exception as error:  # pylint: disable=broad-except  # told by finish()
            self.errors.append(error)

    @staticmethod
    def line(n):
        vpc = (PROD, DEV)[n % 2]
        return (f'2 {vpc.account} eni-{n % 5:017d} 10.{n % 2}.0.5 198.51.100.{n % 250} 443 {n % 60000} 6 1 {n} '
                f'1700000000 1700000059 ACCEPT OK')

    def finish(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(150 * SLOW)
            assert not thread.is_alive(), 'a sender never got its reply'
        assert not self.errors, self.errors


class Stored:
    """What a collector's files hold. They are read and removed by add(), once nobody writes to them."""

    def __init__(self):
        self.streams, self.flows = [], []  # each connection's messages; without flows, which are not kept
        self.records, self.bodies = collections.Counter(), collections.Counter()
        self.messages = 0

    def add(self, collector, keep=False):
        for exporter, number, messages in collector.take_connections():
            reader = ipfix.Reader()
            for data in messages:
                message = reader.feed(data, exporter, number)  # fails on data before its template
                numbers = [r[ipfix.OCTETS] for r in message.flow_records]
                self.records.update(numbers)
                if numbers:
                    self.bodies[hashlib.blake2b(data[16:], digest_size=8).digest()] += 1
            reader.check_sequences()
            assert not messages or reader.messages[0].template_count > 0
            assert {m.domain for m in reader.messages} <= {{v.exporter_ip: v.domain for v in (PROD, DEV)}[exporter]}
            self.messages += len(messages)
            self.flows += reader.flows() if keep else []
            self.streams.append(reader.messages if keep else [])
        return self

    def repeated_messages(self):
        return sum(n - 1 for n in self.bodies.values())


def messages_sent_again(daemon):
    match = re.search(r'(\d+) IPFIX messages were sent again to collectors that went away, (\d+) more', daemon.stderr)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def kill_and_restart(collector, rng, stored):
    """In mid-stream; every other time its kernel still acknowledges for a while what the process will never read."""
    collectors.until(lambda: len(collector.stored_in_this_run()) == 2, 30 * SLOW, 'data from both exporters')
    time.sleep(rng.uniform(0, 0.8))
    if collector.runs % 2:
        collector.process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.01, 0.1))
    collector.kill()
    stored.add(collector)
    collector.start().wait_until_listening()


def check_stored(stored, load, daemon):
    missing = set(load.acknowledged) - set(stored.records)
    assert not missing, f'{len(missing)} of {len(load.acknowledged)} records that were answered OK are lost'
    replayed, resent = messages_sent_again(daemon)
    repeated = stored.repeated_messages()
    assert repeated <= replayed + resent, f'{repeated} messages are there twice, {replayed} + {resent} were sent twice'
    return replayed, resent, repeated


def run_kill_test(start, tmp_path, keys, collector_options, name):
    rng, stored = random.Random(5), Stored()
    with TcpCollector(tmp_path / 'collector', *collector_options) as collector:
        collector.start().wait_until_listening()
        daemon = start(['-c', write_config(tmp_path, {'sink': {**keys(collector.port), 'replay_window': '1M'}},
                                           two_vpcs())])
        load = Load(daemon.address)
        for _ in range(ROUNDS):
            kill_and_restart(collector, rng, stored)
        time.sleep(0.3)
        load.finish()
        daemon.stop()  # waits until all is acknowledged
        collector.stop()
        stored.add(collector)
    replayed, resent, repeated = check_stored(stored, load, daemon)
    assert replayed > 0, 'killed so often, and nothing was sent again'
    print(f'\n{name}: {ROUNDS} times kill -9, {len(load.acknowledged)} records answered OK, 0 lost; '
          f'{len(stored.streams)} connections; of {stored.messages} messages stored, {repeated} are there '
          f'twice; {replayed} sent again that were acknowledged, {resent} that were not')


def test_a_tcp_collector_that_is_killed_again_and_again_loses_nothing(start, tmp_path):
    run_kill_test(start, tmp_path, tcp, (), 'TCP')


# --- TLS ---

def openssl(directory, *args):
    subprocess.run([shutil.which('openssl'), *args], cwd=directory, check=True, capture_output=True)


def certificate(directory, name, subject_alt_name, ca='ca'):
    """NAME.pem and NAME.key, made by CA.pem."""
    openssl(directory, 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}',
            '-keyout', f'{name}.key', '-out', f'{name}.csr')
    (directory / 'ext').write_text(f'subjectAltName={subject_alt_name}\n')
    openssl(directory, 'x509', '-req', '-in', f'{name}.csr', '-CA', f'{ca}.pem', '-CAkey', f'{ca}.key', '-days', '30',
            '-CAcreateserial', '-extfile', 'ext', '-out', f'{name}.pem')


def authority(directory, name):
    openssl(directory, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
            '-subj', f'/CN={name}', '-keyout', f'{name}.key', '-out', f'{name}.pem')


@pytest.fixture(scope='module')
def certificates(tmp_path_factory):
    if not shutil.which('openssl'):
        pytest.skip('openssl is not installed')
    directory = tmp_path_factory.mktemp('certificates')
    for name in ('ca', 'other-ca'):
        authority(directory, name)
    certificate(directory, 'collector', 'IP:127.0.0.1')
    certificate(directory, 'elsewhere', 'DNS:elsewhere.example')
    certificate(directory, 'stranger', 'IP:127.0.0.1', 'other-ca')
    certificate(directory, 'exporter', 'DNS:exporter.example')
    return directory


def showing(certificates, name, *more):
    return ('--certificate', certificates / f'{name}.pem', '--key', certificates / f'{name}.key', *more)


def test_a_tls_collector_that_is_killed_again_and_again_loses_nothing(start, tmp_path, certificates):
    """With certificates on both sides."""
    options = showing(certificates, 'collector', '--client-ca', certificates / 'ca.pem')
    run_kill_test(start, tmp_path, lambda port: tls(port, tls_ca=certificates / 'ca.pem',
                                                    tls_certificate=certificates / 'exporter.pem',
                                                    tls_key=certificates / 'exporter.key'),
                  options, 'TLS')


@pytest.mark.parametrize('wrong, said', (('stranger', 'certificate'), ('elsewhere', '127.0.0.1')))
def test_a_collector_with_a_wrong_certificate_gets_nothing_until_it_shows_the_right_one(start, tmp_path, certificates,
                                                                                       generator, wrong, said):
    lines = generator.mixed_lines(500)
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start(*showing(certificates, wrong)).wait_until_listening()
        keys = tls(collector.port, tls_ca=certificates / 'ca.pem')
        daemon = start(['-c', write_config(tmp_path, {'sink': keys}, two_vpcs())])
        with Client(daemon.address) as client:
            client.data(payloads.simple_document(lines))
            assert client.silent(1), 'answered, though nobody took the records'
            complaint = next(line for line in daemon.stderr.splitlines() if 'cannot export' in line)
            assert said in complaint, complaint
            assert not Stored().add(collector).messages
            collector.kill()
            collector.start(*showing(certificates, 'collector')).wait_until_listening()
            assert client.line(30 * SLOW) == reply_to(lines)
        assert 'takes messages again' in daemon.stderr
        daemon.stop()
        collector.stop()
        stored = Stored().add(collector, keep=True)
    assert not collectors.difference(stored.flows, expected(lines))


# --- what a connection is ---

def test_a_collector_that_comes_later_gets_everything_once(start, tmp_path, generator):
    lines = generator.mixed_lines(2000)
    with TcpCollector(tmp_path / 'collector') as collector:
        daemon = start(['-c', write_config(tmp_path, {'sink': tcp(collector.port)}, two_vpcs())])
        with Client(daemon.address) as client:
            client.data(payloads.simple_document(lines))
            assert client.silent(1), 'answered, though nobody took the records'
            collector.start().wait_until_listening()
            assert client.line(20 * SLOW) == reply_to(lines)
        daemon.stop()
        collector.stop()
        stored = Stored().add(collector, keep=True)
    assert not collectors.difference(stored.flows, expected(lines))
    assert len(stored.streams) == 2, 'one of each exporter'
    assert daemon.stderr.count('cannot export') == 2 and daemon.stderr.count('takes messages again') == 1


def test_a_slow_collector_makes_senders_wait_and_loses_nothing(start, tmp_path):
    """It reads 64 KiB at a time, with pauses: far less than what comes."""
    with TcpCollector(tmp_path / 'collector', '--pause', '0.02') as collector:
        collector.start().wait_until_listening()
        daemon = start(['-c', write_config(tmp_path, {'sink': tcp(collector.port)}, two_vpcs())])
        load = Load(daemon.address, pause=0)
        time.sleep(2)
        load.finish()
        daemon.stop()
        collector.stop()
        stored = Stored().add(collector, keep=True)
    assert set(stored.records.values()) == {1}, 'a connection that stood repeats nothing'
    assert set(stored.records) == set(load.acknowledged)
    assert len(stored.streams) == 2


def test_statistics_are_told_at_refresh_and_templates_are_not(start, tmp_path, generator):
    lines = generator.mixed_lines(200)
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start().wait_until_listening()
        daemon = start(['-c', write_config(tmp_path, {'sink': tcp(collector.port, template_refresh='1s')}, two_vpcs())])
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        time.sleep(3.5)
        daemon.stop()
        collector.stop()
        stored = Stored().add(collector, keep=True)
    for stream in stored.streams:
        told = [t.id for m in stream for s in m.sets for t in s.templates]
        statistics = [r for m in stream for r in m.options_records if ipfix.MESSAGES_EXPORTED in r]
        first_flows = next(n for n, m in enumerate(stream) if m.flow_records)
        behind = [m for m in stream[first_flows + 1:] if m.options_records and not m.flow_records]
        assert len(statistics) >= 3
        assert all(ipfix.MESSAGES_EXPORTED in r for m in behind for r in m.options_records)
        assert collections.Counter(told).most_common(1)[0][1] <= len(statistics), 'templates were repeated'
        data_templates = [t.id for m in stream for s in m.sets for t in s.templates if not t.scopes]
        assert len(data_templates) == len(set(data_templates))


def test_the_stream_can_be_read_by_libfixbuf(start, tmp_path, generator):
    program = collectors.need('ipfixDump')
    lines = generator.mixed_lines(300)
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start().wait_until_listening()
        daemon = start(['-c', write_config(tmp_path, {'sink': tcp(collector.port)}, two_vpcs())])
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        daemon.stop()
        collector.stop()
        count = 0
        for path in collector.directory.glob('*.ipfix'):
            result = subprocess.run([program, '--rfc5610', '--in', path], capture_output=True, check=True, timeout=60)
            count += result.stdout.count(b'flowStartMilliseconds')
            assert not result.stderr, result.stderr
    assert count >= len(expected(lines))


# --- stopping ---

def test_sigterm_waits_for_a_collector_that_has_something_to_get_again(start, tmp_path):
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start().wait_until_listening()
        daemon = start(['-c', write_config(tmp_path, {'sink': tcp(collector.port)}, two_vpcs())])
        load = Load(daemon.address)
        time.sleep(0.5)
        collector.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        load.finish()  # its kernel has acknowledged all
        collector.kill()
        time.sleep(0.2)
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert daemon.process.poll() is None, 'gave up what the collector may have lost'
        collector.start().wait_until_listening()
        assert daemon.wait() == 0, daemon.stderr
        collector.stop()
        stored = Stored().add(collector, keep=True)
    check_stored(stored, load, daemon)


def test_without_a_replay_window_nothing_is_sent_again_that_was_acknowledged(start, tmp_path):
    """And so records can be lost: what the other tests find is the window's doing."""
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start().wait_until_listening()
        daemon = start(['-c', write_config(tmp_path, {'sink': tcp(collector.port, replay_window='0')}, two_vpcs())])
        load = Load(daemon.address)
        time.sleep(0.3)
        collector.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        collector.kill()
        collector.start().wait_until_listening()
        load.finish()
        daemon.stop()
        collector.stop()
        stored = Stored().add(collector, keep=True)
    assert set(load.acknowledged) - set(stored.records), 'nothing was lost'
    assert messages_sent_again(daemon)[0] == 0


# --- UDP ---

def test_a_udp_collector_that_is_restarted_again_and_again(start, tmp_path):
    """What it had in its socket when it ended, and what arrived before the daemon heard of it, is sent again. What can be
    lost is what the socket dropped as it was full: nothing here."""
    rng = random.Random(6)
    records = collections.Counter()
    sink = collectors.UdpSink()
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    load = Load(daemon.address)
    dropped = 0
    for _ in range(UDP_ROUNDS):
        collectors.until(lambda: len({flow.exporter for flow in sink.counts()}) == 2, 30 * SLOW, 'flows of both VPCs')
        time.sleep(rng.uniform(0, 0.5))
        dropped += collectors.socket_state(sink.port)[1]
        sink.abandon()  # with whatever lies in its socket
        records.update(f.bytes for f in sink.flows())
        time.sleep(rng.uniform(0.2, 0.4))  # an absence in which nothing is sent is noticed by nobody
        sink = collectors.UdpSink(sink.port)
    time.sleep(0.3)
    load.finish()
    daemon.stop()
    sink.finish()
    records.update(f.bytes for f in sink.flows())
    lost = len(set(load.acknowledged) - set(records))
    repeated = sum(n - 1 for n in records.values())
    print(f'\nUDP: restarted {UDP_ROUNDS} times under load, {len(load.acknowledged)} records answered OK, {lost} lost '
          f'({dropped} datagrams dropped by a full socket); {repeated} records arrived twice; '
          f'{messages_sent_again(daemon)[0]} messages sent again')
    assert lost == 0 or dropped > 0
