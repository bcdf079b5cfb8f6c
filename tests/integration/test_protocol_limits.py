"""max_payload, max_inflated, max_connections, idle_timeout: enforced with the errors the protocol names."""
import gzip
import socket
import threading
import time

import pytest

import flows
import payloads
from daemon import file, udp, write_config
from scenario import generator_for, reply_to, two_vpcs
from wire import SLOW, Client, error_code, many_clients


@pytest.fixture
def limited(start, sink, tmp_path):
    """limited(**keys of [listener]) → the address of a daemon with those limits."""
    return lambda **keys: start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), keys)]).address


LARGE = payloads.simple_document(generator_for('too large').mixed_lines(1000))


SMALL = payloads.simple_document(generator_for('small').mixed_lines(1))

OVER_MAX_PAYLOAD = {
    'DATA': b'DATA %d\n' % len(LARGE) + LARGE,
    'DATA, before the bytes come': b'DATA 100000000000\n',
    'DATA, a length of 30 digits': b'DATA 999999999999999999999999999999\n',
    'bare JSON': LARGE + b'\n',
    'bare base64': payloads.base64.b64encode(LARGE) + b'\n',
    'bare gzip': gzip.compress(LARGE, 0),
}


@pytest.mark.parametrize('name', OVER_MAX_PAYLOAD)
def test_a_payload_over_max_payload_is_413_and_closes(limited, name):
    stream = OVER_MAX_PAYLOAD[name]
    with Client(limited(max_payload='64k')) as client:
        reply = client.send(stream).line()
        assert error_code(reply) in ((413,) if 'digits' not in name else (400, 413)), reply
        assert client.closed()


def bomb(size):
    return gzip.compress(b' ' * size)


BOMBS = {
    'gzip': lambda: bomb(4 << 20),
    'gzip members': lambda: bomb(512 << 10) * 8,
    'base64 of gzip': lambda: payloads.base64.b64encode(bomb(4 << 20)),
    'gzip in a Lambda event': lambda: payloads.lambda_event(b' ' * (4 << 20)),
    'gzip in Kinesis records, each within the limit':
        lambda: payloads.kinesis_event([SMALL + b' ' * (512 << 10)] * 8),
    'zlib': lambda: payloads.zlib.compress(b' ' * (4 << 20)),
}


@pytest.mark.parametrize('name', BOMBS)
def test_what_inflates_over_max_inflated_is_413_and_closes(limited, name):
    with Client(limited(max_inflated='1M')) as client:
        reply = client.ask(BOMBS[name]())
        assert error_code(reply) == 413, reply
        assert client.closed()


def test_a_payload_of_exactly_max_payload_is_taken(limited, generator):
    lines = generator.mixed_lines(5)
    document = payloads.simple_document(lines)
    document += b' ' * (4096 - len(document))
    address = limited(max_payload='4096')
    with Client(address) as client:
        assert client.ask(document) == reply_to(lines)
        assert error_code(client.ask(document + b' ')) == 413


def test_max_connections(limited):
    address = limited(max_connections=4)
    with many_clients(address, 4) as clients:
        assert [c.ping() for c in clients] == ['PONG'] * 4
        with Client(address) as fifth:
            assert error_code(fifth.line()) == 503
            assert fifth.closed()
        assert [c.ping() for c in clients] == ['PONG'] * 4
        clients[0].close()
        deadline = time.monotonic() + 5 * SLOW
        while True:  # the place is free once the daemon has seen the end
            with Client(address) as another:
                another.send(b'PING\n')
                if another.line() == 'PONG':
                    break
            assert time.monotonic() < deadline


@pytest.mark.parametrize('begun', (b'', b'DATA 100\nabc', b'{"messageType":', b'H4sI', b'PIN', b'\x1f\x8b\x08'),
                         ids=('nothing', 'DATA', 'JSON', 'base64', 'keyword', 'gzip'))
def test_idle_timeout_closes_a_connection_on_which_nothing_comes(limited, begun):
    with Client(limited(idle_timeout='500ms')) as client:
        began = time.monotonic()
        client.send(begun)
        while client.line() is not None:  # an ERR line may say why
            pass
        assert 0.4 < time.monotonic() - began < 3 * SLOW


def test_idle_timeout_spares_a_connection_that_is_used(limited):
    with Client(limited(idle_timeout='500ms')) as client:
        for _ in range(5):
            time.sleep(0.25)
            assert client.ping() == 'PONG'


