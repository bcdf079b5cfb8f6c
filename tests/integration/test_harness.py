"""The harness tested without the daemon: records encoded by a few lines of Python must come back from every collector as
the tuples that the independent parse gives. If one of these fails, look here before looking at the daemon."""
import ipaddress
import json
import random
import socket
import struct
import time

import pytest

import collectors
import flows
import ipfix
import payloads
from flows import DEV, PROD

COMMON = [(ipfix.SRC_PORT, 2), (ipfix.DST_PORT, 2), (ipfix.PROTOCOL, 1), (ipfix.PACKETS, 8), (ipfix.OCTETS, 8),
          (ipfix.START_MS, 8), (ipfix.END_MS, 8), (ipfix.INGRESS, 4), (ipfix.INGRESS_VRF, 4), (ipfix.TCP_FLAGS, 1)]
TEMPLATES = {4: (256, [(ipfix.SRC4, 4), (ipfix.DST4, 4)] + COMMON),
             6: (257, [(ipfix.SRC6, 16), (ipfix.DST6, 16)] + COMMON)}
INTERFACE_NAMES = (61440, [(ipfix.DOMAIN, 4), (ipfix.INGRESS, 4), (ipfix.INTERFACE_DESCRIPTION, 32)])
INTERFACE, FLAGS = 77, 18


def encode(flow, domain):
    src, dst = ipaddress.ip_address(flow.src), ipaddress.ip_address(flow.dst)
    return src.version, src.packed + dst.packed + struct.pack(
        '>HHBQQQQIIB', flow.sport, flow.dport, flow.proto, flow.packets, flow.bytes, flow.start_ms, flow.end_ms,
        INTERFACE, domain, FLAGS)


def messages_of(vpc, wanted):
    """Templates, an options record, then five records to a message, and one more options record in the middle."""
    sequence, out = 0, [ipfix.message(0, vpc.domain, *[ipfix.template_set(*t) for t in TEMPLATES.values()]),
                        ipfix.message(0, vpc.domain, ipfix.template_set(*INTERFACE_NAMES, scopes=1))]

    def send(count, *sets):
        nonlocal sequence
        out.append(ipfix.message(sequence, vpc.domain, *sets))
        sequence += count
    name = struct.pack('>II32s', vpc.domain, INTERFACE, b'eni-harness')
    send(1, ipfix.data_set(INTERFACE_NAMES[0], name))
    for at in range(0, len(wanted), 5):
        encoded = [encode(f, vpc.domain) for f in wanted[at:at + 5]]
        send(len(encoded), *[ipfix.data_set(TEMPLATES[v][0], *[r for w, r in encoded if w == v])
                             for v in (4, 6) if any(w == v for w, _ in encoded)])
        if at == 50:
            send(1, ipfix.data_set(INTERFACE_NAMES[0], name))
    return out


@pytest.fixture(scope='module')
def wanted():
    generator = flows.Generator(1)
    lines = generator.mixed_lines(600)
    return {vpc: [f._replace(flags=FLAGS) for f in flows.expected(lines) if f.exporter == vpc.exporter_ip]
            for vpc in (PROD, DEV)}


def send_all(port, wanted):
    for vpc, records in wanted.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((vpc.exporter_ip, 0))
            for message in messages_of(vpc, records):
                s.sendto(message, ('127.0.0.1', port))
                time.sleep(0.0005)


def all_of(wanted):
    return [f for records in wanted.values() for f in records]


def test_nfcapd_gives_back_what_it_was_sent(tmp_path, wanted):
    with collectors.Nfcapd(tmp_path, {'prod': PROD.exporter_ip, 'dev': DEV.exporter_ip}) as nfcapd:
        send_all(nfcapd.port, wanted)
        nfcapd.finish()
        for vpc, records in wanted.items():
            assert not collectors.difference(nfcapd.flows(vpc.name), map(nfcapd.as_shown, records))
            assert {row['inam'] for row in nfcapd.rows(vpc.name)} == {'eni-harness'}


def test_nfcapd_counts_one_failure_for_options_records_amid_data(tmp_path, wanted):
    with collectors.Nfcapd(tmp_path) as nfcapd:
        send_all(nfcapd.port, wanted)
        nfcapd.finish()
        assert nfcapd.exporters() == {PROD.exporter_ip: 1, DEV.exporter_ip: 1}
        assert nfcapd.sequence_failures() == 2


def test_nfacctd_gives_back_what_it_was_sent(tmp_path, wanted):
    with collectors.Nfacctd(tmp_path) as nfacctd:
        send_all(nfacctd.port, wanted)
        nfacctd.finish()
        assert not collectors.difference(nfacctd.flows(), all_of(wanted))


