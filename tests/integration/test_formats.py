"""Flow-log formats: several at once, header lines, unknown fields, too many values, and values at their edges; by --print and
read back from an IPFIX file."""
import ipaddress
import json
import random
import re

import pytest

import fields
import flows
import ipfix
import payloads
from daemon import file, run, write_config
from wire import Client, ok

COUNTS = re.compile(r'exported=(\d+) skipped=(\d+) rejected=(\d+)\n\Z')


def printed(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def print_text(text, *args):
    return printed(run(['--print', *args, '--read', '-'], stdin=text.encode()))


def exported(tmp_path, text, names, *args):
    """The same text by way of an IPFIX file, every field in every record."""
    path = tmp_path / 'flows.ipfix'
    config = write_config(tmp_path, {'out': file(path, fields='full')}, {'default': {'format': ' '.join(names)}})
    result = run(['-c', config, '--read', '-', *args], stdin=text.encode())
    assert result.returncode == 0, result.stderr
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    return [fields.of_ipfix(r, names) for m in reader.messages for r in m.flow_records]


def multiset(records):
    return sorted(json.dumps(r, sort_keys=True) for r in records)


def both_ways(tmp_path, text, names=flows.V2_FORMAT):
    """What --print says, which must be what the IPFIX file says."""
    records = print_text(text, '--format', ' '.join(names))
    assert multiset(exported(tmp_path, text, names)) == multiset(fields.without_equal_packet_addresses(records))
    return records


# --- several formats at once ---

FORMATS = {
    'prod': ('/aws/vpc/prod-1', 'version vpc-id subnet-id interface-id account-id type srcaddr dstaddr srcport dstport '
             'pkt-srcaddr pkt-dstaddr protocol bytes packets start end action tcp-flags log-status'),
    'dev': ('/aws/vpc/dev', ' '.join(flows.V2_FORMAT)),
    'transit': ('/aws/tgw/eu', 'log-status version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-id srcaddr '
                'dstaddr srcport dstport protocol packets bytes start end packets-lost-blackhole flow-direction'),
    'default': ('elsewhere', 'instance-tag srcaddr dstaddr not-invented-yet encryption-status next-hop-interface-id bytes'),
}
PATTERNS = {'prod': '/aws/vpc/prod*', 'dev': '/aws/vpc/dev', 'transit': '/aws/tgw/*'}


def any_value(rng, name, v6):
    kind = fields.TABLE[name].kind if name in fields.TABLE else 'STR'
    if name != 'log-status' and rng.random() < 0.1 and name not in ('srcaddr', 'dstaddr'):
        return '-'
    if kind == 'ADDR':
        return str(ipaddress.IPv6Address(rng.getrandbits(128)) if v6 else ipaddress.IPv4Address(rng.getrandbits(32)))
    if kind in ('U8', 'U16', 'U64', 'TIME'):
        return str(rng.getrandbits({'U8': 8, 'U16': 16, 'U64': 64, 'TIME': 31}[kind]))
    words = {'ACTION': ('ACCEPT', 'REJECT'), 'STATUS': ('OK', 'OK', 'OK', 'NODATA'), 'DIRECTION': ('ingress', 'egress')}
    return rng.choice(words.get(kind, ('a', 'eni-%08x' % rng.getrandbits(32), 'arn:aws:ecs:x:1:y/z')))


def any_lines(rng, names, count):
    return [' '.join(any_value(rng, name, v6) for name in names)
            for v6 in (rng.random() < 0.4 for _ in range(count))]


@pytest.fixture(scope='module')
def mixed():
    """Payloads of all four log groups in turn, as (vpc, lines)."""
    rng = random.Random(3)
    return [(vpc, any_lines(rng, FORMATS[vpc][1].split(), rng.randrange(1, 30)))
            for _ in range(12) for vpc in rng.sample(sorted(FORMATS), len(FORMATS))]


def send_mixed(address, mixed):
    """By two connections, several payloads in flight on each; the last payloads hold two log groups each."""
    split = [mixed[0:20], mixed[20:40]]
    with Client(address) as one, Client(address) as other:
        for client, part in zip((one, other), split):
            for vpc, lines in part:
                client.data(payloads.simple_document(lines, group=FORMATS[vpc][0]))
        replies = [client.line() for client, part in zip((one, other), split) for _ in part]
        for (a, a_lines), (b, b_lines) in zip(mixed[40::2], mixed[41::2]):
            replies.append(one.ask(payloads.simple_document(a_lines, group=FORMATS[a][0]) +
                                   payloads.simple_document(b_lines, group=FORMATS[b][0])))
    assert all(reply.startswith('OK ') and ' rejected=0 ' in reply for reply in replies), replies


def wanted(mixed, vpc):
    names = FORMATS[vpc][1].split()
    records = [flows.parse_line(line, names) for which, lines in mixed if which == vpc for line in lines]
    return [{k: v for k, v in r.items() if k in fields.TABLE} for r in records if r.get('log-status') != 'NODATA']


def sections():
    return {vpc: {'format': FORMATS[vpc][1], 'exporter_ip': f'127.0.0.{n}', 'observation_domain': n,
                  **({'log_group': PATTERNS[vpc]} if vpc in PATTERNS else {})}
            for n, vpc in enumerate(FORMATS, 1)}


def test_each_log_group_is_read_by_its_own_format_and_printed(start, tmp_path, mixed):
    config = write_config(tmp_path, {'out': file(tmp_path / 'out.ipfix')}, sections())
    out = tmp_path / 'out.json'
    with open(out, 'wb') as stdout:
        daemon = start(['-c', config, '--print'], stdout)
        send_mixed(daemon.address, mixed)
        daemon.stop()
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert multiset(records) == multiset([r for vpc in FORMATS for r in wanted(mixed, vpc)])


def test_each_log_group_is_read_by_its_own_format_and_exported(start, tmp_path, mixed):
    path = tmp_path / 'out.ipfix'
    daemon = start(['-c', write_config(tmp_path, {'out': file(path, fields='full')}, sections())])
    send_mixed(daemon.address, mixed)
    daemon.stop()
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    for domain, vpc in enumerate(FORMATS, 1):
        names = FORMATS[vpc][1].split()
        records = [fields.of_ipfix(r, names) for m in reader.messages if m.domain == domain for r in m.flow_records]
        assert multiset(records) == multiset(fields.without_equal_packet_addresses(wanted(mixed, vpc))), vpc


def test_text_without_a_log_group_is_read_by_the_default_or_by_its_header(start, tmp_path):
    path = tmp_path / 'out.json'
    config = write_config(tmp_path, {'out': file(tmp_path / 'out.ipfix')}, sections())
    with open(path, 'wb') as stdout:
        daemon = start(['-c', config, '--print'], stdout)
        with Client(daemon.address) as client:
            assert client.ask(b'web 10.0.0.1 10.0.0.2 x 1 eni-1 77\n') == ok(1)
            assert client.ask(b'bytes srcaddr dstaddr\n78 10.0.0.1 10.0.0.2\n'
                              b'srcaddr bytes dstaddr\n10.0.0.1 79 10.0.0.2\n') == ok(2)
        daemon.stop()
    assert [json.loads(line)['bytes'] for line in path.read_text().splitlines()] == [77, 78, 79]


# --- names that are not known, values that are too many ---

def test_unknown_names_of_a_format_are_warned_of_at_the_start(vpcflowd, tmp_path):
    config = write_config(tmp_path, {'out': file(tmp_path / 'out.ipfix')},
                          {'default': {'format': '${srcaddr} ${brand-new} ${dstaddr} ${newer}'}})
    result = run(['-c', config, '-t'])
    assert result.returncode == 0
    for name in ('brand-new', 'newer'):
        assert f'# warning: format: "{name}" is no field' in result.stdout
        assert len(re.findall(f'warning: .*default.conf:2: \\[vpc "default"\\] format: "{name}" is no field',
                              result.stderr)) == 1
    result = run(['-c', config, '--print', '--read', '-'], stdin=b'10.0.0.1 what ever 10.0.0.2\n10.0.0.1 x 10.0.0.2 -\n')
    assert printed(result) == [{'srcaddr': '10.0.0.1', 'dstaddr': '10.0.0.2'}]


def test_unknown_names_of_headers_are_logged_once_each(start, tmp_path, sink):
    daemon = start(['--listen', '127.0.0.1:0', '--collector', f'udp://127.0.0.1:{sink.port}', '--exporter-ip', '127.0.0.9'])
    with Client(daemon.address) as client:
        for n, name in enumerate(('brand-new', 'brand-new', 'newer', 'brand-new')):
            assert client.ask(f'{name} srcaddr dstaddr bytes\nx 10.0.0.1 10.0.0.2 {n}\n'.encode() * 3) == ok(3)
    daemon.stop()
    assert daemon.stderr.count('"brand-new" is no field') == 1
    assert daemon.stderr.count('"newer" is no field') == 1


LINE = '2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 2 6 3 4 1700000000 1700000060 ACCEPT OK'


def test_lines_of_another_length_are_refused_with_counts_and_log_group(server):
    with Client(server.daemon.address) as client:
        reply = client.ask(payloads.simple_document([LINE + ' more'], group='/aws/vpc/odd'))
        assert reply.startswith('ERR 422 ')
        assert 'log group /aws/vpc/odd' in reply and '15 values, the format has 14 fields' in reply
        assert client.ask(payloads.simple_document([LINE + ' more', LINE], group='/aws/vpc/odd-too')) == ok(1, 0, 1)
    assert re.search('log group /aws/vpc/odd-too, line 1 rejected: 15 values, the format has 14', server.daemon.stderr)


def test_trailing_values_are_passed_over_where_they_may_be(start, tmp_path):
    config = write_config(tmp_path, {'out': file(tmp_path / 'out.ipfix')},
                          {'lenient': {'log_group': '/lenient', 'lenient_trailing': 'yes', 'observation_domain': 1},
                           'custom': {'log_group': '/custom', 'lenient_trailing': 'yes', 'format': 'dstaddr srcaddr',
                                      'observation_domain': 2},
                           'default': {'observation_domain': 3}})
    daemon = start(['-c', config])
    ask = lambda group, *lines: client.ask(payloads.simple_document(lines, group=group))
    with Client(daemon.address) as client:
        assert ask('/lenient', LINE + ' more and more', LINE, LINE[:-3]) == ok(2, 0, 1)
        assert ask('/custom', '10.0.0.1 10.0.0.2 x', '10.0.0.1') == ok(1, 0, 1)
        assert ask('/strict', LINE, LINE + ' more') == ok(1, 0, 1)
    daemon.stop()


# --- which [vpc]: by the record's own keys ---

def test_subnets_and_transit_gateways_choose_the_vpc(start, tmp_path):
    form = 'tgw-id subnet-id vpc-id account-id srcaddr dstaddr bytes'
    keys = [{'tgw': 'tgw-1*'}, {'subnet': 'subnet-a', 'account': '111*'}, {'vpc_id': 'vpc-?'}, {'subnet': 'subnet-*'}, {}]
    lines = {1: '- - - - 10.0.0.1 10.0.0.2', 2: 'tgw-12 subnet-a vpc-1 1111', 3: '- subnet-a - 1112', 4: '- subnet-a vpc-7 2',
             5: '- subnet-b - 111', 6: 'tgw-2 - - -', 7: 'tgw-1 - - -'}
    want = {1: 5, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 1}
    path = tmp_path / 'out.ipfix'
    vpcs = {'default' if not k else f'v{n}': {**k, 'format': form, 'observation_domain': n} for n, k in enumerate(keys, 1)}
    daemon = start(['-c', write_config(tmp_path, {'out': file(path)}, vpcs)])
    text = [(line if len(line.split()) > 4 else line + ' 10.0.0.1 10.0.0.2') + f' {number}'
            for _ in range(3) for number, line in lines.items()]
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(text, owner='222')) == ok(len(text))
    daemon.stop()
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    got = {(r[ipfix.OCTETS], m.domain) for m in reader.messages for r in m.flow_records}
    assert got == set(want.items())


