"""One reply line for each payload, in order, exact to the letter; and what is refused exports nothing."""
import gzip
import json
import zlib

import pytest

import payloads
from conftest import EXPORTER
from scenario import exported_as, reply_to
from wire import FRAMINGS, Client, Sender, error_code, lambda_2016, many_clients, ok


@pytest.fixture
def client(server):
    with Client(server.address) as c:
        yield c


def damaged_crc(data):
    packed = bytearray(gzip.compress(data))
    packed[-8] ^= 1
    return bytes(packed)


def damaged_length(data):
    packed = bytearray(gzip.compress(data))
    packed[-1] ^= 1
    return bytes(packed)


def damaged_middle(data):
    packed = bytearray(gzip.compress(data))
    packed[len(packed) // 2] ^= 0xff
    return bytes(packed)


def damaged_adler(data):
    packed = bytearray(zlib.compress(data))
    packed[-1] ^= 1
    return bytes(packed)


def second_member_damaged(data):
    return gzip.compress(data) + damaged_crc(data)


DAMAGE = {
    'gzip, CRC wrong': damaged_crc,
    'gzip, length wrong': damaged_length,
    'gzip, bytes changed': damaged_middle,
    'gzip, cut in half': lambda d: gzip.compress(d)[:len(gzip.compress(d)) // 2],
    'gzip, last byte missing': lambda d: gzip.compress(d)[:-1],
    'gzip, garbage behind': lambda d: gzip.compress(d) + b'garbage',
    'gzip, second member damaged': second_member_damaged,
    'gzip, header only': lambda d: gzip.compress(d)[:10],
    'zlib, Adler-32 wrong': damaged_adler,
    'zlib, cut off': lambda d: zlib.compress(d)[:-10],
    'base64, wrong digit': lambda d: payloads.ENCODINGS['base64 of gzip'](d)[:-9] + b'*' +
                                     payloads.ENCODINGS['base64 of gzip'](d)[-8:],
    'base64, cut off': lambda d: payloads.ENCODINGS['base64 of gzip'](d)[:-40],
    'base64 of damaged gzip': lambda d: payloads.base64.b64encode(damaged_crc(d)),
    'JSON, cut off': lambda d: d[:-1],
    'JSON, cut in half': lambda d: d[:len(d) // 2],
    'JSON, comma missing': lambda d: d.replace(b',"logStream"', b'"logStream"'),
    'JSON, garbage behind': lambda d: d + b'garbage',
    'JSON, wrong escape': lambda d: d.replace(b'/aws', rb'\x/aws'),
    'JSON, half a surrogate pair': lambda d: d.replace(b'/aws', rb'\ud83d/aws'),
    'JSON, control character in a string': lambda d: d.replace(b'/aws', b'\x01/aws'),
    'JSON, not UTF-8': lambda d: d.replace(b'/aws', b'\xff/aws'),
    'gzip of cut JSON': lambda d: gzip.compress(d[:-1]),
    'second document cut off': lambda d: d + d[:-1],
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_400_and_exports_nothing(server, client, generator, damage):
    lines, good = generator.mixed_lines(30), generator.mixed_lines(3)
    reply = client.ask(DAMAGE[damage](payloads.simple_document(lines)))
    assert error_code(reply) == 400, reply
    # The stream is intact, so the connection is; and behind the next payload nothing of the damaged one can come.
    assert client.ask(payloads.simple_document(good)) == reply_to(good)
    server.sink.wait_for(exported_as(EXPORTER, good))
    assert not set(exported_as(EXPORTER, lines)) & server.sink.counts().keys()


@pytest.mark.parametrize('digit', (0, 1, 4, 40))
def test_base64_damaged_where_it_begins_exports_nothing(server, client, generator, digit):
    """It may then be taken for text that is no flow log: refused as well, but as 422."""
    lines = generator.mixed_lines(30)
    payload = payloads.ENCODINGS['base64 of gzip'](payloads.simple_document(lines))
    assert error_code(client.ask(payload[:digit] + b'*' + payload[digit + 1:])) in (400, 422)
    assert client.ping() == 'PONG'
    assert not set(exported_as(EXPORTER, lines)) & server.sink.counts().keys()


CUT_OFF = {
    'half of a JSON document': lambda d: d[:-20],
    'half of a gzip stream': lambda d: gzip.compress(d)[:-20],
    'half of a DATA payload': lambda d: b'DATA %d\n' % (len(d) + 1) + d,
    'half of a DATA line': lambda d: b'DATA 12',
    'base64 of half a gzip stream': lambda d: payloads.base64.b64encode(gzip.compress(d)[:-20]),
}


@pytest.mark.parametrize('name', CUT_OFF)
def test_a_stream_that_ends_in_the_middle_is_400(server, client, generator, name):
    lines = generator.mixed_lines(20)
    reply = client.send(CUT_OFF[name](payloads.simple_document(lines))).finish().line()
    assert error_code(reply) == 400, reply
    assert client.closed()
    assert not set(exported_as(EXPORTER, lines)) & server.sink.counts().keys()


@pytest.mark.parametrize('start', (b'!what is this\n', b'DATA twelve\n', b'DATA -1\n', b'DATA \n', b'DATA 12 34\n',
                                   b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'))
def test_bytes_that_begin_no_message_are_400_and_close(client, start):
    reply = client.send(start).line()
    assert error_code(reply) == 400, reply
    assert client.closed()


@pytest.mark.parametrize('payload', (
    payloads.simple_document(['hello', 'this is no flow log at all']),
    payloads.simple_document(['2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 1 1700000000 1700000060 ACCEPT OK extra']),
    payloads.simple_document(['2 111122223333 eni-1 10.0.0.1 10.0.0.256 1 2 6 1 1 1700000000 1700000060 ACCEPT OK']),
    payloads.simple_document(['2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 65536 6 1 1 1700000000 1700000060 ACCEPT OK']),
    payloads.simple_document(['2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 1 1700000000 1700000060 MAYBE OK']),
    b'{"version":"1.100000","query_name":"example.com.","answers":[{"Rdata":"192.0.2.1","Type":"A"}]}',
    b'just one line of text, but no flow log\n',
), ids=('no flow log', 'too many fields', 'bad address', 'port over 65535', 'bad action', 'other JSON', 'other text'))
def test_a_payload_without_a_readable_record_is_422(client, generator, payload):
    reply = client.ask(payload)
    assert error_code(reply) == 422, reply
    good = generator.mixed_lines(2)
    assert client.ask(payloads.simple_document(good)) == reply_to(good)


def test_a_bad_line_costs_itself_only(server, client, generator):
    good = generator.mixed_lines(50)
    line = generator.line(generator.any_interface())
    bad = ['hello', '2 x', line + ' more', line.replace(' OK', ' FINE')]
    lines = good[:20] + bad[:2] + good[20:] + bad[2:]
    want = reply_to(good).replace('rejected=0', f'rejected={len(bad)}')
    assert client.ask(payloads.simple_document(lines)) == want
    server.sink.wait_for(exported_as(EXPORTER, good))
    assert 'rejected' in server.daemon.stderr


def test_nodata_and_skipdata_are_skipped(client, generator):
    lines = [generator.idle_line(generator.any_interface()) for _ in range(7)]
    assert client.ask(payloads.simple_document(lines)) == ok(0, 7)


def test_the_status_decides_even_where_a_line_without_data_has_values(client, generator):
    line = generator.line(generator.any_interface())
    lines = [line.removesuffix(' OK') + ' NODATA', line.removesuffix(' OK') + ' SKIPDATA', line]
    assert client.ask(payloads.simple_document(lines)) == ok(1, 2)


def test_a_control_message_is_acknowledged_and_exports_nothing(client):
    document = payloads.dumps(payloads.control_message()).encode()
    assert client.ask(document) == ok(0, 1)
    assert client.ask(gzip.compress(document)) == ok(0, 1)
    assert client.ask(payloads.lambda_event(document)) == ok(0, 1)


def test_a_control_message_between_documents(client, generator):
    lines = generator.mixed_lines(10, idle=0)
    docs = [payloads.simple_document(lines[:5]), payloads.dumps(payloads.control_message()).encode(),
            payloads.simple_document(lines[5:])]
    assert client.ask(payloads.kinesis_event(docs)) == ok(10, 1)


def test_ping(client):
    assert client.ping() == 'PONG'
    client.send(b'PING\r\n')
    assert client.line() == 'PONG'


def test_replies_come_in_the_order_of_the_payloads(server, client, generator):
    """Large, small, damaged and unreadable payloads in one write: many workers finish them in another order."""
    stream, want, everything = b'', [], []
    for n in range(60):
        lines = generator.mixed_lines((700, 1, 40)[n % 3])
        document = payloads.simple_document(lines)
        if n % 10 == 4:
            payload, reply = damaged_crc(document), 400
        elif n % 10 == 7:
            payload, reply = payloads.simple_document(['nothing']), 422
        else:
            payload, reply = (gzip.compress(document), document)[n % 2], reply_to(lines)
            everything += lines
        stream += b'DATA %d\n' % len(payload) + payload
        want.append(reply)
        if n % 20 == 10:
            stream += b'PING\n'
            want.append('PONG')
    client.send(stream)
    got = client.lines(len(want))
    assert [error_code(g) if isinstance(w, int) else g for w, g in zip(want, got)] == want
    server.sink.wait_for(exported_as(EXPORTER, everything))


def test_every_framing_on_one_connection_in_any_order(server, client, generator):
    kept = [f for f in FRAMINGS.values() if not f.closes]
    generator.rng.shuffle(kept)
    stream, want, everything = b'', [], []
    for framing in kept * 2:
        lines = generator.mixed_lines(5)
        everything += lines
        stream += framing.wrap(payloads.simple_document(lines))
        want.append(reply_to(lines))
    client.send(stream)
    assert client.lines(len(want)) == want
    server.sink.wait_for(exported_as(EXPORTER, everything))


def test_white_space_between_messages_means_nothing(client, generator):
    lines = generator.mixed_lines(2, idle=0)
    client.send(b'\n\r\n  \t').data(payloads.simple_document(lines)).send(b' \n\nPING\n')
    assert client.lines(2) == [ok(2), 'PONG']


def test_a_client_that_half_closes_gets_its_replies(server, generator):
    with Client(server.address) as client:
        wanted = []
        for n in range(20):
            lines = generator.mixed_lines(50)
            client.data(payloads.simple_document(lines))
            wanted.append(reply_to(lines))
        client.finish()
        assert client.lines(20) == wanted
        assert client.closed()


def test_a_client_that_never_reads_is_served(server, generator):
    everything = []
    with Client(server.address) as client:
        client.sock.setsockopt(6, 10, 1)  # TCP_WINDOW_CLAMP: its window for our replies is tiny
        for _ in range(200):
            lines = generator.mixed_lines(5)
            everything += lines
            client.data(payloads.simple_document(lines))
        client.finish()
        server.sink.wait_for(exported_as(EXPORTER, everything))


def test_the_2016_lambda_works_unchanged(server, generator):
    """Connect, write one bare JSON document, close at once, read nothing."""
    everything = []
    for _ in range(50):
        lines = generator.mixed_lines(40)
        everything += lines
        lambda_2016(server.address, payloads.simple_document(lines))
    server.sink.wait_for(exported_as(EXPORTER, everything))


def test_a_client_that_resets_after_its_payload_is_served(server, generator):
    lines = generator.mixed_lines(20)
    client = Client(server.address)
    client.data(payloads.simple_document(lines))
    assert client.line() == reply_to(lines)
    client.sock.setsockopt(1, 13, b'\1\0\0\0\0\0\0\0')  # SO_LINGER 0: close() resets
    client.close()
    server.sink.wait_for(exported_as(EXPORTER, lines))
    with Client(server.address) as another:
        assert another.ping() == 'PONG'


def test_200_connections_at_a_time(server, generator):
    everything = []
    with many_clients(server.address, 200) as clients:
        wanted = []
        for client in clients:
            lines = generator.mixed_lines(10)
            everything += lines
            wanted.append(reply_to(lines))
            client.data(gzip.compress(payloads.simple_document(lines)))
        assert [client.line() for client in clients] == wanted
        assert [client.ping() for client in clients] == ['PONG'] * 200
    server.sink.wait_for(exported_as(EXPORTER, everything))


def test_sequence_numbers_are_right_after_all_of_this(server, generator):
    lines = generator.mixed_lines(5)
    with Sender(server.address) as sender:
        assert sender.send('DATA, gzip', payloads.simple_document(lines)) == reply_to(lines)
    server.sink.wait_for(exported_as(EXPORTER, lines))
    server.sink.reader().check_sequences()


def test_an_error_reply_is_one_line_whatever_the_payload_says(client):
    document = payloads.document(['nothing'])
    document['logGroup'] = 'a\nOK exported=1 skipped=0 rejected=0 duplicate=0\nb'
    client.data(json.dumps(document).encode()).send(b'PING\n')
    assert error_code(client.line()) == 422
    assert client.line() == 'PONG'
