"""What real collectors make of the fields that version 2 does not have: version 5's all in nfcapd and nfacctd, Transit
Gateway records in nfcapd and ipfixDump, and a dozen random formats in tshark."""
import collections as counting
import socket
import subprocess
import time

import pytest

import collectors
import flows
import formats
import payloads
from daemon import Daemon, file, udp, vpc_keys, write_config
from flows import DEV, PROD
from wire import SLOW, Client, ok

V5 = flows.V2_FORMAT + ('vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type '
                        'sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path').split()
SERVICES = ('-', '-', 'AMAZON', 'S3', 'CLOUDFRONT')


def v5_line(generator, interface):
    """A version 2 line made one of version 5: NAT and AWS services at the far end, the interface's own metadata."""
    rng = generator.rng
    words = generator.line(interface).split()
    src, dst, proto = words[3], words[4], words[7]
    egress = src in (interface.v4, interface.v6)
    far = f'198.51.100.{rng.randrange(256)}' if ':' not in src else f'2001:db8:f::{rng.randrange(1, 9999):x}'
    nat = rng.random() < 0.4
    packet = (src, far) if egress else (far, dst)
    service = rng.choice(SERVICES)
    return ' '.join(['5'] + words[1:] + [
        f'vpc-{interface.vpc.name}', f'subnet-{interface.id[4:]}', f'i-{interface.id[4:]}',
        str(rng.choice((0, 1, 2, 3, 4, 18, 19, 255))) if proto == '6' else '0', 'IPv6' if ':' in src else 'IPv4',
        *(packet if nat else (src, dst)), 'eu-west-1', 'euw1-az1', '-', '-', *(('-', service) if egress else (service, '-')),
        *(('egress', str(rng.randrange(1, 9))) if egress else ('ingress', '-'))])


