"""Payloads made to cost more than they should: each is answered in time, others are served meanwhile, and memory stays
below what the configuration says.

The bound, for one worker: the daemon itself, the payload as it arrives (twice: libevent's buffers double), max_inflated for
the text of all layers together, and what is made of the text: IPFIX records and notes of interfaces are not longer than
twice the lines they are made of, and the memory that they are put into doubles when it is full.
"""
import base64
import gzip
import json
import socket
import time
import zlib

import pytest

import payloads
from daemon import udp, write_config
from scenario import reply_to, two_vpcs
from wire import SLOW, Client, error_code, ok

PAYLOAD, INFLATED = 4 << 20, 16 << 20
DAEMON = 16 << 20
LINE = '2 111122223333 eni-0a 10.9.0.5 198.51.100.7 443 50123 6 12 3456 1700000000 1700000059 ACCEPT OK'
SECONDS = 40 * SLOW  # what any of them may take on a busy machine; quadratic ones would take minutes

pytestmark = pytest.mark.filterwarnings('error')


def start_small(start, sink, tmp_path, inflated=INFLATED, payload=PAYLOAD, **listener):
    return start(['-c', write_config(tmp_path, {'sink': udp(sink.port, burst=0)}, two_vpcs(),
                                     {'max_payload': payload, 'max_inflated': inflated, **listener}, {'workers': 1})])


def check_memory(daemon, bound):
    if SLOW == 1:  # sanitizers need far more
        assert daemon.memory_kib('VmHWM') < bound >> 10, f'{daemon.memory_kib("VmHWM")} KiB, not {bound >> 10}'


def layers(data, n):
    for _ in range(n):
        data = gzip.compress(data)
    return data


def objects(text, n, before='', after=''):
    return (before + ','.join([text] * n) + after).encode()


def document(events, **names):
    """A document with these events as JSON text."""
    head = payloads.dumps(payloads.document([], **names))
    return head.replace('"logEvents":[]', '"logEvents":[' + events + ']').encode()


EMPTY = base64.b64encode(gzip.compress(b'{}')).decode()

