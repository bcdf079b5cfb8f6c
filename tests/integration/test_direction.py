"""Directions that version 2 does not log, told from the interface's own address: right wherever they are told."""
import gzip
import ipaddress
import json
import random
import subprocess

import pytest

import collectors
import flows
import ipfix
import payloads
from daemon import run as run_daemon
from daemon import file, udp, write_config
from flows import DEV, PROD
from scenario import reply_to, start_two_vpcs, two_vpcs
from wire import SLOW, Client

FLOW_DIRECTION = 61
INGRESS, EGRESS = 0, 1


def deliver(start_directory, lists, collector_port, **keys):
    """Send payloads of lines, one after another, to a daemon of the test's own."""
    daemon = start_two_vpcs(start_directory, {'sink': udp(collector_port)}, vpc_more=keys)
    try:
        with Client(daemon.address) as client:
            for lines in lists:
                assert client.ask(gzip.compress(payloads.simple_document(lines))) == reply_to(lines)
        daemon.stop()
    finally:
        daemon.kill()


def told(record):
    """The direction that a flow record tells. The interface must stand on that side only, or on both if there is none."""
    direction = record.get(FLOW_DIRECTION)
    sides = {side for side, key in ((INGRESS, ipfix.INGRESS), (EGRESS, ipfix.EGRESS)) if key in record}
    assert sides == ({INGRESS, EGRESS} if direction is None else {direction})
    return direction


def truth_of(generator, lines):
    """Flow → its direction, by the addresses that the generator gave its interfaces."""
    own = {i.id: i.v4 for interfaces in generator.interfaces.values() for i in interfaces}
    truth = {}
    for record in flows.parse_text('\n'.join(lines)):
        (flow,) = flows.expected([' '.join(str(record.get(name, '-')) for name in flows.V2_FORMAT)])
        if '.' in record['srcaddr']:
            truth[flow] = EGRESS if record['srcaddr'] == own[record['interface-id']] else INGRESS
    return truth


def payloads_of(generator, count, seed):
    """One interface a payload, as CloudWatch sends them, and now and then all mixed up; all sizes."""
    rng = random.Random(seed)
    return [generator.mixed_lines(rng.randint(1, 200)) if rng.random() < 0.2 else
            generator.lines(generator.any_interface(), rng.randint(1, 200)) for _ in range(count)]


def records_of(sink):
    """(flow, record) for each flow record."""
    return [(ipfix.flow_of_record(r, m.exporter), r) for m in sink.reader().messages for r in m.flow_records]


@pytest.fixture
def delivered(vpcflowd, sink, tmp_path, generator):
    def send(lists, **keys):
        deliver(tmp_path, lists, sink.port, **keys)
        sink.finish()
        records = records_of(sink)
        problem = collectors.difference([flow for flow, _ in records], flows.expected(sum(lists, [])))
        assert not problem, problem
        return records
    return send


def test_never_wrong_and_seldom_silent(delivered, generator):
    lists = payloads_of(generator, 60, 1)
    truth = truth_of(generator, sum(lists, []))
    spoken = 0
    for flow, record in delivered(lists):
        direction = told(record)
        if direction is not None:
            assert direction == truth.get(flow), flow
            spoken += 1
    assert len(truth) > 2000
    assert spoken >= 0.98 * len(truth), f'{spoken} of {len(truth)}'


def test_one_peer_alone_is_no_certainty(delivered, generator):
    interface = generator.interfaces[PROD][0]
    line = f'2 {PROD.account} {interface.id} {{}} {{}} 443 {{}} 6 1 40 1700000000 1700000059 ACCEPT OK'
    lines = [line.format(*((interface.v4, '198.51.100.7') if n % 2 else ('198.51.100.7', interface.v4)), n)
             for n in range(1000, 1200)]
    assert {told(record) for _, record in delivered([lines[:100], lines[100:]])} == {None}


def test_infer_direction_no(delivered, generator):
    lists = payloads_of(generator, 10, 2)
    assert {told(record) for _, record in delivered(lists, infer_direction='no')} == {None}


def test_print_shows_what_was_logged_and_in_its_order(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(500)
    path = tmp_path / 'lines'
    path.write_bytes(payloads.text(lines))
    config = write_config(tmp_path, {'a': file(tmp_path / 'out')}, two_vpcs())
    result = run_daemon(['-c', config, '--read', path, '--print'])
    assert result.returncode == 0, result.stderr
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r['bytes'] for r in shown] == [r['bytes'] for r in flows.parse_text('\n'.join(lines))]
    assert not any('flow-direction' in r for r in shown)


def test_nfdump_shows_the_direction(vpcflowd, tmp_path, generator):
    lines = generator.lines(generator.interfaces[DEV][0], 400)
    own = generator.interfaces[DEV][0].v4
    with collectors.Nfcapd(tmp_path / 'nfcapd') as nfcapd:
        deliver(tmp_path, [lines], nfcapd.port)
        nfcapd.finish()
        out = ''.join(subprocess.run([collectors.need('nfdump'), '-r', str(path), '-q', '-N', '-6', '-o', 'fmt:%sa|%da|%dir'],
                                     check=True, capture_output=True, text=True, timeout=60 * SLOW).stdout
                      for path in nfcapd.files())
    rows = [[word.strip() for word in line.split('|')] for line in out.splitlines() if line.count('|') == 2]
    ipv4 = [row for row in rows if '.' in row[0]]
    assert len(ipv4) > 200
    for src, _, direction in ipv4:
        assert direction == ('E' if ipaddress.ip_address(src) == ipaddress.ip_address(own) else 'I')