def send_v5(directory, collector_keys, seed, count=300):
    """Records of both VPCs in documents of one interface each: {exporter: [record]}."""
    generator = flows.Generator(seed)
    config = write_config(directory, collector_keys,
                          {vpc.name: vpc_keys(vpc, format=' '.join('${%s}' % name for name in V5)) for vpc in (PROD, DEV)})
    daemon = Daemon(['-c', config], directory).start()
    sent = counting.defaultdict(list)
    try:
        with Client(daemon.address) as client:
            for vpc in (PROD, DEV):
                for interface in generator.interfaces[vpc]:
                    lines = [v5_line(generator, interface) for _ in range(count // (2 * vpc.interfaces))]
                    document = payloads.simple_document(lines, group=vpc.log_group, stream=interface.stream)
                    assert client.ask(document) == ok(len(lines))
                    sent[vpc.exporter_ip] += [flows.parse_line(line, V5) for line in lines]
        daemon.stop()
    finally:
        daemon.kill()
    return sent


def nfdump(nfcapd, columns, name='.'):
    """A tuple of columns for each flow. IPv6 addresses are not shortened."""
    rows = []
    for path in nfcapd.files(name):
        out = subprocess.run([collectors.need('nfdump'), '-r', str(path), '-q', '-N', '-6', '-o',
                              'fmt:' + '|'.join('%' + c for c in columns)], env=collectors.UTC, check=True,
                             capture_output=True, timeout=60 * SLOW).stdout.decode()
        rows += [tuple(map(str.strip, line.split('|'))) for line in out.splitlines() if '|' in line]
    return rows


# --- version 5 ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def in_nfcapd(vpcflowd, tmp_path_factory):
    directory = tmp_path_factory.mktemp('nfcapd5')
    with collectors.Nfcapd(directory / 'nfcapd', {'prod': PROD.exporter_ip, 'dev': DEV.exporter_ip}) as nfcapd:
        sent = send_v5(directory, {'nfcapd': udp(nfcapd.port)}, 701)
        nfcapd.finish()
        yield sent, nfcapd


KEY = ('sa', 'da', 'sp', 'dp', 'pkt', 'byt')


def nfdump_key(r):
    return r['srcaddr'], r['dstaddr'], str(r['srcport']), str(r['dstport']), str(r['packets']), str(r['bytes'])


def shown_by_nfdump(in_nfcapd, vpc, columns, want, only=lambda r: True):
    """want(record) is the tuple that nfdump must print for it."""
    sent, nfcapd = in_nfcapd
    wanted = {nfdump_key(r): tuple(want(r)) for r in sent[vpc.exporter_ip]
              if r['protocol'] not in (flows.PROTO_ICMP, flows.PROTO_ICMP6) and only(r)}
    got = {row[:len(KEY)]: row[len(KEY):] for row in nfdump(nfcapd, KEY + columns, vpc.name)}
    assert len(wanted) > 50 and wanted.keys() <= got.keys()
    assert {key: got[key] for key in wanted} == wanted


@pytest.mark.parametrize('vpc', (PROD, DEV), ids=lambda vpc: vpc.name)
def test_nfcapd_shows_direction_and_the_interface_s_name_on_that_side(in_nfcapd, vpc):
    shown_by_nfdump(in_nfcapd, vpc, ('dir', 'inam', 'onam'), lambda r: {
        'ingress': ('I', r['interface-id'], ''), 'egress': ('E', '', r['interface-id'])}[r['flow-direction']])


@pytest.mark.parametrize('vpc', (PROD, DEV), ids=lambda vpc: vpc.name)
def test_nfcapd_shows_the_vpc_as_vrf(in_nfcapd, vpc):
    shown_by_nfdump(in_nfcapd, vpc, ('ivrf', 'ivrfnam'), lambda r: (str(vpc.domain), vpc.name))


@pytest.mark.parametrize('vpc', (PROD, DEV), ids=lambda vpc: vpc.name)
def test_nfcapd_shows_packet_addresses_as_nat_where_they_differ(in_nfcapd, vpc):
    """nfcapd 1.7.1 knows the IPv4 elements alone."""
    shown_by_nfdump(in_nfcapd, vpc, ('nsa', 'nda'), lambda r: [
        r['pkt-' + name] if r['pkt-' + name] != r[name] else '0.0.0.0' for name in ('srcaddr', 'dstaddr')],
        only=lambda r: r['type'] == 'IPv4')


@pytest.mark.parametrize('vpc', (PROD, DEV), ids=lambda vpc: vpc.name)
def test_nfcapd_shows_tcp_flags(in_nfcapd, vpc):
    sent, nfcapd = in_nfcapd
    wanted = {nfdump_key(r): r['tcp-flags'] for r in sent[vpc.exporter_ip] if r['protocol'] == flows.PROTO_TCP}
    got = {row[:-1]: nfcapd.flags(row[-1]) for row in nfdump(nfcapd, KEY + ('flg',), vpc.name)}
    assert {key: got[key] for key in wanted} == wanted and len(set(wanted.values())) > 5


PRIMITIVES = {'firewallEvent': (233, 1, 'u_int'), 'forwardingStatus': (89, 1, 'u_int'), 'flowDirection': (61, 1, 'u_int'),
              'awsType': ('32473:8', 'vlen', 'str'), 'awsPktSrcAwsService': ('32473:13', 'vlen', 'str'),
              'awsPktDstAwsService': ('32473:14', 'vlen', 'str'), 'awsTrafficPath': ('32473:15', 1, 'u_int'),
              'awsInstanceId': ('32473:7', 'vlen', 'str'), 'awsAccountId': ('32473:2', 'vlen', 'str')}
ELSEWHERE = '127.0.0.99'


@pytest.fixture(scope='module', params=('standard', 'full'))
def in_nfacctd(request, vpcflowd, tmp_path_factory):
    """nfacctd gets the datagrams from another address than they were sent from: through a relay, so to say."""
    directory = tmp_path_factory.mktemp('nfacctd5')
    with collectors.UdpSink() as sink:
        sent = send_v5(directory, {'sink': udp(sink.port, fields=request.param)}, 702)
        sink.finish()
    with collectors.Nfacctd(directory / 'nfacctd', primitives=PRIMITIVES) as nfacctd, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.bind((ELSEWHERE, 0))
        for _, _, datagram in sink.datagrams:
            relay.sendto(datagram, ('127.0.0.1', nfacctd.port))
            time.sleep(0.002)
        nfacctd.finish()
        yield sent, nfacctd.rows(), request.param


def nfacctd_key(r):
    return (r['srcaddr'], r['dstaddr'], r['srcport'], r['dstport'], r['protocol'], r['packets'], r['bytes'])


def rows_by_key(rows):
    return {(row['ip_src'], row['ip_dst'], row['port_src'], row['port_dst'], int(row['ip_proto']), row['packets'],
             row['bytes']): row for row in rows}


def test_nfacctd_shows_verdicts_and_the_private_elements_of_the_record(in_nfacctd):
    sent, rows, fields = in_nfacctd
    rows = rows_by_key(rows)
    for records in sent.values():
        for r in records:
            row = rows[nfacctd_key(r)]
            verdict = formats.ACTIONS[r['action']]
            assert (row['firewallevent'], row['forwardingstatus']) == tuple(map(str, verdict))
            assert row['flowdirection'] == str(formats.DIRECTIONS[r['flow-direction']])
            assert row['awstype'] == r['type']
            assert row['awspktsrcawsservice'] == r.get('pkt-src-aws-service', '')
            assert row['awspktdstawsservice'] == r.get('pkt-dst-aws-service', '')
            assert row['awstrafficpath'] == str(r.get('traffic-path', 0))
            in_record = fields == 'full'
            assert row['awsinstanceid'] == (r['instance-id'] if in_record else '')
            assert row['awsaccountid'] == (r['account-id'] if in_record else '')


def test_nfacctd_takes_the_exporter_s_address_from_the_options_record(in_nfacctd):
    sent, rows, _ = in_nfacctd
    rows = rows_by_key(rows)
    for exporter, records in sent.items():
        assert {rows[nfacctd_key(r)]['peer_ip_src'] for r in records} == {exporter} != {ELSEWHERE}


# --- Transit Gateway ------------------------------------------------------------------------------------------------

TGW = ('version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id '
       'tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id '
       'tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status '
       'type packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags '
       'region flow-direction pkt-src-aws-service pkt-dst-aws-service').split()
ATTACHMENTS = ('tgw-attach-0aaaaaaaaaaaaaaa1', 'tgw-attach-0bbbbbbbbbbbbbbb2')


def tgw_line(n, status='OK'):
    attachment, pair = ATTACHMENTS[n % 2], ATTACHMENTS[1 - n % 2]
    return (f'6 TransitGateway 111122223333 tgw-0123456789abcdef0 {attachment} 111122223333 444455556666 vpc-a vpc-b subnet-a '
            f'subnet-b eni-a{n} eni-b{n} use1-az1 use1-az2 {pair} 10.1.0.{n} 10.2.0.{n} {1000 + n} 443 6 {n + 1} '
            f'{100 * n + 40} 1700000000 1700000060 {status} IPv4 {n} {2 * n} {2**64 - 1 - n} 0 19 us-east-1 '
            f'{"ingress" if n % 2 else "egress"} - -')


def test_transit_gateway_records_go_under_the_attachment_as_interface(vpcflowd, tmp_path):
    archive = tmp_path / 'tgw.ipfix'
    lines = [tgw_line(n) for n in range(60)] + [tgw_line(61, 'NODATA'), tgw_line(62, 'SKIPDATA')]
    with collectors.Nfcapd(tmp_path / 'nfcapd') as nfcapd:
        config = write_config(tmp_path, {'nfcapd': udp(nfcapd.port), 'archive': file(archive)},
                              {'prod': vpc_keys(PROD, format=' '.join('${%s}' % name for name in TGW))})
        daemon = Daemon(['-c', config], tmp_path).start()
        try:
            with Client(daemon.address) as client:
                assert client.ask(payloads.simple_document(lines)) == ok(60, 2)
            daemon.stop()
        finally:
            daemon.kill()
        nfcapd.finish()
    rows = nfdump(nfcapd, ('sa', 'dir', 'inam', 'onam', 'flg'))
    assert sorted(rows) == sorted(
        (f'10.1.0.{n}', 'I', ATTACHMENTS[1], '', '...A..SF') if n % 2 else (f'10.1.0.{n}', 'E', '', ATTACHMENTS[0], '...A..SF')
        for n in range(60))
    dump = collectors.IpfixDump(archive)
    records = {r['sourceIPv4Address']: r for _, scope, r in dump.records() if not scope}
    assert len(records) == 60
    for n in range(60):
        r = records[f'10.1.0.{n}']
        assert [int(r['awsPacketsLost' + why]) for why in ('NoRoute', 'Blackhole', 'MtuExceeded', 'TtlExpired')] == \
            [n, 2 * n, 2**64 - 1 - n, 0]
        assert (r['awsTgwSrcEni'], r['awsTgwPairAttachmentId']) == (f'eni-a{n}', ATTACHMENTS[1 - n % 2])
    details = {r['ingressInterface']: r for _, scope, r in dump.records() if scope and 'awsTgwId' in r}
    assert {r['awsTgwAttachmentId'] for r in details.values()} == set(ATTACHMENTS)
    assert all((r['awsResourceType'], r['awsTgwId']) == ('TransitGateway', 'tgw-0123456789abcdef0') for r in details.values())


def test_a_regional_nat_gateway_s_records_go_under_its_resource_id(vpcflowd, tmp_path):
    names = 'resource-id interface-id srcaddr dstaddr packets bytes start end log-status vpc-id flow-direction'
    lines = [f'nat-0123456789abcdef{n % 2} - 10.0.0.{n} 192.0.2.1 1 40 1700000000 1700000060 OK vpc-1 ingress' for n in range(20)]
    with collectors.Nfcapd(tmp_path / 'nfcapd') as nfcapd:
        config = write_config(tmp_path, {'nfcapd': udp(nfcapd.port)}, {'default': {'exporter_ip': PROD.exporter_ip,
                                                                                  'format': names}})
        daemon = Daemon(['-c', config], tmp_path).start()
        try:
            with Client(daemon.address) as client:
                assert client.ask(payloads.simple_document(lines)) == ok(20)
            daemon.stop()
        finally:
            daemon.kill()
        nfcapd.finish()
    assert sorted(nfdump(nfcapd, ('sa', 'inam', 'onam'))) == sorted((f'10.0.0.{n}', f'nat-0123456789abcdef{n % 2}', '')
                                                                  for n in range(20))


# --- random formats -------------------------------------------------------------------------------------------------

def test_tshark_decodes_a_dozen_random_formats(vpcflowd, tmp_path):
    """tshark 4.0 takes templates of 60 elements unless it is told otherwise. No flow log of AWS's has more, since fields of
    VPCs and of transit gateways do not mix; here they do."""
    walk = formats.random_formats(703, 12, long_texts=False)
    with collectors.UdpSink() as full, collectors.UdpSink() as standard:
        config = write_config(tmp_path, {'full': udp(full.port, fields='full'), 'standard': udp(standard.port)},
                              {f'f{n}': {'log_group': f'/random/{n}', 'format': f.text(True), 'exporter_ip': f'127.0.8.{n + 1}'}
                               for n, f in enumerate(walk)})
        daemon = Daemon(['-c', config], tmp_path).start()
        count = 0
        try:
            with Client(daemon.address) as client:
                for n, f in enumerate(walk):
                    records = f.records(20, 1300)
                    document = payloads.document([], f'/random/{n}')
                    document['logEvents'] = [{'id': payloads.unique_id(), 'timestamp': 0, 'message': formats.line(r, f.names)}
                                             for r in records]
                    assert client.ask(payloads.dumps(document).encode()) == ok(len(records))
                    count += len(records)
            daemon.stop()
        finally:
            daemon.kill()
        for name, sink in (('full', full), ('standard', standard)):
            sink.finish()
            capture = tmp_path / f'{name}.pcap'
            collectors.write_pcap(capture, sink.datagrams, sink.port)
            tshark = collectors.Tshark(capture, sink.port)
            tshark.base += ['-o', 'cflow.max_template_fields:100']
            assert tshark.complaints() == ''
            reader = sink.reader()
            flow_records = sum(len(m.flow_records) for m in reader.messages)
            assert flow_records == count
            everything = flow_records + sum(len(m.options_records) for m in reader.messages)
            assert sum(1 for _ in tshark.records()) == everything
