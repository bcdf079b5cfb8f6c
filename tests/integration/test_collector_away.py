"""A UDP collector that is not there (its host says so by ICMP): payloads wait, and arrive whole when it comes."""
import collections
import gzip
import signal
import time

import collectors
import payloads
from daemon import udp, write_config
from flows import expected
from scenario import reply_to, two_vpcs
from wire import SLOW, Client


def test_records_wait_for_a_collector_that_comes_later(start, tmp_path, generator):
    port = collectors.free_udp_port()
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(port)}, two_vpcs())])
    lines = generator.mixed_lines(2000)
    with Client(daemon.address) as client:
        client.data(payloads.simple_document(lines))
        assert client.silent(1), 'answered, though nobody took the records'
        with collectors.UdpSink(port) as sink:
            assert client.line(20 * SLOW) == reply_to(lines)
            sink.wait_for(expected(lines))  # the reader fails on data before its template
            daemon.stop()


def test_records_sent_while_the_collector_restarts_arrive(start, tmp_path, generator):
    """The message that finds out too: the kernel takes it, and says only afterwards that nobody listened."""
    first, second = generator.mixed_lines(500), generator.mixed_lines(2000)
    with collectors.UdpSink() as before:
        port = before.port
        daemon = start(['-c', write_config(tmp_path, {'sink': udp(port)}, two_vpcs())])
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(first)) == reply_to(first)
        before.wait_for(expected(first))
    with Client(daemon.address) as client:
        client.data(payloads.simple_document(second))
        time.sleep(0.5)
        with collectors.UdpSink(port) as after:
            assert client.line(20 * SLOW) == reply_to(second)
            daemon.stop()
            after.finish()
            missing = collections.Counter(expected(second)) - after.counts()
            assert not missing, f'{missing.total()} records lost'


def test_what_lay_in_the_socket_of_a_collector_that_ended_is_sent_again(start, tmp_path, generator):
    """It had taken records that it never read: the daemon's next message is refused, and that is soon enough."""
    lines, more = generator.mixed_lines(500), generator.mixed_lines(10)
    with collectors.UdpSink() as gone:
        daemon = start(['-c', write_config(tmp_path, {'sink': udp(gone.port)}, two_vpcs())])
        gone.stopping = True  # it reads no more
        gone.thread.join()
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
            gone.abandon()
            client.data(payloads.simple_document(more))
            time.sleep(0.5)
            with collectors.UdpSink(gone.port) as after:
                assert client.line(20 * SLOW) == reply_to(more)
                after.wait_for(expected(lines + more))
                daemon.stop()
    assert 'is sent its last' in daemon.stderr


def test_a_second_signal_ends_a_daemon_that_waits_for_its_collector(start, tmp_path, generator):
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(collectors.free_udp_port())}, two_vpcs())])
    with Client(daemon.address) as client:
        client.data(payloads.simple_document(generator.mixed_lines(200)))
        assert client.silent(0.5)
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert daemon.process.poll() is None, 'gave up at the first signal'
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait() == 1


def test_payloads_that_wait_for_a_collector_wait_compressed(start, tmp_path):
    """400 payloads of 25 kB that come to 1.2 MB of IPFIX each: memory is bounded by what may wait, not by what they are."""
    daemon = start(['-c', write_config(tmp_path, {'sink': udp(collectors.free_udp_port())}, two_vpcs(),
                                       daemon={'workers': 2})])
    line = '2 111122223333 eni-0aaaabbbbccccdddd 10.0.0.5 198.51.100.7 443 50123 6 12 3456 1700000000 1700000059 ACCEPT OK'
    payload = gzip.compress(payloads.simple_document([line] * 20000))
    clients = [Client(daemon.address) for _ in range(8)]
    for _ in range(50):
        for client in clients:
            client.data(payload)
    with Client(daemon.address) as other:  # all of them were read, or the daemon stopped reading
        other.send(b'PING\n')
        time.sleep(2 * SLOW)
    if SLOW == 1:  # sanitizers keep freed memory
        with open(f'/proc/{daemon.pid}/status', encoding='ascii') as status:
            peak = int(status.read().split('VmHWM:')[1].split()[0])
        assert peak < 160 << 10, f'{peak} KiB'
    for client in clients:
        assert client.silent(0.01), 'answered, though nobody took the records'
        client.close()
    for _ in range(2):  # the second one gives up
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    assert daemon.wait() == 1