# name → (code of the reply or 0 for OK, the payload as a function)
BOMBS = {
    'a gigabyte of blanks': (413, lambda: gzip.compress(b' ' * (1 << 30), 4)),
    'blanks beyond the limit by one': (413, lambda: gzip.compress(b' ' * (INFLATED + 1))),
    'a gigabyte of blanks, twice compressed': (413, lambda: layers(b' ' * (1 << 28), 2)),
    'four layers': (422, lambda: layers(b'no flow log', 4)),
    'five layers': (400, lambda: layers(LINE.encode(), 5)),
    'five layers of base64': (400, lambda: base64.b64encode(base64.b64encode(base64.b64encode(base64.b64encode(
        base64.b64encode(LINE.encode() * 9)))))),
    'layers that are within the limit one by one': (413, lambda: layers(b' ' * (INFLATED - 100) + LINE.encode(), 1) * 2),
    'members without anything in them': (400, lambda: gzip.compress(b'') * 150000),
    'members of one byte': (422, lambda: gzip.compress(b'a') * 150000),
    'zlib of zeros': (413, lambda: zlib.compress(b'\0' * (64 << 20))),
    'brackets': (400, lambda: b'[' * (PAYLOAD - 10)),
    'braces': (400, lambda: b'{"a":' * 800000),
    'nesting within a value that nobody asks for': (400, lambda: b'{"a":' + b'[' * 2000000 + b']' * 2000000 + b'}'),
    'keys': (422, lambda: json.dumps({f'{n:07d}': n for n in range(200000)}).encode()),
    'the same key': (422, lambda: b'{' + b','.join([b'"k":1'] * 600000) + b'}'),
    'a key of ours twice': (400, lambda: b'{' + b','.join([b'"logGroup":"a"'] * 200000) + b'}'),
    'keys in an event': (422, lambda: document(json.dumps({f'{n:07d}': n for n in range(200000)}))),
    'a key of megabytes': (422, lambda: b'{"' + b'k' * (PAYLOAD - 100) + b'":1}'),
    'a message of escapes': (422, lambda: gzip.compress(document('{"message":"' + '\\u0041' * 2500000 + '"}'))),
    'a message of newlines': (422, lambda: gzip.compress(document('{"message":"' + '\\n' * 7000000 + 'x"}'))),
    'a name of escapes': (422, lambda: b'{"a":"' + b'\\n' * 1900000 + b'"}'),
    'a number of megabytes': (422, lambda: b'{"a":' + b'1' * (PAYLOAD - 100) + b'}'),
    'an unfinished string': (400, lambda: b'{"a":"' + b'a' * (PAYLOAD - 100)),
    'a log group of megabytes': (400, lambda: gzip.compress(document(
        ','.join([json.dumps({'message': LINE.replace('111122223333', '999999999999')})] * 80000), group='g' * (6 << 20)))),
    'an owner of megabytes': (400, lambda: gzip.compress(document(
        ','.join([json.dumps({'message': LINE})] * 80000), owner='1' * (6 << 20)))),
    'empty events': (422, lambda: gzip.compress(document(','.join(['{}'] * 1000000)))),
    'events that are numbers': (422, lambda: gzip.compress(document(','.join(['1'] * 1000000)))),
    'empty messages': (422, lambda: gzip.compress(document(','.join(['{"message":""}'] * 1000000)))),
    'events that are no two alike': (422, lambda: gzip.compress(document(','.join(
        '{"%s":%d,"message":"x"}' % ('k' * (n % 50), n) for n in range(250000))))),
    'empty documents': (422, lambda: gzip.compress(b'{}' * 1000000)),
    'documents without events': (0, lambda: gzip.compress(payloads.simple_document([]) * 80000)),
    'events before what describes them': (422, lambda: gzip.compress(
        b'{"logEvents":[' + b','.join([b'{"message":"x"}'] * 900000) + b'],"logGroup":"a","logStream":"b","owner":"c"}')),
    'documents within documents, side by side': (422, lambda: gzip.compress(objects(
        '{"kinesis":{"data":"%s"}}' % EMPTY, 200000, '{"Records":[', ']}'))),
    'Firehose records of nothing': (400, lambda: gzip.compress(objects('{"data":""}', 1000000, '{"records":[', ']}'))),
    'Firehose objects': (422, lambda: gzip.compress(b'{"message":"x"}' * 1000000)),
    'lines of one letter': (422, lambda: gzip.compress(b'a\n' * 8000000)),
    'empty lines': (422, lambda: gzip.compress(b'a' + b'\n' * 16000000)),
    'a line of megabytes': (422, lambda: gzip.compress(b'2 ' + b'a' * 16000000)),
    'a line of words': (422, lambda: gzip.compress(b'2 ' * 8000000)),
    'a line of words that might be names': (422, lambda: gzip.compress(b'a ' * 8000000)),
    'a header of words': (400, lambda: gzip.compress(b'version account-id ' + b'no-such-field ' * 1000000)),
    'headers': (0, lambda: gzip.compress(b''.join(
        b'version account-id x%d y%d z%d\n' % (n, n, n) for n in range(300000)))),
}


@pytest.mark.parametrize('name', BOMBS)
def test_it_is_answered_in_time_and_memory(start, sink, tmp_path, name):
    code, make = BOMBS[name]
    payload = make()
    daemon = start_small(start, sink, tmp_path)
    assert len(payload) <= PAYLOAD
    with Client(daemon.address) as client, Client(daemon.address) as other:
        client.data(payload)
        assert other.ping() == 'PONG'
        reply = client.line(SECONDS)
        assert error_code(reply) == code, reply
        assert len(reply) < 400 and reply.isprintable()
        assert error_code(other.ask(b'no flow log')) == 422
    check_memory(daemon, DAEMON + 2 * PAYLOAD + INFLATED)
    assert len(daemon.stderr) < 20000


MANY_INTERFACES = '2 111122223333 eni-%017x 10.%d.%d.%d 198.51.100.7 443 50123 6 12 3456 1700000000 1700000059 ACCEPT OK'

RECORDS = {
    'short records': lambda: [LINE] * 150000,
    'records of IPv6': lambda: ['2 111122223333 eni-0a ::1 ::2 1 2 6 1 1 1700000000 1700000059 ACCEPT OK'] * 180000,
    'an interface each': lambda: [MANY_INTERFACES % (n, n >> 16 & 255, n >> 8 & 255, n & 255) for n in range(130000)],
}


