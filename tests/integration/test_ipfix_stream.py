"""The IPFIX stream itself, read by the tests' own reader: headers, sequence numbers, templates and their refresh, options
records, message sizes."""
import ipaddress
import math
import struct
import time
from collections import Counter

import pytest

import collectors
import flows
import ipfix
import payloads
from daemon import udp
from flows import DEV, PROD
from scenario import Delivery, reply_to, send_through_every_framing, start_two_vpcs
from wire import FRAMINGS, SLOW, Client

PEN = 32473


class Run:
    def __init__(self, delivery, sink, began, ended):
        self.delivery, self.sink, self.began, self.ended = delivery, sink, began, ended
        self.reader = sink.reader()
        self.streams = self.reader.streams()


@pytest.fixture(scope='module')
def run(vpcflowd, tmp_path_factory):
    directory = tmp_path_factory.mktemp('stream')
    with collectors.UdpSink() as sink:
        began = time.time()
        daemon = start_two_vpcs(directory, {'sink': udp(sink.port, template_refresh='1s')})
        try:
            sent = send_through_every_framing(daemon.address, 501)
            time.sleep(2.6)
            daemon.stop()
        finally:
            daemon.kill()
        sink.finish()
        yield Run(Delivery(sent, sink.flows()), sink, began, time.time())


@pytest.mark.parametrize('framing', FRAMINGS)
def test_every_record_sent_through(run, framing):
    run.delivery.check_framing(framing)


def test_nothing_but_the_records_sent(run):
    run.delivery.check_all()


def test_one_stream_for_each_vpc_from_its_own_address(run):
    """One source port each, too: a new port would be a new transport session, and its templates unknown."""
    assert sorted((exporter, domain) for exporter, _, domain in run.streams) == \
        [(vpc.exporter_ip, vpc.domain) for vpc in (PROD, DEV)]


def test_sequence_numbers_count_data_records(run):
    run.reader.check_sequences()


def test_export_times_are_the_time_of_sending(run):
    for (at, _, data) in run.sink.datagrams:
        export_time = struct.unpack_from('>I', data, 4)[0]
        assert math.floor(run.began) <= export_time <= math.ceil(run.ended)
        assert abs(at - export_time) < 2 * SLOW


def test_no_message_is_larger_than_message_size(run):
    assert max(m.length for m in run.reader.messages) <= 1400


def test_templates_and_options_come_first(run):
    """Reader.feed() fails on data before its template; this says that the stream does not begin with data either."""
    for messages in run.streams.values():
        assert messages[0].template_count > 0
        first_flows = next(i for i, m in enumerate(messages) if m.flow_records)
        before = [r for m in messages[:first_flows] for r in m.options_records]
        assert any(ipfix.VRF_NAME in r for r in before), 'the VPC is not named before its first flows'
        interfaces = {r.get(ipfix.INGRESS) for r in before if ipfix.INTERFACE_DESCRIPTION in r}
        used = {r.get(k) for r in messages[first_flows].flow_records for k in (ipfix.INGRESS, ipfix.EGRESS)} - {0, None}
        assert used and used <= interfaces, 'an interface is not named before its first flow'


def test_every_interface_is_named_before_its_flows(run):
    for messages in run.streams.values():
        known = set()
        for m in messages:
            for s in m.data_sets:
                for r in s.records:
                    if s.template.scopes:
                        if ipfix.INTERFACE_DESCRIPTION in r:
                            known.add(r[ipfix.INGRESS])
                    else:
                        assert {r.get(ipfix.INGRESS), r.get(ipfix.EGRESS)} - {None, 0} <= known


def test_interface_names_are_right(run):
    interface_of = {flow: r['interface-id'] for r in flows.parse_text('\n'.join(run.delivery.sent.lines()))
                    for flow in flows.expected([' '.join(map(str, _line(r)))])}
    for messages in run.streams.values():
        names = {r[ipfix.INGRESS]: r[ipfix.INTERFACE_DESCRIPTION] for m in messages for r in m.options_records
                 if ipfix.INTERFACE_DESCRIPTION in r}
        for m in messages:
            for r in m.flow_records:
                index = r.get(ipfix.INGRESS) or r.get(ipfix.EGRESS)
                assert 0 < index < 2**31
                assert names[index] == interface_of[ipfix.flow_of_record(r, m.exporter)]


def _line(record):
    return [record.get(name, '-') for name in flows.V2_FORMAT]


