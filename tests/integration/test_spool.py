"""The spool: what is answered OK while a collector is away is on disk, survives the daemon's end, however it comes, and
arrives in order when the collector is back.

VPCFLOWD_SOAK=1 sends 2 million records instead of 20,000, and prints the figures of docs/reliability.md.
"""
import collections
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

import collectors
import ipfix
from daemon import Daemon, run, tcp, udp, write_config
from flows import DEV, PROD
from scenario import two_vpcs
from tcp_collector import TcpCollector
from wire import SLOW, Client, ok

SOAK = bool(os.environ.get('VPCFLOWD_SOAK'))
RECORDS = 2_000_000 if SOAK else 20_000
PAYLOAD = 5000 if SOAK else 500
WAIT = (300 if SOAK else 30) * SLOW

TRANSPORTS = {'udp': udp, 'tcp': tcp}


def line(n, v6=False):
    """Record n, of each VPC in turn; it is known by its byte count."""
    vpc = (PROD, DEV)[n % 2]
    addresses = f'2001:db8::{n % 9999} 2001:db8:1::1' if v6 else f'10.{n % 2}.0.5 198.51.100.{n % 250}'
    return (f'2 {vpc.account} eni-{n % 5:017d} {addresses} 443 {n % 60000} 6 1 {n} 1700000000 1700000059 ACCEPT OK')


class Sender:
    """Sends payloads of numbered records, one after another, each once the one before is answered OK."""

    def __init__(self):
        self.next = 1
        self.payload_of = [0]  # of each record, its payload's number; there is no record 0

    def send(self, address, records, v6=False, wait=WAIT):
        with Client(address) as client:
            while records > 0:
                count = min(records, PAYLOAD)
                numbers = range(self.next, self.next + count)
                reply = client.data('\n'.join(line(n, v6) for n in numbers).encode()).line(wait)
                assert reply == ok(count), reply
                self.next += count
                records -= count
                self.payload_of += [self.payload_of[-1] + 1] * count


class Sink:
    """A collector on a port that is reserved for it. It can be killed and started again."""

    def __init__(self, transport, directory):
        self.transport = transport
        self.directory = directory / 'collector'
        self.port = collectors.free_udp_port()
        self.udp = None
        self.tcp = None
        if transport == 'tcp':
            self.tcp = TcpCollector(self.directory)
            self.port = self.tcp.port
        self.arrived = collections.defaultdict(list)  # exporter → the numbers of its records, of all runs, in order

    def keys(self, **more):
        return TRANSPORTS[self.transport](self.port, **more)

    def start(self):
        if self.tcp:
            self.tcp.start().wait_until_listening()
        else:
            self.udp = collectors.UdpSink(self.port)
        return self

    def kill(self):
        """At once. What it has stored is taken."""
        if self.tcp:
            self.tcp.kill()
        self.finish()

    def finish(self):
        """Once it has read all that came: every connection has ended."""
        if self.tcp:
            self.tcp.stop()
            for exporter, number, messages in self.tcp.take_connections():
                self._take(ipfix.Reader(), [(exporter, number, data) for data in messages])
        elif self.udp:
            self.udp.finish()
            self._take(ipfix.Reader(), [(*source, data) for _, source, data in self.udp.datagrams])
            self.udp = None

    def _take(self, reader, messages):
        """Of one connection, or of one run's datagrams. Fails on data before its template."""
        sequence = collections.Counter()
        for exporter, port, data in messages:
            message = reader.feed(data, exporter, port)
            reader.messages.clear()  # millions of records are too many to be kept
            assert message.sequence == sequence[exporter, port]
            sequence[exporter, port] += message.record_count
            self.arrived[exporter] += [r[ipfix.OCTETS] for r in message.flow_records]

    def stored(self):
        """Bytes, or datagrams, in this run."""
        if self.tcp:
            return sum(p.stat().st_size for p in self.directory.glob('*.ipfix'))
        return len(self.udp.datagrams)


