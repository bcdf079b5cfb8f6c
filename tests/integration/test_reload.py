"""SIGHUP: the configuration changes as a whole or not at all, and nothing that was accepted is lost, repeated or sent to the
wrong exporter."""
import collections
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import collectors
import flows
import ipfix
import payloads
from certificates import Certificates
from daemon import Daemon, binary, file, tcp, tls, udp, write_config
from flows import DEV, PROD, V2_FORMAT, Vpc, expected
from scenario import reply_to, two_vpcs
from tcp_collector import TcpCollector
from faulty import send_until_ok, start_faulty  # noqa: F401
from wire import FRAMINGS, SLOW, Client, error_code, ok

RELOADED = 'configuration reloaded: '
KEPT = 'SIGHUP: configuration not reloaded, the old one stays: '
RELOAD_SECONDS = 10 * SLOW


def count_reloads(daemon):
    return daemon.stderr.count(RELOADED) + daemon.stderr.count(KEPT)


def hang_up(daemon):
    """SIGHUP; returns the log line that says what came of it."""
    before = count_reloads(daemon)
    daemon.send_signal(signal.SIGHUP)
    collectors.until(lambda: count_reloads(daemon) > before, RELOAD_SECONDS, 'the reload')
    return [line for line in daemon.stderr.splitlines() if RELOADED in line or KEPT in line][-1]


def write(path, listener=None, daemon=None, collectors_=None, vpcs=None):
    """One file, sections in the dicts' order."""
    def section(name, keys):
        return f'[{name}]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items())
    text = section('listener', {'address': '127.0.0.1:0', **(listener or {})}) + section('daemon', daemon or {})
    text += ''.join(section(f'collector "{name}"', keys) for name, keys in collectors_.items())
    text += ''.join(section(f'vpc "{name}"', keys) for name, keys in vpcs.items())
    path.write_text(text)
    return path


class Load:
    """Clients that send payloads, one after another on one connection each, until they are told to stop."""

    def __init__(self, address, jobs):
        """jobs: functions that give the next (payload, what to keep of it)."""
        self.stopping = threading.Event()
        self.errors, self.answered = [], []
        self.threads = [threading.Thread(target=self._run, args=(address, job)) for job in jobs]
        for thread in self.threads:
            thread.start()

    def _run(self, address, job):
        try:
            with Client(address) as client:
                while not self.stopping.wait(0.01):
                    waiting = [job() for _ in range(4)]
                    for payload, _ in waiting:
                        client.data(payload)
                    for _, kept in waiting:
                        reply = client.line(60 * SLOW)
                        assert reply is not None, 'the connection was dropped'
                        self.answered.append((kept, reply))
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


@contextlib.contextmanager
def load(address, jobs):
    running = Load(address, jobs)
    try:
        yield running
    finally:
        running.stop()


# --- under load -----------------------------------------------------------------------------------------------------

MOVES = Vpc('moves', '777788889999', '127.0.0.4', '10.3.0.0/16', '2001:db8:3::/64')
GOES = Vpc('goes', '222233334444', '127.0.0.5', '10.4.0.0/16', '2001:db8:4::/64')
SWAPS = Vpc('swaps', '333344445555', '127.0.0.6', '10.5.0.0/16', '2001:db8:5::/64')

STRAIGHT = ' '.join('${%s}' % name for name in V2_FORMAT)
SWAPPED = STRAIGHT.replace('srcaddr', 'x').replace('dstaddr', 'srcaddr').replace('x', 'dstaddr') \
    .replace('srcport', 'x').replace('dstport', 'srcport').replace('x', 'dstport')


def alternatives(first, second):
    """The configurations that take turns, as arguments of write()."""
    both = {'first': udp(first.port), 'second': udp(second.port)}
    prod = {'account': PROD.account, 'exporter_ip': PROD.exporter_ip, 'collector': 'first'}
    dev = {'account': DEV.account, 'exporter_ip': DEV.exporter_ip, 'collector': 'second'}
    goes = {'account': GOES.account, 'exporter_ip': GOES.exporter_ip, 'collector': 'first'}

    def moves(to):
        return {'account': MOVES.account, 'exporter_ip': MOVES.exporter_ip, 'collector': to}

    def swaps(layout):
        return {'log_group': '/swaps', 'exporter_ip': SWAPS.exporter_ip, 'collector': 'second', 'format': layout}
    return [
        {'collectors_': both, 'vpcs': {'swaps': swaps(STRAIGHT), 'prod': prod, 'dev': dev, 'moves': moves('first')}},
        {'collectors_': dict(reversed(both.items())),
         'vpcs': {'goes': goes, 'development': dev, 'production': prod, 'swaps': swaps(SWAPPED), 'moves': moves('second')}},
        {'collectors_': both, 'vpcs': {'moves': moves('first, second'), 'dev': dev, 'swaps': swaps(STRAIGHT), 'prod': prod}},
    ]


