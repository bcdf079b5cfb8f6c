"""Records sent through every framing to a collector with transport = file (RFC 5655), read back by libfixbuf's own
ipfixDump and by the tests' reader."""
import pytest

import collectors
import ipfix
from daemon import file
from flows import DEV, PROD
from scenario import Delivery, send_through_every_framing, start_two_vpcs
from wire import FRAMINGS


@pytest.fixture(scope='module')
def run(vpcflowd, tmp_path_factory):
    directory = tmp_path_factory.mktemp('file')
    path = directory / 'flows.ipfix'
    daemon = start_two_vpcs(directory, {'archive': file(path)})
    try:
        sent = send_through_every_framing(daemon.address, 401)
        daemon.stop()
    finally:
        daemon.kill()
    dump = collectors.IpfixDump(path)
    return Delivery(sent, dump.flows()), dump, path


@pytest.mark.parametrize('framing', FRAMINGS)
def test_every_record_sent_through(run, framing):
    run[0].check_framing(framing)


def test_nothing_but_the_records_sent(run):
    run[0].check_all()


def test_ipfix_dump_has_nothing_to_complain_of(run):
    assert run[1].complaints == ''


def test_the_file_is_whole_messages_in_sequence(run):
    reader = ipfix.Reader()
    reader.feed_file(run[2].read_bytes())
    reader.check_sequences()
    assert {domain for _, _, domain in reader.streams()} == {PROD.domain, DEV.domain}


def test_a_payload_answered_ok_is_in_the_file_already(vpcflowd, tmp_path):
    import flows
    import payloads
    from scenario import generator_for, reply_to
    from wire import Client
    path = tmp_path / 'flows.ipfix'
    lines = generator_for('answered').mixed_lines(200)
    daemon = start_two_vpcs(tmp_path, {'archive': file(path)})
    try:
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        daemon.kill()  # no chance to write anything more
        reader = ipfix.Reader()
        reader.feed_file(path.read_bytes())
        got = [f._replace(exporter=collectors.exporter_of_domain(m.domain)) for m in reader.messages for f in m.flows()]
        problem = collectors.difference(got, flows.expected(lines))
        assert not problem, problem
    finally:
        daemon.kill()