@contextlib.contextmanager
def sink_of(transport, directory):
    sink = Sink(transport, directory)
    try:
        yield sink
    finally:
        if sink.tcp:
            sink.tcp.kill()
        elif sink.udp:
            sink.udp.abandon()


def check_arrived(sink, sender, repeats=False):
    """All records, those of each exporter in the order of their payloads: a record may come again, never late."""
    numbers = sink.arrived
    assert set(numbers) <= {PROD.exporter_ip, DEV.exporter_ip}
    repeated = 0
    for vpc, parity in ((PROD, 0), (DEV, 1)):
        got = numbers[vpc.exporter_ip]
        first = list(dict.fromkeys(got))
        wanted = {n for n in range(1, sender.next) if n % 2 == parity}
        missing = wanted - set(first)
        assert not missing, f'{len(missing)} of {len(wanted)} records of {vpc.name} are lost: {sorted(missing)[:5]}'
        assert len(first) == len(wanted)
        order = [sender.payload_of[n] for n in first]
        assert order == sorted(order), f'{vpc.name}: not in order'
        repeated += len(got) - len(first)
    if not repeats:
        assert repeated == 0, f'{repeated} records are there twice'
    return repeated


def segments(spool):
    return sorted(spool.glob('*/*.ipfix'))


def until_empty(spool, seconds=WAIT):
    collectors.until(lambda: not segments(spool), seconds, 'an empty spool')