def jobs_of(name):
    """Two clients of mixed accounts and one for each VPC that changes: (payload, (kind, lines))."""
    serial = itertools.count()

    def generator():
        return flows.Generator(1000 + next(serial) + sum(name.encode()), (PROD, DEV, MOVES, GOES, SWAPS))

    def of(kind, vpcs, group):
        mine = generator()
        count = itertools.count()

        def job():
            size = (2, 25, 150)[next(count) % 3]
            lines = [mine.line(mine.any_interface(vpcs[i % len(vpcs)])) for i in range(size)]
            return payloads.simple_document(lines, group=group, owner=vpcs[0].account), (kind, lines)
        return job
    return [of('fixed', (PROD, DEV), '/aws/vpc'), of('fixed', (DEV, PROD), '/aws/vpc'), of('moves', (MOVES,), '/aws/vpc'),
            of('goes', (GOES,), '/aws/vpc'), of('swaps', (SWAPS,), '/swaps')]


def swapped(flow):
    return flow._replace(src=flow.dst, dst=flow.src, sport=flow.dport, dport=flow.sport)


def check_sequences(sink, one_socket):
    """Without a gap. Exporters that no configuration leaves out keep their socket; one that comes back may by chance get a
    port again that it had before."""
    for (exporter, port, domain), messages in sink.reader().streams().items():
        want = 0
        for n, m in enumerate(messages):
            assert m.sequence == want or (m.sequence == 0 and exporter not in one_socket), \
                f'{exporter}:{port}, domain {domain}, message {n}: sequence number {m.sequence}, expected {want}'
            want = (m.sequence + m.record_count) % 2**32
    for exporter in one_socket:
        assert len([s for s in sink.reader().streams() if s[0] == exporter]) == 1, f'{exporter} changed its socket'


def check_answers(answered, got):
    """`got`: how often each flow arrived, over both collectors."""
    exporters = (PROD, DEV, MOVES, GOES, SWAPS)
    accepted = collections.Counter()
    for (kind, lines), reply in answered:
        wanted = expected(lines, exporters)
        if kind == 'goes' and error_code(reply) == 422:
            assert not any(got[f] for f in wanted), 'refused and exported'
            accepted['refused'] += 1
            continue
        assert reply == ok(len(lines)), reply
        if kind == 'moves':  # of the two collectors, one or both, as its configuration said: the same for all its records
            times = {got[f] for f in wanted}
            assert times in ({1}, {2}), f'records of one payload arrived {times} times'
            accepted[f'moves {times}'] += 1
        elif kind == 'swaps':
            forms = [[got[f] for f in wanted], [got[swapped(f)] for f in wanted]]
            assert sorted(map(set, forms), key=max) == [{0}, {1}], 'not one configuration for the whole payload, once'
            accepted[f'swaps {forms[0][0]}'] += 1
        else:
            assert all(got[f] == 1 for f in wanted), 'acknowledged, and not there exactly once'
            accepted[kind] += 1
    return accepted


def test_under_load_nothing_is_lost_repeated_or_misled(start, tmp_path):
    with collectors.UdpSink() as first, collectors.UdpSink() as second:
        configurations = alternatives(first, second)
        path = write(tmp_path / 'vpcflowd.conf', **configurations[0])
        daemon = start(['-c', path])
        with load(daemon.address, jobs_of('load')) as running:
            for n in range(1, 61):
                time.sleep(0.1)
                write(path, **configurations[n % 3])
                assert RELOADED in hang_up(daemon)
        daemon.stop()
        first.finish()
        second.finish()
        check_sequences(first, {PROD.exporter_ip})
        check_sequences(second, {DEV.exporter_ip, SWAPS.exporter_ip})
        accepted = check_answers(running.answered, first.counts() + second.counts())
        # what the configurations differ in was met on either side
        assert set(accepted) == {'fixed', 'goes', 'refused', 'moves {1}', 'moves {2}', 'swaps 0', 'swaps 1'}, accepted
        assert not [f for f in first.counts() if f.exporter in (DEV.exporter_ip, SWAPS.exporter_ip)]
        assert not [f for f in second.counts() if f.exporter in (PROD.exporter_ip, GOES.exporter_ip)]


