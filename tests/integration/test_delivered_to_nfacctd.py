"""Records sent through every framing, read back from a real nfacctd (pmacct)."""
import pytest

import collectors
from daemon import udp
from flows import DEV, PROD
from scenario import Delivery, send_through_every_framing, start_two_vpcs
from wire import FRAMINGS


@pytest.fixture(scope='module')
def run(vpcflowd, tmp_path_factory):
    directory = tmp_path_factory.mktemp('nfacctd')
    with collectors.Nfacctd(directory / 'nfacctd') as nfacctd:
        daemon = start_two_vpcs(directory, {'nfacctd': udp(nfacctd.port)})
        try:
            sent = send_through_every_framing(daemon.address, 201)
            daemon.stop()
        finally:
            daemon.kill()
        nfacctd.finish()
        yield Delivery(sent, nfacctd.flows(), nfacctd.as_shown), nfacctd


@pytest.mark.parametrize('framing', FRAMINGS)
def test_every_record_sent_through(run, framing):
    run[0].check_framing(framing)


def test_nothing_but_the_records_sent(run):
    run[0].check_all()


def test_observation_domains_go_with_exporter_addresses(run):
    seen = {(row['peer_ip_src'], row['export_proto_sysid']) for row in run[1].rows()}
    assert seen == {(vpc.exporter_ip, vpc.domain) for vpc in (PROD, DEV)}
