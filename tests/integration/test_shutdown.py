"""SIGTERM and SIGINT: what was answered OK is delivered, payloads are all or nothing, and the exit code is 0."""
import signal
import time

import pytest

import collectors
import ipfix
import payloads
from daemon import check_sanitizers, file, udp, write_config
from flows import expected
from scenario import reply_to, two_vpcs
from wire import Client, error_code, many_clients


def ask_and_stop(daemon, generator, number, before_signal):
    """Several clients send payloads without waiting; the signal comes in the middle. Returns (payloads answered OK, all
    payloads) as lists of lines."""
    answered, everything = [], []
    with many_clients(daemon.address, 6) as clients:
        sent = {client: [] for client in clients}
        for n in range(12):
            for client in clients:
                lines = generator.mixed_lines(60 if n % 3 else 400)
                sent[client].append(lines)
                everything.append(lines)
        for client in clients:
            client.sock.settimeout(10)
            stream = b''.join(b'DATA %d\n' % len(p) + p for p in map(payloads.simple_document, sent[client]))
            client.send(stream)
        clients[0].line() if before_signal == 'first reply' else time.sleep(before_signal)
        if before_signal == 'first reply':
            answered.append(sent[clients[0]].pop(0))
        daemon.stop(number)
        for client in clients:
            for lines in sent[client]:
                reply = client.line()
                if reply is None:
                    break
                if reply.startswith('OK '):
                    assert reply == reply_to(lines)
                    answered.append(lines)
                else:
                    assert reply.startswith('ERR 5'), reply
    return answered, everything


def check_delivery(got, answered, everything):
    """All that was answered OK is there; nothing else but whole payloads, each record once."""
    counts = {}
    for flow in got:
        counts[flow] = counts.get(flow, 0) + 1
    assert answered
    for lines in answered:
        assert all(counts.get(f) == 1 for f in expected(lines)), 'answered OK, but not all there, or there twice'
    known = 0
    for lines in everything:
        wanted = expected(lines)
        there = sum(counts.get(f, 0) for f in wanted)
        assert there in (0, len(wanted)), f'{there} of a payload of {len(wanted)} records'
        known += there
    assert known == len(got)


@pytest.mark.parametrize('before_signal', ('first reply', 0.0, 0.05))
@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGINT), ids=lambda n: n.name)
def test_with_payloads_in_flight_to_udp(start, sink, tmp_path, generator, number, before_signal):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    answered, everything = ask_and_stop(daemon, generator, number, before_signal)
    sink.finish()
    sink.reader().check_sequences()
    if before_signal == 0.0 and not answered:
        return  # the signal won
    check_delivery(sink.flows(), answered, everything)


@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGINT), ids=lambda n: n.name)
def test_with_payloads_in_flight_to_a_file(start, tmp_path, generator, number):
    path = tmp_path / 'x.ipfix'
    daemon = start(['-c', write_config(tmp_path, {'archive': file(path)}, two_vpcs())])
    answered, everything = ask_and_stop(daemon, generator, number, 'first reply')
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    reader.check_sequences()
    got = [f._replace(exporter=collectors.exporter_of_domain(m.domain)) for m in reader.messages for f in m.flows()]
    check_delivery(got, answered, everything)


def test_at_rest(start, sink, tmp_path):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    began = time.monotonic()
    daemon.stop()
    assert time.monotonic() - began < collectors.STOP_SECONDS / 3


@pytest.mark.parametrize('begun', (b'', b'DATA 1000\nabc', b'{"messageType":', b'H4sI'))
def test_open_connections_do_not_hold_it_up(start, sink, tmp_path, begun):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    with many_clients(daemon.address, 5) as clients:
        for client in clients:
            assert client.ping() == 'PONG'
            client.send(begun)
        time.sleep(0.05)
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < collectors.STOP_SECONDS / 2
        for client in clients:
            while client.line() is not None:
                pass


def test_it_takes_no_new_connection_afterwards(start, sink, tmp_path):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())])
    daemon.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(daemon.address)


def test_a_second_signal_answers_payloads_and_what_repeats_them(start, tmp_path, generator):
    """Payloads that wait for the workers, or for a collector that is away, and repeats of them: all are told 503."""
    path = write_config(tmp_path, {'sink': udp(collectors.free_udp_port())}, two_vpcs(), {'duplicate_window': '1h'})
    daemon = start(['-c', path])
    documents = [payloads.simple_document(generator.mixed_lines(20)) for _ in range(20)]
    with Client(daemon.address) as client:
        for document in documents:
            client.data(document).data(document)
        time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait() == 1
        check_sanitizers(daemon.stderr)
        assert {error_code(reply) for reply in client.lines(2 * len(documents))} == {503}