def test_a_file_can_be_rotated_under_load(start, tmp_path):
    path, config = tmp_path / 'flows.ipfix', tmp_path / 'vpcflowd.conf'
    write(config, collectors_={'archive': file(path)}, vpcs=two_vpcs())
    daemon = start(['-c', config])
    with load(daemon.address, jobs_of('rotation')[:2]) as running:
        for n in range(10):
            time.sleep(0.1)
            path.rename(tmp_path / f'flows.ipfix.{n}')
            assert RELOADED in hang_up(daemon)
            assert path.exists()
    daemon.stop()
    got = collections.Counter()
    for part in tmp_path.glob('flows.ipfix*'):
        reader = ipfix.Reader()
        reader.feed_file(part.read_bytes())
        reader.check_sequences()
        got.update(f._replace(exporter=collectors.exporter_of_domain(m.domain)) for m in reader.messages for f in m.flows())
    assert check_answers(running.answered, got)['fixed'] > 10


def test_connections_to_a_tcp_collector_are_taken_over(start, tmp_path):
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start().wait_until_listening()
        path, vpcs = tmp_path / 'vpcflowd.conf', two_vpcs()
        goes = {'goes': {'account': GOES.account, 'exporter_ip': GOES.exporter_ip}}
        write(path, collectors_={'tcp': tcp(collector.port)}, vpcs={**goes, **vpcs})
        daemon = start(['-c', path])
        with load(daemon.address, jobs_of('tcp')[:2]) as running:
            for n in range(12):
                time.sleep(0.1)
                kept = dict(reversed(vpcs.items())) if n % 2 else {'renamed': vpcs['prod'], 'dev': vpcs['dev']}
                write(path, collectors_={'tcp': tcp(collector.port, replay_window=f'{n + 1}M')}, vpcs=kept)
                assert RELOADED in hang_up(daemon)
        collectors.until(lambda: f'{GOES.exporter_ip}-' in collector.log, 10 * SLOW, 'the end of the exporter that is gone')
        daemon.stop()
        collector.stop()
        reader, seen = ipfix.Reader(), []
        for exporter, number, messages in collector.take_connections():
            seen.append(exporter)
            for message in messages:
                reader.feed(message, exporter, number)
    assert sorted(seen) == sorted([PROD.exporter_ip, DEV.exporter_ip, GOES.exporter_ip])
    reader.check_sequences()
    assert check_answers(running.answered, collections.Counter(reader.flows()))['fixed'] > 10


def test_certificates_of_a_tls_collector_are_read_anew(start, tmp_path, generator):
    """At the same paths: the authority that the daemon trusts is mended while records wait."""
    made = Certificates(tmp_path / 'certificates')
    trusted = tmp_path / 'trusted.pem'
    shutil.copy(made.other_authority.certificate, trusted)
    with TcpCollector(tmp_path / 'collector', '--certificate', made.server.certificate, '--key',
                      made.server.key) as collector:
        collector.start().wait_until_listening()
        path = write(tmp_path / 'vpcflowd.conf', vpcs=two_vpcs(),
                     collectors_={'tls': tls(collector.port, tls_ca=trusted)})
        daemon = start(['-c', path])
        lines = generator.mixed_lines(200)
        with Client(daemon.address) as client:
            client.data(payloads.simple_document(lines))
            assert client.silent(1), 'sent to a collector that was not to be trusted'
            trusted.write_text('no certificate')
            assert KEPT in hang_up(daemon)
            shutil.copy(made.authority.certificate, trusted)
            assert RELOADED in hang_up(daemon)
            assert client.line(30 * SLOW) == reply_to(lines)
        daemon.stop()
        collector.stop()
        reader = ipfix.Reader()
        for exporter, number, messages in collector.take_connections():
            for message in messages:
                reader.feed(message, exporter, number)
    problem = collectors.difference(reader.flows(), expected(lines))
    assert not problem, problem


# --- what is taken up -----------------------------------------------------------------------------------------------