# --- values ---

def test_times_that_cannot_be_are_exported_as_they_are_and_counted(start, tmp_path):
    path = tmp_path / 'out.ipfix'
    daemon = start(['-c', write_config(tmp_path, {'out': file(path)}, {'default': {}})])
    times = [(1700000000, 1700000060), (1700000060, 1700000000), (0, 60), (123456789, 123456790), (1700000000, 99999999999)]
    lines = [LINE.replace('1700000000 1700000060', f'{start_} {end}') for start_, end in times]
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == ok(5)
    daemon.stop()
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    got = [(f.start_ms, f.end_ms) for f in reader.flows()]
    assert sorted(got) == sorted((a * 1000, b * 1000) for a, b in times)
    assert '4 flows had times that cannot be' in daemon.stderr


def test_nothing_is_said_of_times_that_can_be(start, tmp_path):
    daemon = start(['-c', write_config(tmp_path, {'out': file(tmp_path / 'out.ipfix')}, {'default': {}})])
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document([LINE])) == ok(1)
    daemon.stop()
    assert 'cannot be' not in daemon.stderr


def test_icmp_keeps_its_zero_ports_and_gets_no_type(vpcflowd, tmp_path):
    text = ''.join(f'2 1 eni-1 {a} {b} 0 0 {proto} 4 336 1432917027 1432917142 ACCEPT OK\n'
                   for a, b, proto in (('203.0.113.12', '172.31.16.139', 1), ('2001:db8::1', '2001:db8::2', 58)))
    records = both_ways(tmp_path, text)
    assert [(r['srcport'], r['dstport'], r['protocol']) for r in records] == [(0, 0, 1), (0, 0, 58)]
    reader = ipfix.Reader()
    reader.feed_file((tmp_path / 'flows.ipfix').read_bytes())
    icmp = {32, 139, 176, 177, 178, 179}
    assert not any(icmp & set(r) for m in reader.messages for r in m.flow_records)