def test_a_slow_payload_is_not_idle(limited, generator):
    lines = generator.mixed_lines(3)
    document = payloads.simple_document(lines)
    with Client(limited(idle_timeout='500ms')) as client:
        client.send(b'DATA %d\n' % len(document))
        for at in range(0, len(document), len(document) // 5 + 1):
            time.sleep(0.2)
            client.send(document[at:at + len(document) // 5 + 1])
        assert client.line() == reply_to(lines)


def test_deep_nesting_is_refused_not_followed(limited):
    with Client(limited()) as client:
        assert error_code(client.ask(b'[' * 100000)) == 400
        assert error_code(client.ask(b'{"a":' * 100000 + b'1' + b'}' * 100000)) == 400
        assert client.ping() == 'PONG'


def test_memory_stays_bounded_while_large_payloads_are_refused(limited, start, sink, tmp_path):
    path = write_config(tmp_path / 'b', {'sink': udp(sink.port)}, two_vpcs(), {'max_inflated': '1M'})
    daemon = start(['-c', path])
    payload = bomb(256 << 20)
    before = peak_kib(daemon)
    for _ in range(5):
        with Client(daemon.address) as client:
            assert error_code(client.ask(payload)) == 413
    assert peak_kib(daemon) - before < 64 << 10


def peak_kib(daemon):
    """The most memory that the daemon has had resident."""
    with open(f'/proc/{daemon.pid}/status', encoding='ascii') as status:
        return int(status.read().split('VmHWM:')[1].split()[0])


def test_a_client_that_asks_and_never_reads_is_held_up_not_buffered(start, sink, tmp_path):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    before = peak_kib(daemon)
    with Client(daemon.address) as greedy, Client(daemon.address) as other:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # so that little fits between the two
            greedy.sock.setsockopt(socket.SOL_SOCKET, option, 64 << 10)
        greedy.sock.settimeout(0.5)
        pings, sent = b'PING\n' * 20000, 0
        try:
            while sent < 64 << 20:
                sent += greedy.sock.send(pings[sent % 5:])
        except (TimeoutError, BlockingIOError):
            pass
        assert sent < 64 << 20, 'the daemon took 64 MB of PINGs and nobody has read one PONG'
        assert other.ping() == 'PONG'
        if SLOW == 1:  # sanitizers keep freed memory
            assert peak_kib(daemon) - before < 16 << 10
        # Who reads after all gets all: one PONG for each PING that was sent whole.
        pongs = 0
        greedy.sock.settimeout(10)
        while pongs < sent // 5 * 5:
            chunk = greedy.sock.recv(1 << 20)
            assert chunk
            pongs += len(chunk)
        assert pongs == sent // 5 * 5


def test_thousands_of_payloads_ahead_of_the_reader_of_replies(start, sink, tmp_path, generator):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    batches = [generator.mixed_lines(2) for _ in range(3000)]
    stream = b''.join(b'DATA %d\n' % len(p) + p for p in map(payloads.simple_document, batches))
    with Client(daemon.address) as client:
        sender = threading.Thread(target=client.sock.sendall, args=(stream,))
        sender.start()
        time.sleep(0.3)
        assert client.lines(len(batches)) == [reply_to(lines) for lines in batches]
        sender.join()
    sink.wait_for(flow for lines in batches for flow in flows.expected(lines))


def test_thousands_of_tiny_payloads_in_one_read_cost_no_more_memory_than_a_connection_may(start, sink, tmp_path):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    tiny, count = b'A\n', 100_000
    before = peak_kib(daemon)
    with many_clients(daemon.address, 10) as clients:
        senders = [threading.Thread(target=c.sock.sendall, args=(tiny * count,), daemon=True) for c in clients[1:]]
        for sender in senders:
            sender.start()
        clients[0].send(tiny * 1000)
        assert {error_code(reply) for reply in clients[0].lines(1000)} <= {400, 422}
        if SLOW == 1:
            assert peak_kib(daemon) - before < 32 << 10
        for client in clients[1:]:
            client.sock.close()


def test_one_payload_that_is_all_that_may_be_in_flight_does_not_stop_the_next(start, tmp_path):
    """Its messages take more than the 64 MiB at which the daemon stops reading."""
    daemon = start(['-c', write_config(tmp_path, {'archive': file(tmp_path / 'x.ipfix')}, two_vpcs(),
                                       {'max_inflated': '256M'})])
    line = '2 111122223333 eni-0123456789abcdef0 10.0.0.5 198.51.100.7 443 50123 6 12 3456 1700000000 1700000059 ACCEPT OK\n'
    with Client(daemon.address) as client:
        client.data(gzip.compress(line.encode() * 1_500_000, 1))
        assert client.line(60 * SLOW) == 'OK exported=1500000 skipped=0 rejected=0 duplicate=0'
        assert client.ping() == 'PONG'
    assert (tmp_path / 'x.ipfix').stat().st_size > 64 << 20


def test_who_holds_much_makes_room_not_an_honest_slow_sender(limited, generator):
    """The slow one has been silent longest of all, for a moment: the greedy ones have just sent something."""
    lines = generator.mixed_lines(3)
    document = payloads.simple_document(lines)
    address = limited(max_payload='300k')
    with Client(address) as slow, many_clients(address, 9) as greedy:
        slow.send(b'DATA %d\n' % len(document) + document[:100])
        for client in greedy[:8]:  # together all that half-sent payloads may hold
            client.send(b'DATA 300000\n' + b'x' * 299_000)
        assert slow.silent(0.2)
        slow.send(document[100:200])
        time.sleep(0.02)
        for client in greedy[:8]:
            client.send(b'x')
        time.sleep(0.02)
        greedy[8].send(b'DATA 300000\n' + b'x' * 299_000)
        assert slow.silent(0.2)
        assert slow.send(document[200:]).line() == reply_to(lines)
        refused = [client for client in greedy if not client.silent(0.05)]
        assert len(refused) == 1 and error_code(refused[0].line()) == 503 and refused[0].closed()


def test_generated_records_are_flow_logs():
    """LARGE is refused for its size, not for what is in it."""
    assert len(flows.parse_text('\n'.join(generator_for('too large').mixed_lines(1000)))) >= 1000