def test_actions_are_firewall_events_and_forwarding_states(run):
    action_of = {flow: r['action'] for r in flows.parse_text('\n'.join(run.delivery.sent.lines()))
                 for flow in flows.expected([' '.join(map(str, _line(r)))])}
    for m in run.reader.messages:
        for r in m.flow_records:
            action = action_of[ipfix.flow_of_record(r, m.exporter)]
            assert (r[ipfix.FIREWALL_EVENT], r[ipfix.FORWARDING_STATUS]) == {'ACCEPT': (1, 64), 'REJECT': (3, 128)}[action]
            assert r[ipfix.INGRESS_VRF] == m.domain


def test_templates_and_options_are_refreshed_though_nothing_comes_in(run):
    """template_refresh = 1s, and 2.6 s without a payload."""
    last_flow = max(at for (at, _, _), m in zip(run.sink.datagrams, run.reader.messages) if m.flow_records)
    for stream, messages in run.streams.items():
        later = [m for (at, _, _), m in zip(run.sink.datagrams, run.reader.messages)
                 if at > last_flow + 0.3 and (m.exporter, m.port, m.domain) == stream]
        templates = Counter(t.id for m in later for s in m.sets for t in s.templates)
        used = {s.id for m in messages for s in m.data_sets}
        assert used <= templates.keys()
        assert 2 <= min(templates.values()) and max(templates.values()) <= 4, templates
        names = Counter(r[ipfix.INTERFACE_DESCRIPTION] for m in later for r in m.options_records
                        if ipfix.INTERFACE_DESCRIPTION in r)
        everything = {r[ipfix.INTERFACE_DESCRIPTION] for m in messages for r in m.options_records
                      if ipfix.INTERFACE_DESCRIPTION in r}
        assert names.keys() == everything and min(names.values()) >= 2


def test_vpc_options_records(run):
    for (exporter, _, domain), messages in run.streams.items():
        name = {vpc.exporter_ip: vpc.name for vpc in (PROD, DEV)}[exporter]
        records = [r for m in messages for r in m.options_records]
        named = [r for r in records if ipfix.VRF_NAME in r]
        assert named
        for r in named:
            assert (r[ipfix.INGRESS_VRF], r[ipfix.VRF_NAME]) == (domain, name)
        addresses = {r[ipfix.EXPORTER4] for r in records if ipfix.EXPORTER4 in r}
        assert addresses == {exporter}
        assert {r[ipfix.DOMAIN_NAME] for r in records if ipfix.DOMAIN_NAME in r} == {name}


def test_statistics_options_records(run):
    """Totals of what was sent before; they never fall, and nothing is counted that was not sent."""
    for messages in run.streams.values():
        sent_messages = sent_octets = sent_records = 0
        last, seen = (0, 0, 0), 0
        for m in messages:
            for r in m.options_records:
                if ipfix.MESSAGES_EXPORTED in r:
                    now = r[ipfix.MESSAGES_EXPORTED], r[ipfix.OCTETS_EXPORTED], r[ipfix.FLOWS_EXPORTED]
                    assert all(a >= b for a, b in zip(now, last))
                    assert now[0] <= sent_messages and now[1] <= sent_octets and now[2] <= sent_records
                    last, seen = now, seen + 1
            sent_messages, sent_octets = sent_messages + 1, sent_octets + m.length
            sent_records += m.record_count
        assert seen >= 3
        # The last one was sent after all data: it has counted it.
        assert last[2] > sum(len(m.flow_records) for m in messages)


def test_private_elements_are_described(run):
    """RFC 5610: a type record for every private element that a template uses."""
    for messages in run.streams.values():
        used = {e.key for m in messages for s in m.sets for t in s.templates for e in t.elements if isinstance(e.key, tuple)}
        assert used and {pen for pen, _ in used} == {PEN}
        records = [r for m in messages for r in m.options_records if ipfix.IE_NAME in r]
        described = {(r[ipfix.IE_PEN], r[ipfix.IE_ID]) for r in records}
        assert used <= described
        assert all(r[ipfix.IE_NAME] and ipfix.IE_DATA_TYPE in r for r in records)


def test_options_templates_are_what_collectors_can_read(run):
    """IPFIX.md rules 3 and 4: fixed lengths, one options template to a Set."""
    for m in run.reader.messages:
        for s in m.sets:
            if s.id == ipfix.SET_OPTIONS_TEMPLATE:
                assert len(s.templates) == 1
                assert not s.templates[0].has_variable


