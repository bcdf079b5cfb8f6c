"""Records sent through every framing, decoded by tshark from a capture of the datagrams: no note, no malformed frame."""
import pytest

import collectors
from daemon import udp
from flows import DEV, PROD
from scenario import Delivery, send_through_every_framing, start_two_vpcs
from wire import FRAMINGS


@pytest.fixture(scope='module')
def run(vpcflowd, tmp_path_factory):
    directory = tmp_path_factory.mktemp('tshark')
    with collectors.UdpSink() as sink:
        daemon = start_two_vpcs(directory, {'sink': udp(sink.port)})
        try:
            sent = send_through_every_framing(daemon.address, 301)
            daemon.stop()
        finally:
            daemon.kill()
        sink.finish()
        collectors.write_pcap(directory / 'sink.pcap', sink.datagrams, sink.port)
        tshark = collectors.Tshark(directory / 'sink.pcap', sink.port)
        yield Delivery(sent, tshark.flows()), tshark


@pytest.mark.parametrize('framing', FRAMINGS)
def test_every_record_sent_through(run, framing):
    run[0].check_framing(framing)


def test_nothing_but_the_records_sent(run):
    run[0].check_all()


def test_tshark_has_nothing_to_say_against_any_frame(run):
    assert run[1].complaints() == ''


def test_tshark_shows_the_names_of_options_records(run):
    names = {r['cflow.if_descr'] for _, r in run[1].records() if 'cflow.if_descr' in r}
    used = {line.split()[2] for line in run[0].sent.lines() if line.endswith(' OK')}
    assert used <= names
    vrf = {r['cflow.vrfname'] for _, r in run[1].records() if 'cflow.vrfname' in r}
    assert vrf == {PROD.name, DEV.name}
