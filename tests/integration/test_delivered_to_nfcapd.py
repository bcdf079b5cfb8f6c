"""Records sent through every framing, read back from a real nfcapd: each VPC under its own exporter address, with the
names of its interfaces and itself."""
import pytest

import collectors
import flows
import payloads
from daemon import udp
from flows import DEV, PROD
from scenario import Delivery, reply_to, send_through_every_framing, start_two_vpcs
from wire import FRAMINGS, Client


@pytest.fixture(scope='module')
def run(vpcflowd, tmp_path_factory):
    directory = tmp_path_factory.mktemp('nfcapd')
    with collectors.Nfcapd(directory / 'nfcapd', {'prod': PROD.exporter_ip, 'dev': DEV.exporter_ip}) as nfcapd:
        daemon = start_two_vpcs(directory, {'nfcapd': udp(nfcapd.port)})
        try:
            sent = send_through_every_framing(daemon.address, 101)
            daemon.stop()
        finally:
            daemon.kill()
        nfcapd.finish()
        yield Delivery(sent, nfcapd.flows('prod') + nfcapd.flows('dev'), nfcapd.as_shown), nfcapd


@pytest.mark.parametrize('framing', FRAMINGS)
def test_every_record_sent_through(run, framing):
    run[0].check_framing(framing)


def test_nothing_but_the_records_sent(run):
    run[0].check_all()


@pytest.mark.parametrize('vpc', (PROD, DEV), ids=lambda vpc: vpc.name)
def test_each_vpc_has_its_own_exporter_address(run, vpc):
    delivery, nfcapd = run
    wanted = [f for f in delivery.wanted(delivery.sent.lines()) if f.exporter == vpc.exporter_ip]
    problem = collectors.difference(nfcapd.flows(vpc.name), wanted)
    assert not problem, problem


@pytest.mark.parametrize('vpc', (PROD, DEV), ids=lambda vpc: vpc.name)
def test_interface_and_vpc_names_show(run, vpc):
    delivery, nfcapd = run
    interface_of = {nfcapd.as_shown(flows.flow_of(r, vpc.exporter_ip)): r['interface-id']
                    for r in flows.parse_text('\n'.join(delivery.sent.lines())) if r['account-id'] == vpc.account}
    rows = nfcapd.rows(vpc.name)
    assert rows
    for row in rows:
        interface = interface_of[nfcapd.flow_of_row(row)]
        sides = {row[name] for number, name in (('in', 'inam'), ('out', 'onam')) if row[number] != '0'}
        assert sides == {interface}, row
        assert (row['ivrf'], row['ivrfnam']) == (str(vpc.domain), vpc.name), row


def allowed_failures(reader):
    """nfcapd 1.7.1 compares each message's sequence number with what it expects, but counts only flow records, while RFC
    7011 counts options data records as well. So each message with options records that follows the stream's first flow
    record makes the next message look like a gap, once: nfcapd then takes that message's number as the new beginning.
    What comes before the first flow record costs nothing."""
    result = {}
    for (exporter, _, _), messages in reader.streams().items():
        failures, begun = 0, False
        for message in messages[:-1]:
            failures += begun and bool(message.options_records)
            begun = begun or bool(message.flow_records)
        result[exporter] = failures
    return result


def test_no_sequence_failures_but_those_of_options_records(vpcflowd, tmp_path):
    """The sink is a second collector of the same VPCs: it gets the same messages as nfcapd and tells what to expect. The
    first payloads hold one interface each, so that its options record comes amid the data of others."""
    generator = flows.Generator(112)
    with collectors.Nfcapd(tmp_path / 'nfcapd') as nfcapd, collectors.UdpSink() as sink:
        daemon = start_two_vpcs(tmp_path, {'nfcapd': udp(nfcapd.port, template_refresh='1h'),
                                           'sink': udp(sink.port, template_refresh='1h')})
        try:
            with Client(daemon.address) as client:
                alone = [generator.lines(i, 10) for vpc in (PROD, DEV) for i in generator.interfaces[vpc]]
                for lines in alone:
                    assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
            sent = send_through_every_framing(daemon.address, 102)
            daemon.stop()
        finally:
            daemon.kill()
        nfcapd.finish()
        sink.finish()
        allowed = allowed_failures(sink.reader())
        assert min(allowed.values()) > 0, 'no options record amid data: this run shows nothing'
        failures = nfcapd.exporters()
        assert failures.keys() == {PROD.exporter_ip, DEV.exporter_ip}
        assert all(failures[exporter] <= allowed[exporter] for exporter in failures), (failures, allowed)
        assert nfcapd.sequence_failures() <= sum(allowed.values())
        # The allowance is no licence: interfaces are named when they first turn up, and not again and again.
        assert sum(allowed.values()) <= 4 * (PROD.interfaces + DEV.interfaces), allowed
        sent.bulk.extend(line for lines in alone for line in lines)
        Delivery(sent, nfcapd.flows(), nfcapd.as_shown).check_all()


def test_exporters_that_nfcapd_was_not_told_of_get_directories_of_their_own(vpcflowd, tmp_path):
    with collectors.Nfcapd(tmp_path / 'nfcapd', dynamic=True) as nfcapd:
        daemon = start_two_vpcs(tmp_path, {'nfcapd': udp(nfcapd.port)})
        try:
            sent = send_through_every_framing(daemon.address, 103)
            daemon.stop()
        finally:
            daemon.kill()
        nfcapd.finish()
        for vpc in (PROD, DEV):
            wanted = [nfcapd.as_shown(f) for f in flows.expected(sent.lines()) if f.exporter == vpc.exporter_ip]
            problem = collectors.difference(nfcapd.flows(vpc.exporter_ip.replace('.', '-')), wanted)
            assert not problem, problem


def test_a_large_payload_does_not_overrun_nfcapd_s_own_socket_buffer(vpcflowd, tmp_path):
    """Sends are paced: 10,000 records at once, and nfcapd as it comes, without -B. Its buffer holds some 90 messages, so
    the burst is set low enough for a machine on which nfcapd has to wait for its turn."""
    lines = flows.Generator(104, [PROD]).mixed_lines(10000)
    with collectors.Nfcapd(tmp_path / 'nfcapd', large_buffer=False) as nfcapd:
        daemon = start_two_vpcs(tmp_path, {'nfcapd': udp(nfcapd.port, burst=8)})
        try:
            with Client(daemon.address) as client:
                assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
            daemon.stop()
        finally:
            daemon.kill()
        nfcapd.finish()
        problem = collectors.difference(nfcapd.flows(), map(nfcapd.as_shown, flows.expected(lines)))
        assert not problem, problem
