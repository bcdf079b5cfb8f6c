"""A repeat of a payload is acknowledged as duplicate=1 and not exported again, whoever sends it and however early."""
import collections
import gzip
import signal
import time

import pytest

import collectors
import daemon as daemon_module
import payloads
from daemon import udp, write_config
from flows import expected
from scenario import exported_as, reply_to, two_vpcs
from test_protocol_replies import damaged_crc
from wire import DUPLICATE, SLOW, Client, error_code


@pytest.fixture
def remembering(start, sink, tmp_path):
    """A daemon that knows repeats, towards the sink."""
    def start_it(window='1h', **keys):
        return start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(),
                                         {'duplicate_window': window, **keys})])
    return start_it


def check_once(sink, lines, times=1):
    """Each record of the lines has arrived that often."""
    wanted = collections.Counter(expected(lines))
    sink.wait_for(flow for flow, n in wanted.items() for _ in range(n * times))
    time.sleep(0.3 * SLOW)  # for what should not come
    assert all(sink.counts()[flow] == n * times for flow, n in wanted.items())


def test_a_repeat_on_the_same_and_on_another_connection(remembering, sink, generator):
    lines = generator.mixed_lines(50)
    payload = gzip.compress(payloads.simple_document(lines))
    daemon = remembering()
    with Client(daemon.address) as client:
        assert client.ask(payload) == reply_to(lines)
        assert [client.ask(payload) for _ in range(3)] == [DUPLICATE] * 3
    with Client(daemon.address) as another:
        assert another.ask(payload) == DUPLICATE
    check_once(sink, lines)


def test_the_same_bytes_in_another_framing_are_the_same_payload(remembering, sink, generator):
    lines = generator.mixed_lines(5)
    document = payloads.simple_document(lines)
    daemon = remembering()
    with Client(daemon.address) as client:
        assert client.ask(document) == reply_to(lines)
        assert client.send(document + b'\n').line() == DUPLICATE
        assert client.send(document).finish().line() == DUPLICATE
    check_once(sink, lines)


def test_other_bytes_are_another_payload(remembering, sink, generator):
    """Whoever compresses the same records anew has another payload: nobody looks into it."""
    lines = generator.mixed_lines(5)
    document = payloads.simple_document(lines)
    with Client(remembering().address) as client:
        for payload in (document, document + b' ', gzip.compress(document, mtime=1), gzip.compress(document, mtime=2)):
            assert client.ask(payload) == reply_to(lines)
    check_once(sink, lines, 4)


def test_a_payload_in_pieces_has_the_same_fingerprint(remembering, sink, generator):
    lines = generator.mixed_lines(400)
    payload = payloads.simple_document(lines)
    with Client(remembering().address) as client:
        assert client.ask(payload) == reply_to(lines)
        client.send(b'DATA %d\n' % len(payload))
        for at in range(0, len(payload), 7919):
            client.send(payload[at:at + 7919])
            time.sleep(0.001)
        assert client.line() == DUPLICATE
    check_once(sink, lines)


def test_a_repeat_waits_for_the_first_one_in_flight(start, tmp_path, generator):
    port = collectors.free_udp_port()
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(port)}, two_vpcs(), {'duplicate_window': '1h'})])
    lines = generator.mixed_lines(200)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as first, Client(daemon.address) as second, Client(daemon.address) as third:
        first.data(payload)
        assert first.silent(0.5)
        second.data(payload).data(payload)
        third.data(payload)
        assert second.silent(0.5) and third.silent(0.1)
        with collectors.UdpSink(port) as sink:
            assert first.line(20 * SLOW) == reply_to(lines)
            assert second.lines(2) == [DUPLICATE] * 2
            assert third.line() == DUPLICATE
            assert third.ask(payload) == DUPLICATE
            check_once(sink, lines)


def test_a_repeat_is_told_though_the_first_sender_has_gone(start, tmp_path, generator):
    port = collectors.free_udp_port()
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(port)}, two_vpcs(), {'duplicate_window': '1h'})])
    lines = generator.mixed_lines(200)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as first:
        first.data(payload)
        assert first.silent(0.5)
    with Client(daemon.address) as second:
        second.data(payload)
        assert second.silent(0.3)
        with collectors.UdpSink(port) as sink:
            assert second.line(20 * SLOW) == DUPLICATE
            check_once(sink, lines)


def test_a_refused_payload_is_not_remembered(remembering, sink, generator):
    lines = generator.mixed_lines(20)
    damaged, good = damaged_crc(payloads.simple_document(lines)), payloads.simple_document(lines)
    with Client(remembering().address) as client:
        replies = [client.ask(damaged) for _ in range(3)]
        assert [error_code(reply) for reply in replies] == [400] * 3 and len(set(replies)) == 1
        assert client.ask(good) == reply_to(lines)
    check_once(sink, lines)