def test_it_says_what_it_has_taken_up(start, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())
    daemon = start(['-c', path])
    with Client(daemon.address) as client:
        lines = generator.mixed_lines(50)
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        (tmp_path / 'vpc.d' / '01-dev.conf').unlink()
        assert 'configuration reloaded: 1 [vpc]s, 1 collectors' in hang_up(daemon)
        lines = generator.lines(generator.any_interface(DEV), 5, idle=0)
        assert error_code(client.ask(payloads.simple_document(lines))) == 422
        lines = generator.lines(generator.any_interface(PROD), 5, idle=0)
        assert client.ask(payloads.simple_document(lines)) == ok(5)
    daemon.stop()


def test_limits_and_the_log_level_are_taken_up(start, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())
    daemon = start(['-c', path])
    lines = generator.mixed_lines(100)
    document = payloads.simple_document(lines)
    with Client(daemon.address) as client:
        assert client.ask(document) == reply_to(lines)
        write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), listener={'max_inflated': '2k'},
                     daemon={'log_level': 'debug'})
        assert RELOADED in hang_up(daemon)
        assert error_code(client.ask(payloads.ENCODINGS['gzip'](payloads.simple_document(lines)))) == 413
    with Client(daemon.address) as client:
        assert client.ping() == 'PONG'
        collectors.until(lambda: ': connected' in daemon.stderr, RELOAD_SECONDS, 'a debug message')
    daemon.stop()


def test_printing_takes_up_another_format(start, tmp_path):
    path = tmp_path / 'vpcflowd.conf'
    arguments = {'collectors_': {'none': {'address': '127.0.0.1:9'}}}
    write(path, **arguments, vpcs={'default': {'exporter_ip': '127.0.0.2', 'format': STRAIGHT}})
    with open(tmp_path / 'out', 'wb') as out:
        daemon = start(['-c', path, '--print'], stdout=out)
    line = '2 111122223333 eni-0123456789abcdef0 10.0.0.1 10.0.0.2 1 2 6 3 4 1700000000 1700000059 ACCEPT OK'
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document([line])) == ok(1)
        write(path, **arguments, vpcs={'default': {'exporter_ip': '127.0.0.2', 'format': SWAPPED}})
        assert RELOADED in hang_up(daemon)
        assert client.ask(payloads.simple_document([line])) == ok(1)
    daemon.stop()
    first, second = (tmp_path / 'out').read_text().splitlines()
    assert '"srcaddr":"10.0.0.1"' in first.replace(' ', '') and '"srcaddr":"10.0.0.2"' in second.replace(' ', '')


def test_records_that_wait_for_their_collector_go_where_they_were_meant_to(start, tmp_path, generator):
    """Their configuration is long replaced when the collector comes: the [vpc]s stand in another order, one is gone."""
    port = collectors.free_udp_port()
    path = write(tmp_path / 'vpcflowd.conf', collectors_={'sink': udp(port)}, vpcs=two_vpcs())
    daemon = start(['-c', path])
    with Client(daemon.address) as client:
        before = generator.mixed_lines(500)
        client.data(payloads.simple_document(before))
        assert client.silent(1), 'answered, though nobody took the records'
        more = {'more': {'account': GOES.account, 'exporter_ip': GOES.exporter_ip}}
        write(path, collectors_={'sink': udp(port)}, vpcs={**more, 'dev': two_vpcs()['dev']})
        assert RELOADED in hang_up(daemon)
        after = flows.Generator(77, (DEV,)).mixed_lines(100)
        client.data(payloads.simple_document(after))
        for _ in range(3):
            assert RELOADED in hang_up(daemon)
        with collectors.UdpSink(port) as sink:
            assert client.line(20 * SLOW) == reply_to(before)
            assert client.line(20 * SLOW) == reply_to(after)
            sink.wait_for(expected(before + after))
            daemon.stop()
            sink.finish()
            sink.reader().check_sequences()
            problem = collectors.difference(sink.flows(), expected(before + after))
            assert not problem, problem


# --- what is not ----------------------------------------------------------------------------------------------------