def test_elements_have_the_lengths_of_the_mapping(run):
    lengths = {ipfix.SRC4: 4, ipfix.DST4: 4, ipfix.SRC6: 16, ipfix.DST6: 16, ipfix.SRC_PORT: 2, ipfix.DST_PORT: 2,
               ipfix.PROTOCOL: 1, ipfix.PACKETS: 8, ipfix.OCTETS: 8, ipfix.START_MS: 8, ipfix.END_MS: 8,
               ipfix.INGRESS: 4, ipfix.EGRESS: 4, ipfix.INGRESS_VRF: 4, ipfix.FIREWALL_EVENT: 1, ipfix.FORWARDING_STATUS: 1}
    templates = {t for m in run.reader.messages for s in m.sets for t in s.templates if not t.scopes}
    assert templates
    for t in templates:
        keys = {e.key: e.length for e in t.elements}
        assert all(keys[k] == lengths[k] for k in keys.keys() & lengths.keys()), t
        # No invented zeros: version 2 has no TCP flags, so no template has the element.
        assert not keys.keys() & {ipfix.TCP_FLAGS, 32, 139, 150, 151}, t
        assert len(keys) == len(t.elements), 'an element stands twice'


@pytest.fixture
def stream_of(start, sink, tmp_path):
    """stream_of(lines, **[daemon] keys) → the reader of all messages that one payload of these lines became."""
    def send(lines, collector=None, **daemon_keys):
        daemon = start_two_vpcs(tmp_path, {'sink': udp(sink.port, **(collector or {}))}, daemon=daemon_keys)
        try:
            with Client(daemon.address) as client:
                assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
            daemon.stop()
        finally:
            daemon.kill()
        sink.finish()
        reader = sink.reader()
        reader.check_sequences()
        problem = collectors.difference(sink.flows(), flows.expected(lines))
        assert not problem, problem
        return reader
    return send


@pytest.mark.parametrize('size', (512, 1400, 9000, 65000))
def test_messages_are_full_and_within_message_size(stream_of, generator, size):
    """A payload of one address family and one interface: for each direction as few messages as the size allows, one Set in
    each."""
    interface = generator.interfaces[PROD][0]
    lines = [line for line in generator.lines(interface, 4000) if ':' not in line][:2000]
    reader = stream_of(lines, message_size=size)
    assert max(m.length for m in reader.messages) <= size
    with_flows = [m for m in reader.messages if m.flow_records]
    assert all(len(m.data_sets) == 1 for m in with_flows)
    by_template = {}
    for m in with_flows:
        by_template.setdefault(m.data_sets[0].template, []).append(m)
    assert len(by_template) == 2
    for template, messages in by_template.items():
        count, record = sum(len(m.flow_records) for m in messages), sum(e.length for e in template.elements)
        assert len(messages) == math.ceil(count / ((size - 20) // record))


def test_records_of_both_families_share_messages_in_long_sets(stream_of, generator):
    """Each switch of templates begins a Set, so records are gathered by template."""
    lines = generator.mixed_lines(3000)
    reader = stream_of(lines)
    sets = [s for m in reader.messages for s in m.data_sets if not s.template.scopes]
    records = sum(len(s.records) for s in sets)
    assert records / len(sets) >= 8, f'{records} records in {len(sets)} sets'


def test_fields_full_puts_the_account_into_every_record(stream_of, generator):
    lines = generator.mixed_lines(100)
    reader = stream_of(lines, {'fields': 'full'})
    accounts = {vpc.exporter_ip: vpc.account.encode() for vpc in (PROD, DEV)}
    assert all(r[PEN, 2] == accounts[m.exporter] for m in reader.messages for r in m.flow_records)


def test_fields_standard_puts_the_account_into_the_interface_s_options_record(stream_of, generator):
    lines = generator.mixed_lines(100)
    reader = stream_of(lines)
    accounts = {vpc.exporter_ip: vpc.account.encode() for vpc in (PROD, DEV)}
    for m in reader.messages:
        assert not any((PEN, 2) in r for r in m.flow_records)
    found = {(m.exporter, r[PEN, 2].rstrip(b'\0')) for m in reader.messages for r in m.options_records if (PEN, 2) in r}
    assert found == set(accounts.items())


def test_another_enterprise_number(stream_of, generator):
    reader = stream_of(generator.mixed_lines(50), enterprise_number=4242)
    pens = {e.key[0] for m in reader.messages for s in m.sets for t in s.templates for e in t.elements
            if isinstance(e.key, tuple)}
    assert pens == {4242}


@pytest.mark.parametrize('number', (0, 65536, 6871, 29305))
def test_enterprise_numbers_that_collectors_confuse_are_refused(vpcflowd, tmp_path, number):
    from daemon import run as run_daemon, write_config
    from scenario import two_vpcs
    path = write_config(tmp_path, {'a': udp(4739)}, two_vpcs(), daemon={'enterprise_number': number})
    result = run_daemon(['-c', path, '-t'])
    assert result.returncode == 78 and 'enterprise_number' in result.stderr


def test_addresses_of_the_harness_are_loopback():
    """A reminder for whoever adds VPCs: any 127.x.y.z is a valid source address here, others are not."""
    assert all(ipaddress.ip_address(vpc.exporter_ip).is_loopback for vpc in (PROD, DEV))