def test_a_repeat_of_one_in_flight_that_is_refused_is_refused_alike(remembering, generator):
    """All of them come in one read, so the first one's fate is open when the others are seen."""
    damaged = damaged_crc(payloads.simple_document(generator.mixed_lines(2000)))
    with Client(remembering().address) as client:
        client.send(b''.join([b'DATA %d\n' % len(damaged) + damaged] * 6))
        replies = client.lines(6)
        assert [error_code(reply) for reply in replies] == [400] * 6 and len(set(replies)) == 1
        assert client.ping() == 'PONG'


def test_pipelined_repeats_keep_the_order_of_the_replies(remembering, sink, generator):
    batches = [generator.mixed_lines(n) for n in (300, 2, 40)]
    documents = [payloads.simple_document(lines) for lines in batches]
    stream, want, seen = b'', [], set()
    for n in range(60):
        which = generator.rng.randrange(4)
        if which == 3:
            stream += b'PING\n'
            want.append('PONG')
            continue
        stream += b'DATA %d\n' % len(documents[which]) + documents[which]
        want.append(DUPLICATE if which in seen else reply_to(batches[which]))
        seen.add(which)
    with Client(remembering().address) as client:
        assert client.send(stream).lines(len(want)) == want
    assert len(seen) == 3
    check_once(sink, sum(batches, []))


def test_after_the_window_it_is_exported_again(remembering, sink, generator):
    lines = generator.mixed_lines(5)
    payload = payloads.simple_document(lines)
    with Client(remembering('2s').address) as client:
        assert client.ask(payload) == reply_to(lines)
        accepted = time.monotonic()
        if client.ask(payload) != DUPLICATE:
            assert time.monotonic() - accepted >= 2
        time.sleep(2.1)
        assert client.ask(payload) == reply_to(lines)
        assert client.ask(payload) == DUPLICATE


def test_without_a_window_every_one_is_exported(remembering, sink, generator):
    lines = generator.mixed_lines(5)
    payload = payloads.simple_document(lines)
    with Client(remembering('0s').address) as client:
        assert [client.ask(payload) for _ in range(3)] == [reply_to(lines)] * 3
    check_once(sink, lines, 3)


def test_the_window_is_an_hour_unless_it_is_set(server, generator):
    lines = generator.mixed_lines(5)
    payload = payloads.simple_document(lines)
    with Client(server.address) as client:
        assert client.ask(payload) == reply_to(lines)
        assert client.ask(payload) == DUPLICATE
    server.sink.wait_for(exported_as('127.0.0.9', lines))


def test_tens_of_thousands_are_remembered_in_little_memory(remembering):
    """28 bytes each, and some for growing: 20,000 are less than 2 MiB."""
    daemon = remembering()
    line = '2 111122223333 eni-0a - - - - - - - %d 1700000060 - NODATA'
    several = [payloads.text([line % (1_600_000_000 + n)]) for n in range(20000)]

    def send_all(client):
        replies = collections.Counter()
        for at in range(0, len(several), 50):
            client.send(b''.join(b'DATA %d\n' % len(p) + p for p in several[at:at + 50]))
            replies.update(client.lines(50))
        return replies

    with Client(daemon.address) as client:
        client.ask(payloads.text([line % 1]))
        time.sleep(1.5)
        before = daemon.memory_kib()
        assert send_all(client) == {'OK exported=0 skipped=1 rejected=0 duplicate=0': len(several)}
        assert send_all(client) == {DUPLICATE: len(several)}
        time.sleep(1.5)
        if SLOW == 1:
            assert daemon.memory_kib() < 16 << 10
            assert daemon.memory_kib() - before < 2 << 10


def test_a_daemon_that_ends_tells_those_that_waited_behind_others_too(start, tmp_path, generator):
    port = collectors.free_udp_port()
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(port)}, two_vpcs(), {'duplicate_window': '1h'})])
    payload = payloads.simple_document(generator.mixed_lines(20))
    with Client(daemon.address) as first, Client(daemon.address) as second:
        first.data(payload)
        assert first.silent(0.3)
        second.data(payload)
        assert second.silent(0.3)
        for _ in range(2):
            daemon.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert daemon.wait() == 1
        assert [error_code(client.line()) for client in (first, second)] == [503, 503]
    daemon_module.check_sanitizers(daemon.stderr)


def test_read_exports_whatever_it_is_given(tmp_path, generator):
    lines = generator.mixed_lines(20, idle=0)
    path = tmp_path / 'payload'
    path.write_bytes(payloads.simple_document(lines))
    result = daemon_module.run(['--read', '--print', path, path])
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 40


def test_print_knows_repeats(start, tmp_path, generator):
    lines = generator.mixed_lines(20, idle=0)
    payload = payloads.simple_document(lines)
    with open(tmp_path / 'printed', 'wb') as stdout:
        daemon = start(['--listen', '127.0.0.1:0', '--print'], stdout=stdout)
        with Client(daemon.address) as client:
            assert client.ask(payload) == reply_to(lines)
            assert client.ask(payload) == DUPLICATE
        daemon.stop()
    assert len((tmp_path / 'printed').read_text().splitlines()) == 20