def test_a_mistake_keeps_the_old_configuration_and_says_where_it_is(start, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())
    daemon = start(['-c', path])
    sent = []
    with Client(daemon.address) as client:
        for broken in ('[vpc "prod"]\naccount = 1\nexporter_ip = 127.0.0.2\nexportre_ip = 1\n', '[vpc "prod"\n', '\n\nx\n'):
            part = tmp_path / 'vpc.d' / '00-prod.conf'
            good = part.read_text()
            part.write_text(broken)
            line = hang_up(daemon)
            number = {'[vpc "prod"]': 4, '[vpc "prod"': 1}.get(broken.split('\n')[0], 3)
            assert KEPT in line and f'{part}:{number}:' in line, line
            part.write_text(good)
            sent.append(generator.mixed_lines(50))
            assert client.ask(payloads.simple_document(sent[-1])) == reply_to(sent[-1])
        path.rename(tmp_path / 'away')
        assert str(path) in hang_up(daemon).split(KEPT)[1]
        (tmp_path / 'away').rename(path)
        assert RELOADED in hang_up(daemon)
        sent.append(generator.mixed_lines(50))
        assert client.ask(payloads.simple_document(sent[-1])) == reply_to(sent[-1])
    daemon.stop()
    sink.finish()
    sink.reader().check_sequences()
    assert len(sink.reader().streams()) == 2
    problem = collectors.difference(sink.flows(), expected(sum(sent, [])))
    assert not problem, problem


UNCHANGEABLE = {
    'workers': ({'daemon': {'workers': 3}}, ['[daemon] workers', '2', '3']),
    'message_size': ({'daemon': {'workers': 2, 'message_size': 1200}}, ['[daemon] message_size', '1400', '1200']),
    'enterprise_number': ({'daemon': {'workers': 2, 'enterprise_number': 12345}}, ['enterprise_number', '32473', '12345']),
    'address': ({'listener': {'address': '127.0.0.1:1'}}, ['[listener] address', '127.0.0.1:0', '127.0.0.1:1']),
}


@pytest.mark.parametrize('key', UNCHANGEABLE)
def test_what_needs_a_restart_is_refused_by_name(start, sink, tmp_path, generator, key):
    changed, words = UNCHANGEABLE[key]
    path = tmp_path / 'vpcflowd.conf'
    same = {'collectors_': {'sink': udp(sink.port)}, 'vpcs': two_vpcs()}
    write(path, **same, daemon={'workers': 2})
    daemon = start(['-c', path])
    write(path, **{**same, 'vpcs': {'dev': two_vpcs()['dev']}, 'daemon': {'workers': 2}, **changed})
    line = hang_up(daemon)
    assert KEPT in line and all(word in line for word in words) and 'restart' in line, line
    with Client(daemon.address) as client:  # nothing of the rest was taken up
        lines = generator.mixed_lines(50)
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    write(path, **same, daemon={'workers': 2})
    assert RELOADED in hang_up(daemon)
    daemon.stop()


def test_an_address_that_the_host_does_not_have_keeps_the_old_configuration(start, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())
    daemon = start(['-c', path])
    write_config(tmp_path, {'sink': udp(sink.port), 'archive': file(tmp_path / 'x.ipfix')},
                 {'more': {'account': '1', 'exporter_ip': '192.0.2.1'}})
    line = hang_up(daemon)
    assert KEPT in line and '192.0.2.1' in line, line
    before = len(os.listdir(f'/proc/{daemon.pid}/fd'))
    for _ in range(20):
        hang_up(daemon)
    assert len(os.listdir(f'/proc/{daemon.pid}/fd')) == before
    with Client(daemon.address) as client:
        lines = generator.mixed_lines(50)
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    daemon.stop()


@pytest.mark.parametrize('seed', range(1, 7))
def test_without_memory_it_is_all_or_nothing_too(start_faulty, tmp_path, seed):  # noqa: F811
    path, config = tmp_path / 'flows.ipfix', tmp_path / 'vpcflowd.conf'
    vpcs = two_vpcs()

    def turn(n):
        kept = dict(reversed(vpcs.items())) if n % 2 else {**vpcs, 'goes': {'account': '1', 'exporter_ip': GOES.exporter_ip}}
        write(config, collectors_={'archive': file(path), f'more{n % 3}': file(tmp_path / f'more{n % 3}')},
              vpcs={name: {**keys, 'collector': 'archive'} for name, keys in kept.items()})
    turn(0)
    daemon = start_faulty(f'alloc=300,seed={seed}', ['-c', config])
    made, sent, deadline = flows.Generator(500 + seed), [], time.monotonic() + 60 * SLOW
    for n in range(1, 25):
        turn(n)
        hang_up(daemon)
        lines = made.mixed_lines(60)
        send_until_ok(daemon.address, FRAMINGS['DATA, gzip'], payloads.simple_document(lines), deadline)
        sent += lines
    assert RELOADED in daemon.stderr
    daemon.stop()
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    reader.messages = [m for m in reader.messages if m.domain != GOES.domain]  # it ends, and begins again
    reader.check_sequences()
    got = {f._replace(exporter=collectors.exporter_of_domain(m.domain)) for m in reader.messages for f in m.flows()}
    assert got == set(expected(sent))