def config(tmp_path, sink, spool, limit=None, **collector):
    keys = {'directory': spool, **({'limit': limit} if limit else {})}
    return write_config(tmp_path, {'sink': sink.keys(**collector)}, two_vpcs(), spool=keys)


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_what_was_accepted_survives_two_restarts_and_arrives_in_order(start, tmp_path, transport):
    """The template ids of the first run are those of the others, though these meet the templates in another order."""
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of(transport, tmp_path) as sink:
        path = config(tmp_path, sink, spool)
        daemon = start(['-c', path])
        began = time.monotonic()
        sender.send(daemon.address, RECORDS // 4)
        sender.send(daemon.address, RECORDS // 8, v6=True)
        daemon.stop()  # exit code 0
        daemon = start(['-c', path])
        assert 'wait to be sent' in daemon.stderr
        sender.send(daemon.address, RECORDS // 8, v6=True)
        sender.send(daemon.address, RECORDS // 4)
        daemon.kill()
        daemon = start(['-c', path])
        sender.send(daemon.address, RECORDS // 4)
        accepted = time.monotonic() - began
        waiting = sum(p.stat().st_size for p in segments(spool))
        sink.start()
        began = time.monotonic()
        until_empty(spool)
        drained = time.monotonic() - began
        sender.send(daemon.address, 1000)  # no detour any more
        daemon.stop()
        assert not segments(spool)
        sink.finish()
    check_arrived(sink, sender)
    print(f'\n{transport}: {sender.next - 1} records accepted in {sender.payload_of[-1]} payloads, those with the collector away '
          f'in {accepted:.1f} s, {waiting >> 20} MiB in the spool, sent in {drained:.1f} s; 0 lost, 0 twice, all in order')


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_a_stop_with_the_collector_away_is_quick_and_loses_nothing(start, tmp_path, transport):
    """Payloads that are not answered yet when the signal comes are answered then: they are in the spool."""
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of(transport, tmp_path) as sink:
        path = config(tmp_path, sink, spool)
        daemon = start(['-c', path])
        time.sleep(0.2)
        with Client(daemon.address) as client:
            client.data('\n'.join(line(n) for n in range(1, 501)).encode())
            time.sleep(0.1)
            daemon.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert client.line(WAIT) == ok(500)
            assert daemon.wait() == 0, daemon.stderr
            assert time.monotonic() - began < 15 * SLOW, 'waited for the collector'
        sender.next, sender.payload_of = 501, [0] + [1] * 500
        sink.start()
        daemon = start(['-c', path])
        until_empty(spool)
        daemon.stop()
        sink.finish()
    check_arrived(sink, sender)


GARBAGE = {
    'half a message': lambda message: message[:len(message) // 2],
    'a header': lambda message: message[:16],
    'zeros': lambda message: bytes(8192),
    'noise': lambda message: bytes((i * 7919 + i * i) % 251 for i in range(70000)),
}


@pytest.mark.parametrize('kind', GARBAGE)
def test_a_torn_end_after_a_power_cut_is_cut_off(start, tmp_path, kind):
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of('tcp', tmp_path) as sink:
        path = config(tmp_path, sink, spool)
        daemon = start(['-c', path])
        sender.send(daemon.address, 2000)
        daemon.kill()
        for segment in segments(spool):
            data = segment.read_bytes()
            with open(segment, 'ab') as f:
                f.write(GARBAGE[kind](data[:int.from_bytes(data[2:4], 'big')]))
        daemon = start(['-c', path])
        sender.send(daemon.address, 2000)
        sink.start()
        until_empty(spool)
        assert daemon.stderr.count('are cut off') == 2
        daemon.stop()
        assert not list(spool.glob('*/*damaged*'))
        sink.finish()
    check_arrived(sink, sender)


class BackgroundSender:
    """Sends while the test does something else. finish() waits until all is answered."""

    def __init__(self, address, sender, records):
        self.sender, self.error = sender, None
        self.thread = threading.Thread(target=self._run, args=(address, records))
        self.thread.start()

    def _run(self, address, records):
        try:
            self.sender.send(address, records, wait=3 * WAIT)
        except Exception as error:  # pylint: disable=broad-except  # told by finish()
            self.error = error

    def finish(self):
        self.thread.join(4 * WAIT)
        assert not self.thread.is_alive(), 'a sender never got its reply'
        if self.error:
            raise self.error


def fill_and_empty(start, tmp_path, spool, sink, limit, said):
    """More than fits: senders wait, nothing is lost; all of it comes when the collector does."""
    sender = Sender()
    path = config(tmp_path, sink, spool, limit)
    daemon = start(['-c', path])
    load = BackgroundSender(daemon.address, sender, 140_000)
    collectors.until(lambda: said in daemon.stderr, WAIT, f'"{said}"')
    before = sender.next
    time.sleep(2.5)  # it is tried again and again
    assert sender.next - before <= PAYLOAD, 'answered OK without room for it'
    assert load.thread.is_alive() and daemon.process.poll() is None
    size = sum(p.stat().st_size for p in segments(spool))
    sink.start()
    load.finish()
    until_empty(spool)
    daemon.stop()
    sink.finish()
    check_arrived(sink, sender)
    return size


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MiB, where root can make one."""
    directory = tmp_path / 'disk'
    directory.mkdir()
    if os.geteuid() != 0 or not shutil.which('mount') or \
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory], check=False,
                           capture_output=True).returncode != 0:
        pytest.skip('needs root and mount')
    yield directory
    subprocess.run(['umount', '-l', directory], check=True)


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_a_full_disk_makes_senders_wait_and_loses_nothing(start, tmp_path, small_disk, transport):
    with sink_of(transport, tmp_path) as sink:
        size = fill_and_empty(start, tmp_path, small_disk / 'spool', sink, None, 'No space left on device')
    assert size > 1 << 20


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_the_limit_makes_senders_wait_and_loses_nothing(start, tmp_path, transport):
    with sink_of(transport, tmp_path) as sink:
        size = fill_and_empty(start, tmp_path, tmp_path / 'spool', sink, '2M', 'has reached its limit of 2097152 bytes')
    assert size <= 2 << 20


def test_a_limit_that_is_raised_by_a_reload_lets_senders_go_on(start, tmp_path):
    """The collector stays away all the while."""
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of('udp', tmp_path) as sink:
        daemon = start(['-c', config(tmp_path, sink, spool, '1M')])
        load = BackgroundSender(daemon.address, sender, 40_000)
        collectors.until(lambda: 'has reached its limit of 1048576 bytes' in daemon.stderr, WAIT, 'a full spool')
        assert load.thread.is_alive()
        config(tmp_path, sink, spool, '64M')
        daemon.send_signal(signal.SIGHUP)
        load.finish()
        assert sum(p.stat().st_size for p in segments(spool)) > 1 << 20
        daemon.stop()


def test_a_collector_that_dies_while_it_gets_the_spool_loses_nothing(start, tmp_path):
    """What its connection had not acknowledged, and the replay window before that, comes again: repeats, in order."""
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of('tcp', tmp_path) as sink:
        path = config(tmp_path, sink, spool, replay_window='256k')
        daemon = start(['-c', path])
        sender.send(daemon.address, 100_000)
        for _ in range(4):
            sink.start()
            collectors.until(lambda: sink.stored() > 300_000, WAIT, 'data')
            sink.kill()
        daemon.kill()  # its position is as old as a megabyte
        daemon = start(['-c', path])
        sink.start()
        sender.send(daemon.address, 2000)
        until_empty(spool)
        daemon.stop()
        sink.finish()
    repeated = check_arrived(sink, sender, repeats=True)
    assert repeated > 0, 'killed so often, and nothing came again'


def test_a_second_daemon_on_the_same_spool_does_not_start(start, tmp_path):
    spool = tmp_path / 'spool'
    with sink_of('udp', tmp_path) as sink:
        path = config(tmp_path, sink, spool)
        daemon = start(['-c', path])
        result = run(['-c', path])
        assert result.returncode == 1
        assert 'another vpcflowd is using it' in result.stderr and str(spool) in result.stderr
        daemon.stop()


def test_files_can_be_read_while_the_daemon_has_the_spool(start, tmp_path):
    spool = tmp_path / 'spool'
    with sink_of('udp', tmp_path) as sink:
        path = config(tmp_path, sink, spool)
        daemon = start(['-c', path])
        sink.start()
        log = tmp_path / 'flows.log'
        log.write_text('\n'.join(line(n) for n in range(1, 101)) + '\n')
        result = run(['-c', path, '--read', log])
        assert result.returncode == 0, result.stderr
        daemon.stop()
        sink.finish()
    assert sorted(itertools.chain(*sink.arrived.values())) == list(range(1, 101))


def test_another_enterprise_number_keeps_the_old_files_and_goes_on(start, tmp_path):
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of('tcp', tmp_path) as sink:
        path = config(tmp_path, sink, spool)
        daemon = start(['-c', path])
        sender.send(daemon.address, 1000)
        daemon.stop()
        write_config(tmp_path, {'sink': sink.keys()}, two_vpcs(), daemon={'enterprise_number': 4242},
                     spool={'directory': spool})
        daemon = start(['-c', path])
        assert daemon.stderr.count('unreadable-templates') == 2, daemon.stderr
        sink.start()
        sender = Sender()
        sender.send(daemon.address, 1000)
        # What was answered OK is with the collector, or in the spool until it is.
        collectors.until(lambda: not list(spool.glob('*/*.ipfix')), 30 * SLOW, 'an empty spool')
        daemon.stop()
        sink.finish()
    check_arrived(sink, sender)
    kept = list(spool.glob('*/*.ipfix.unreadable-templates'))
    assert len(kept) == 2
    program = shutil.which('ipfixDump')
    for path in kept if program else ():
        result = subprocess.run([program, '--rfc5610', '--in', path], capture_output=True, check=True, timeout=60)
        assert result.stdout.count(b'flowStartMilliseconds') >= 500


def test_a_collector_that_is_there_needs_no_disk(start, tmp_path):
    spool, sender = tmp_path / 'spool', Sender()
    with sink_of('tcp', tmp_path) as sink:
        sink.start()
        daemon = start(['-c', config(tmp_path, sink, spool)])
        sender.send(daemon.address, 5000)
        daemon.stop()
        assert not segments(spool) and not (spool / 'templates').exists()
        sink.finish()
    check_arrived(sink, sender)