def test_tshark_and_the_reader_give_back_what_the_sink_got(tmp_path, sink, wanted):
    send_all(sink.port, wanted)
    sink.finish()
    reader = sink.reader()
    reader.check_sequences()
    assert not collectors.difference(reader.flows(), all_of(wanted))
    collectors.write_pcap(tmp_path / 'x.pcap', sink.datagrams, sink.port)
    tshark = collectors.Tshark(tmp_path / 'x.pcap', sink.port)
    assert tshark.complaints() == ''
    assert not collectors.difference(tshark.flows(), all_of(wanted))


def test_tshark_complains_of_data_before_its_template(tmp_path):
    late = ipfix.message(0, PROD.domain, ipfix.data_set(300, b'abc'))
    datagrams = [(1.7e9, (PROD.exporter_ip, 4000), m) for m in (messages_of(PROD, [])[0], late)]
    collectors.write_pcap(tmp_path / 'x.pcap', datagrams, 9999)
    assert collectors.Tshark(tmp_path / 'x.pcap', 9999).complaints() != ''


def test_ipfix_dump_gives_back_a_file(tmp_path, wanted):
    path = tmp_path / 'x.ipfix'
    path.write_bytes(b''.join(m for vpc, records in wanted.items() for m in messages_of(vpc, records)))
    assert not collectors.difference(collectors.IpfixDump(path).flows(), all_of(wanted))


def test_the_reader_finds_faults():
    good = messages_of(PROD, [])
    data = ipfix.message(0, PROD.domain, ipfix.data_set(256, b'\1' * 8))
    redefined = ipfix.message(0, PROD.domain, ipfix.template_set(256, COMMON))
    for messages, fault in (([data], 'before its template'), ([good[0], data], 'not padding'),
                            ([good[0], redefined], 'redefined'), ([good[0][:-1]], 'length')):
        reader = ipfix.Reader()
        with pytest.raises(ipfix.IpfixError, match=fault):
            for message in messages:
                reader.feed(message)
    gap = ipfix.Reader()
    gap.feed(good[0])
    gap.feed(ipfix.message(1, PROD.domain))
    with pytest.raises(AssertionError, match='sequence'):
        gap.check_sequences()


def test_the_reader_reads_variable_length_fields():
    reader = ipfix.Reader()
    reader.feed(ipfix.message(0, 1, ipfix.template_set(256, [(ipfix.VRF_NAME, ipfix.VARIABLE), (ipfix.PROTOCOL, 1)]),
                              ipfix.data_set(256, b'\3abc\6', b'\xff\1\0' + b'x' * 256 + b'\7', b'\0\0')))
    assert reader.messages[0].flow_records == [{236: 'abc', 4: 6}, {236: 'x' * 256, 4: 7}, {236: '', 4: 0}]


def test_difference_names_what_is_missing_and_what_is_too_much():
    text = collectors.difference(['a', 'b', 'b'], ['a', 'b', 'c'])
    assert 'missing 1' in text and 'c' in text and 'not expected 1' in text
    assert collectors.difference(['a', 'b'], ['b', 'a']) is None


def test_every_document_shape_is_the_same_json():
    lines = flows.Generator(3).mixed_lines(5)
    for shape in payloads.DOCUMENT_SHAPES:
        parsed = json.loads(payloads.document_text(shape, lines, group='/a/"b"\\c', seed=4))
        assert [e['message'] for e in parsed['logEvents']] == lines, shape
        assert parsed['logGroup'] == '/a/"b"\\c'


def test_json_writer_escapes_what_lies_outside_the_basic_plane():
    text = payloads.dumps('a🔑/"\n', random.Random(1), escape=1.0)
    assert json.loads(text) == 'a🔑/"\n' and '🔑' not in text


def test_the_generator_is_repeatable_and_covers_its_ground():
    first, second = (flows.Generator(9).mixed_lines(3000) for _ in range(2))
    assert first == second
    records = [flows.parse_line(line) for line in first]
    with_data = [r for r in records if r['log-status'] == 'OK']
    assert {r['log-status'] for r in records} == {'OK', 'NODATA', 'SKIPDATA'}
    assert {r['action'] for r in with_data} == {'ACCEPT', 'REJECT'}
    assert {1, 6, 17, 58} < {r['protocol'] for r in with_data}
    assert {0, 65535} < {r['srcport'] for r in with_data}
    assert max(r['bytes'] for r in with_data) == 2**63 - 1
    assert len({r['interface-id'] for r in records}) == 12
    assert len({flows.flow_of(r) for r in with_data}) == len(with_data)