@pytest.mark.parametrize('spelling', ('2001:db8:0:0:0:0:0:1', '2001:0DB8::0001', '2001:db8::1', '::', '::1', '1::', 'FE80::A',
                                      '::ffff:10.1.2.3', '64:ff9b::192.0.2.33', '2001:db8:1:2:3:4:5:6', '1:0:0:2::',
                                      '0:0:0:0:0:0:0:0'))
def test_ipv6_in_any_spelling(vpcflowd, tmp_path, spelling):
    records = both_ways(tmp_path, LINE.replace('10.0.0.1', spelling).replace('10.0.0.2', '2001:db8::2') + '\n')
    assert ipaddress.ip_address(records[0]['srcaddr']) == ipaddress.ip_address(spelling)


def test_numbers_to_their_limits(vpcflowd, tmp_path):
    edges = (0, 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
    text = ''.join(f'2 1 eni-1 10.0.0.1 10.0.0.2 65535 0 255 {n} {n} 1700000000 1700000060 ACCEPT OK\n' for n in edges)
    records = both_ways(tmp_path, text)
    assert [(r['packets'], r['bytes'], r['srcport'], r['protocol']) for r in records] == [(n, n, 65535, 255) for n in edges]


@pytest.mark.parametrize('name, value', (('packets', 2**64), ('bytes', 10**30), ('srcport', 65536), ('dstport', '-1'),
                                         ('protocol', 256), ('bytes', '0x10'), ('start', '1e9'), ('action', 'accept')))
def test_what_a_field_cannot_have_rejects_the_line_alone(vpcflowd, name, value):
    words = LINE.split()
    words[flows.V2_FORMAT.index(name)] = str(value)
    result = run(['--print', '--read', '-'], stdin=f'{" ".join(words)}\n{LINE}\n'.encode())
    assert printed(result) == flows.parse_text(LINE)
    assert COUNTS.search(result.stderr).groups() == ('1', '0', '1')
    assert f'rejected: {name}: "{value}" is n' in result.stderr


def test_a_dash_is_absent_in_any_field(vpcflowd, tmp_path):
    lines = []
    for n in range(len(flows.V2_FORMAT)):
        words = LINE.split()
        words[n] = '-'
        lines.append(' '.join(words))
    records = both_ways(tmp_path, '\n'.join(lines))
    assert records == [flows.parse_line(line) for line in lines]
    assert all(len(r) == 13 for r in records)


def test_runs_of_spaces_and_tabs_count_as_one(vpcflowd):
    spaced = ' \t' + LINE.replace(' ', '   ', 4).replace('6 3', '6\t \t3') + '    '
    assert print_text(f'{LINE}\n{spaced}\r\n') == 2 * flows.parse_text(LINE)
    header = '   '.join(flows.V2_FORMAT)
    assert print_text(f'{header}\n{spaced}\n') == flows.parse_text(LINE)


TAGS = {
    'web': 'web',
    'a%20b%2Fc': 'a b/c',
    '%E6%97%A5%e6%9c%ac': '日本',
    'caf%C3%A9%21': 'café!',
    '100%25': '100%',
    'a+b': 'a+b',
    '%22%5C%0A%7F': '"\\\n\x7f',
    '%41%': 'A%',
    'x%zz%4': 'x%zz%4',
    'a%00b': 'a%00b',
    'latin%E9': 'latin%E9',
}


def test_tags_are_percent_decoded(vpcflowd, tmp_path):
    names = ['srcaddr', 'instance-tag', 'dstaddr', 'interface-tag-2', 'instance-id', 'asg-tag']
    text = ''.join(f'10.0.0.1 {written} 10.0.0.2 {written} i%20d {written}\n' for written in TAGS)
    records = both_ways(tmp_path, text, names)
    for record, decoded in zip(records, TAGS.values()):
        assert record == {'srcaddr': '10.0.0.1', 'dstaddr': '10.0.0.2', 'instance-tag': decoded, 'interface-tag-2': decoded,
                          'asg-tag': decoded, 'instance-id': 'i%20d'}
    assert len(records) == len(TAGS)