@pytest.mark.parametrize('name', RECORDS)
def test_records_take_no_more_than_the_bound(start, sink, tmp_path, name):
    lines = RECORDS[name]()
    payload = gzip.compress(payloads.text(lines), 6)
    daemon = start_small(start, sink, tmp_path)
    with Client(daemon.address) as client:
        for _ in range(3):
            assert client.data(payload).line(SECONDS) == ok(len(lines))
    check_memory(daemon, DAEMON + 2 * PAYLOAD + 5 * INFLATED)


def test_many_at_a_time_take_no_more_than_a_few(start, sink, tmp_path):
    """Bombs wait compressed: one is opened at a time by each worker."""
    payload = gzip.compress(b' ' * (INFLATED - 100) + b'x')
    daemon = start_small(start, sink, tmp_path)
    clients = [Client(daemon.address) for _ in range(20)]
    for client in clients:
        for _ in range(10):
            client.data(payload)
    for client in clients:
        assert {error_code(client.line(SECONDS * 3)) for _ in range(10)} == {400}
        client.close()
    check_memory(daemon, DAEMON + 2 * PAYLOAD + INFLATED)


@pytest.mark.parametrize('line', (b'2 ' + b'a' * 100_000_000, b'a ' * 50_000_000, b'version ' * 12_500_000),
                         ids=('one word', 'words', 'names'))
def test_a_line_of_a_hundred_megabytes_is_rejected_and_not_copied(start, sink, tmp_path, line):
    daemon = start_small(start, sink, tmp_path, inflated=128 << 20)
    with Client(daemon.address) as client:
        reply = client.data(gzip.compress(line + b'\n' + LINE.encode(), 1)).line(SECONDS)
        if line.startswith(b'version'):  # a header, and no good one
            assert error_code(reply) == 400, reply
        else:
            assert reply == ok(1, 0, 1)
    check_memory(daemon, DAEMON + 2 * PAYLOAD + (128 << 20))
    assert len(daemon.stderr) < 5000


def test_a_sender_of_single_bytes_costs_no_more_than_what_it_sent(start, sink, tmp_path, generator):
    daemon = start_small(start, sink, tmp_path)
    lines = generator.mixed_lines(120)
    payload = payloads.simple_document(lines)
    with Client(daemon.address) as client:
        assert client.ping() == 'PONG'
        before = daemon.memory_kib()
        client.send(b'DATA %d\n' % len(payload))
        for n, byte in enumerate(payload[:-1]):
            client.sock.send(bytes((byte,)))
            if n % 8 == 0:
                time.sleep(0)  # so that many are read one by one
        if SLOW == 1:
            assert daemon.memory_kib() - before < 1 << 10
        assert client.send(payload[-1:]).line() == reply_to(lines)


def test_a_thousand_connections_with_a_byte_of_a_payload_each(start, sink, tmp_path):
    """What they hold is counted by max_payload; what the daemon holds for each of them, besides, is some kilobytes."""
    daemon = start_small(start, sink, tmp_path, max_connections=1000, max_connections_per_address=1000)
    clients = [Client(daemon.address) for _ in range(1000)]
    for _ in range(3):
        for client in clients:
            client.send(b'{' if _ == 0 else b' ')
    for client in clients[::100]:
        assert client.silent(0.01)
    time.sleep(0.5)
    check_memory(daemon, DAEMON + 1000 * (24 << 10))
    for client in clients:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        client.close()


def test_keeping_rejects_is_bounded_too(start, sink, tmp_path):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), {'max_payload': PAYLOAD, 'max_inflated': INFLATED},
                        {'workers': 1}, rejects={'directory': tmp_path / 'rejects', 'limit': '8M'})
    daemon = start(['-c', path])
    with Client(daemon.address) as client:
        for text in (b'a\n' * 7000000, b'\1\n' * 7000000, b'x' * 15000000):
            assert client.data(gzip.compress(LINE.encode() + b'\n' + text, 1)).line(SECONDS).startswith('OK exported=1 ')
    check_memory(daemon, DAEMON + 2 * PAYLOAD + INFLATED + 2 * (4 << 20))
    assert sum(path.stat().st_size for path in (tmp_path / 'rejects').iterdir()) <= 8 << 20