def test_repeats_and_rejects_are_taken_up(start, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), listener={'duplicate_window': '1h'})
    good = path.read_text()
    daemon = start(['-c', path])
    lines = generator.mixed_lines(20, idle=0)
    document = payloads.simple_document(lines)
    with Client(daemon.address) as client:
        assert client.ask(document) == ok(20)
        assert client.ask(document) == 'OK exported=0 skipped=0 rejected=0 duplicate=1'
        path.write_text(good.replace('duplicate_window = 1h', 'duplicate_window = 0s')
                        + f'[rejects]\ndirectory = {tmp_path}/none/rejects\n')
        line = hang_up(daemon)
        assert KEPT in line and 'none/rejects' in line
        assert client.ask(document) == 'OK exported=0 skipped=0 rejected=0 duplicate=1'
        (tmp_path / 'none').mkdir()
        assert RELOADED in hang_up(daemon)
        assert client.ask(document) == ok(20)
        assert error_code(client.ask(b'nonsense')) == 422
        assert list((tmp_path / 'none' / 'rejects').glob('*.payload'))
    daemon.stop()


def test_without_a_file_there_is_nothing_to_reload(server):
    server.daemon.send_signal(signal.SIGHUP)
    collectors.until(lambda: 'no file to reload' in server.daemon.stderr, RELOAD_SECONDS, 'the warning')
    with Client(server.address) as client:
        assert client.ping() == 'PONG'


# --- signals --------------------------------------------------------------------------------------------------------

def test_many_signals_in_a_row(start, sink, tmp_path, generator):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    with Client(daemon.address) as client:
        for _ in range(200):
            daemon.send_signal(signal.SIGHUP)
        lines = generator.mixed_lines(500)
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        collectors.until(lambda: RELOADED in daemon.stderr, RELOAD_SECONDS, 'a reload')
    daemon.stop()
    sink.finish()
    sink.reader().check_sequences()
    assert len(sink.reader().streams()) == 2


def test_a_daemon_that_stops_does_not_reload(start, tmp_path, generator):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(collectors.free_udp_port())}, two_vpcs())])
    with Client(daemon.address) as client:
        client.data(payloads.simple_document(generator.mixed_lines(100)))
        assert client.silent(0.5)
        daemon.send_signal(signal.SIGTERM)
        collectors.until(lambda: 'payloads to finish' in daemon.stderr, RELOAD_SECONDS, 'the end to begin')
        daemon.send_signal(signal.SIGHUP)
        collectors.until(lambda: 'SIGHUP: stopping' in daemon.stderr, RELOAD_SECONDS, 'the line')
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait() == 1
    assert RELOADED not in daemon.stderr


def test_systemd_is_told(vpcflowd, sink, tmp_path, monkeypatch):
    if 'libsystemd' not in subprocess.run(['ldd', str(binary())], capture_output=True, text=True, check=True).stdout:
        pytest.skip('built without libsystemd')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / 'notify'))
        notify.settimeout(10 * SLOW)
        monkeypatch.setenv('NOTIFY_SOCKET', str(tmp_path / 'notify'))
        path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())
        daemon = Daemon(['-c', path], tmp_path).start()
        try:
            assert b'READY=1' in notify.recv(4096)
            for text in (path.read_text(), 'nonsense'):
                path.write_text(text)
                hang_up(daemon)
                began, ended = notify.recv(4096), notify.recv(4096)
                assert began.startswith(b'RELOADING=1\nMONOTONIC_USEC=')
                at = int(began.split(b'=')[2]) / 1e6
                assert time.monotonic() - 60 * SLOW < at <= time.monotonic()
                assert b'READY=1' in ended
            daemon.stop()
        finally:
            daemon.kill()
