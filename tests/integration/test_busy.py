"""busy_timeout: a payload that has waited too long is told 503, once; nothing of it is lost and nothing comes twice."""
import collections
import gzip
import time

import pytest

import collectors
import payloads
from daemon import udp, write_config
from flows import PROD
from scenario import exported_as, reply_to, two_vpcs
from wire import DUPLICATE, SLOW, Client, error_code, ok


@pytest.fixture
def away(start, tmp_path):
    """away(busy_timeout) → (a daemon whose collector is not there, the collector's port)."""
    def start_it(timeout, **keys):
        port = collectors.free_udp_port()
        path = write_config(tmp_path, {'sink': udp(port)}, two_vpcs(),
                            {'duplicate_window': '1h', 'busy_timeout': timeout, **keys}, {'workers': 1})
        return start(['-c', path]), port
    return start_it


def prod_lines(generator, count):
    return [generator.line(generator.any_interface(PROD)) for _ in range(count)]


def check_once(sink, lines):
    wanted = collections.Counter(exported_as(PROD.exporter_ip, lines))
    sink.wait_for(wanted.elements())
    time.sleep(0.3 * SLOW)
    assert all(sink.counts()[flow] == n for flow, n in wanted.items())


def test_a_payload_that_waits_for_its_collector_is_told_503_once_and_goes_on(away, generator):
    daemon, port = away('1s')
    lines = prod_lines(generator, 100)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as client:
        began = time.monotonic()
        reply = client.ask(payload)
        assert error_code(reply) == 503 and 'busy_timeout' in reply, reply
        assert time.monotonic() - began >= 0.95
        assert client.ping() == 'PONG'
        assert 'busy_timeout' in daemon.stderr
        with collectors.UdpSink(port) as sink:
            check_once(sink, lines)
            assert client.ask(payload) == DUPLICATE  # the sender tries again, as it was told
            assert client.ping() == 'PONG'
            check_once(sink, lines)
        daemon.stop()


def test_a_retry_while_the_first_still_waits_waits_for_it(away, generator):
    daemon, port = away('2s')
    lines = prod_lines(generator, 100)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as client:
        assert error_code(client.ask(payload)) == 503
        client.data(payload)
        assert client.silent(0.5)
        with collectors.UdpSink(port) as sink:
            assert client.line(20 * SLOW) == DUPLICATE
            check_once(sink, lines)


def test_a_retry_that_waits_too_long_is_told_503_as_well(away, generator):
    daemon, port = away('1s')
    lines = prod_lines(generator, 100)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as client:
        for _ in range(3):
            assert error_code(client.ask(payload)) == 503
        with collectors.UdpSink(port) as sink:
            check_once(sink, lines)
            assert client.ask(payload) == DUPLICATE


def test_replies_stay_in_order_and_one_each(away, generator):
    daemon, port = away('1s')
    batches = [prod_lines(generator, 10) for _ in range(20)]
    documents = [payloads.simple_document(lines) for lines in batches]
    stream = b''.join(b'DATA %d\n' % len(p) + p for p in documents)
    with Client(daemon.address) as client:
        client.send(stream + b'PING\n' + stream)
        replies = client.lines(41)
        assert replies.pop(20) == 'PONG'
        assert [error_code(reply) for reply in replies] == [503] * 40
        with collectors.UdpSink(port) as sink:
            check_once(sink, sum(batches, []))
            assert client.send(stream).lines(20) == [DUPLICATE] * 20


def fill(client, n):
    """So many payloads that the daemon keeps what follows compressed and gives it to no worker."""
    line = '2 111122223333 eni-0aaaabbbbccccdddd 10.9.0.5 198.51.100.7 443 50123 6 12 3456 1700000000 1700000059 ACCEPT OK'
    document = payloads.simple_document([line] * 20000)
    for mtime in range(n):
        client.data(gzip.compress(document, mtime=mtime))


def test_what_no_worker_has_been_given_is_dropped_and_a_repeat_is_tried_by_itself(away, generator):
    daemon, port = away(f'{3 * SLOW:.0f}s')
    lines = prod_lines(generator, 30)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as filler, Client(daemon.address) as first, Client(daemon.address) as second:
        fill(filler, 60)
        time.sleep(0.5 * SLOW)
        first.data(payload)
        time.sleep(1.5 * SLOW)
        second.data(payload)
        assert error_code(first.line(20 * SLOW)) == 503
        told = time.monotonic()
        assert error_code(second.line(20 * SLOW)) == 503
        if SLOW == 1:
            assert time.monotonic() - told > 0.5, 'the repeat had a wait of its own to do'
        assert {error_code(reply) for reply in filler.lines(60)} == {503}
        with collectors.UdpSink(port) as sink:
            replies = [second.ask(payload)]
            while error_code(replies[-1]) == 503:  # it has to wait behind the others now, and may
                replies.append(second.ask(payload))
            # It was dropped, so it is no repeat; unless it was late once more, with a worker.
            assert replies[-1] == ok(30) or (len(replies) > 1 and replies[-1] == DUPLICATE), replies
            check_once(sink, lines)
            assert first.ask(payload) == DUPLICATE


def test_0_lets_them_wait(away, generator):
    daemon, port = away('0s')
    lines = prod_lines(generator, 10)
    with Client(daemon.address) as client:
        client.data(payloads.simple_document(lines))
        assert client.silent(2)
        with collectors.UdpSink(port) as sink:
            assert client.line(20 * SLOW) == reply_to(lines)
            check_once(sink, lines)


def test_late_payloads_do_not_keep_others_from_being_told(away):
    """Ten times as many as the daemon takes at a time, and all of them get their 503 in the end."""
    daemon, _ = away('1s')
    line = '2 111122223333 eni-0a 10.9.0.5 198.51.100.7 443 50123 6 12 3456 %d 1700000059 ACCEPT OK'
    clients = [Client(daemon.address) for _ in range(40)]
    for round_ in range(3):
        for n, client in enumerate(clients):
            for k in range(50):
                client.data(payloads.text([line % (1_600_000_000 + round_ * 10000 + n * 100 + k)]))
        for client in clients:
            assert {error_code(client.line(30 * SLOW)) for _ in range(50)} == {503}
    if SLOW == 1:
        assert daemon.memory_kib() < 64 << 10
    for client in clients:
        client.close()
