"""The pipeline of the 2016 article: a daemon that writes CSV for ftsq into a pipe, fed by that article's Lambda."""
import json
import os
import subprocess

import pytest

import flows
import payloads
from daemon import Daemon, write_config
from scenario import article_line, reply_to, two_vpcs
from wire import SLOW, Client, lambda_2016

EXPORT_AS_IP = '10.9.0.11'  # need not be this host's: nothing is sent


class Piped:
    """vpcflowd … | cat, and the lines that come out."""

    def __init__(self, args, directory):
        read_end, write_end = os.pipe()
        self.daemon = Daemon(args, directory, stdout=write_end)
        self.output = directory / 'cat.out'
        with open(self.output, 'wb') as out:
            self.cat = subprocess.Popen(['cat'], stdin=read_end, stdout=out)
        os.close(read_end)
        try:
            self.daemon.start()
        finally:
            os.close(write_end)

    def lines(self, count, seconds=10 * SLOW):
        from collectors import until
        until(lambda: self.output.read_bytes().count(b'\n') >= count, seconds, f'{count} lines')
        return self.output.read_text().splitlines()

    def stop(self):
        self.daemon.stop()
        assert self.cat.wait(10) == 0

    def kill(self):
        self.daemon.kill()
        self.cat.kill()
        self.cat.wait()


@pytest.fixture
def piped(vpcflowd, tmp_path):
    running = []

    def begin(args):
        running.append(Piped(args, tmp_path))
        return running[-1]
    yield begin
    for p in running:
        p.kill()


def test_listen_print_ftsq_fed_by_the_2016_lambda(piped, generator):
    pipe = piped(['--listen', '127.0.0.1:0', '--print=ftsq', '--exporter-ip', EXPORT_AS_IP])
    wanted = []
    for _ in range(20):
        lines = generator.mixed_lines(30)
        lambda_2016(pipe.daemon.address, payloads.simple_document(lines))
        wanted += [article_line(line, EXPORT_AS_IP) for line in lines if line.endswith(' OK')]
    assert sorted(pipe.lines(len(wanted))) == sorted(wanted)
    pipe.stop()


def test_lines_of_one_payload_stay_in_order_and_together(piped, generator):
    """More than a pipe holds, so that writes are cut."""
    pipe = piped(['--listen', '127.0.0.1:0', '--print=ftsq', '--exporter-ip', EXPORT_AS_IP])
    batches = [generator.mixed_lines(3000) for _ in range(3)]
    with Client(pipe.daemon.address) as client:
        for lines in batches:
            client.data(payloads.simple_document(lines))
        assert client.lines(3) == [reply_to(lines) for lines in batches]
    wanted = [[article_line(line, EXPORT_AS_IP) for line in lines if line.endswith(' OK')] for lines in batches]
    got = pipe.lines(sum(map(len, wanted)))
    for batch in wanted:
        at = got.index(batch[0])
        assert got[at:at + len(batch)] == batch
    pipe.stop()


def test_a_reader_that_waits_holds_the_daemon_up_but_loses_nothing(vpcflowd, tmp_path, generator):
    read_end, write_end = os.pipe()
    daemon = Daemon(['--listen', '127.0.0.1:0', '--print', '--exporter-ip', EXPORT_AS_IP], tmp_path, stdout=write_end)
    try:
        daemon.start()
        os.close(write_end)
        batches = [generator.mixed_lines(1000) for _ in range(10)]
        with Client(daemon.address) as client, Client(daemon.address) as other:
            for lines in batches:
                client.data(payloads.simple_document(lines))
            assert other.ping() == 'PONG'  # the pipe is full and nobody reads it: the daemon answers all the same
            out = b''
            want = sum(len(flows.parse_text('\n'.join(lines))) for lines in batches)
            with os.fdopen(read_end, 'rb') as pipe:
                while out.count(b'\n') < want:
                    out += pipe.read1(1 << 20)
                assert client.lines(10) == [reply_to(lines) for lines in batches]
                daemon.stop()
                assert pipe.read() == b''
        got = [json.dumps(json.loads(line), sort_keys=True) for line in out.splitlines()]
        records = [r for lines in batches for r in flows.parse_text('\n'.join(lines))]
        assert sorted(got) == sorted(json.dumps(r, sort_keys=True) for r in records)
    finally:
        daemon.kill()


def test_listen_print_writes_json_lines(piped, generator):
    pipe = piped(['--listen', '127.0.0.1:0', '--print'])
    lines = generator.mixed_lines(100)
    with Client(pipe.daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    records = flows.parse_text('\n'.join(lines))
    assert [json.loads(line) for line in pipe.lines(len(records))] == records
    pipe.stop()


def test_print_ftsq_with_a_configuration_names_each_vpc_s_exporter(piped, tmp_path, generator):
    path = write_config(tmp_path, {'unused': {'address': '127.0.0.1:4739'}}, two_vpcs())
    pipe = piped(['-c', path, '--print=ftsq'])
    lines = generator.mixed_lines(100)
    with Client(pipe.daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    exporters = {vpc.account: vpc.exporter_ip for vpc in (flows.PROD, flows.DEV)}
    wanted = [article_line(line, exporters[line.split()[1]]) for line in lines if line.endswith(' OK')]
    assert pipe.lines(len(wanted)) == wanted
    pipe.stop()


def test_the_daemon_ends_with_an_error_when_the_reader_of_its_pipe_is_gone(vpcflowd, tmp_path, generator):
    read_end, write_end = os.pipe()
    daemon = Daemon(['--listen', '127.0.0.1:0', '--print', '--exporter-ip', EXPORT_AS_IP], tmp_path, stdout=write_end)
    try:
        daemon.start()
        os.close(write_end)
        os.close(read_end)
        with Client(daemon.address) as client:
            reply = client.ask(payloads.simple_document(generator.mixed_lines(10)))
            assert reply is None or reply.startswith('ERR 5'), reply  # never OK: it is not safe
        assert daemon.wait() == 1
    finally:
        daemon.kill()
