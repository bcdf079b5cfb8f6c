"""Flow-log records of version 2: made by chance from a seed, written as lines, and read back by plain str.split().

Nothing here knows the daemon. parse_line() and parse_text() are the independent parse that the daemon's output is
compared with.
"""
import ipaddress
import random
from typing import NamedTuple, Optional

V2_FORMAT = ('version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action '
             'log-status').split()

NUMBERS = {'version', 'srcport', 'dstport', 'protocol', 'packets', 'bytes', 'start', 'end', 'tcp-flags', 'traffic-path',
           'packets-lost-no-route', 'packets-lost-blackhole', 'packets-lost-mtu-exceeded', 'packets-lost-ttl-expired',
           'encryption-status'}

PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_ICMP6 = 1, 6, 17, 58
COUNTER_MAX = 2**63 - 1  # some collectors keep counters in signed 64 bits


class Vpc(NamedTuple):
    """A VPC of the generator, and the exporter address its records must come from."""
    name: str
    account: str
    exporter_ip: str
    net4: str
    net6: str
    interfaces: int = 6

    @property
    def log_group(self):
        return '/aws/vpc/' + self.name

    @property
    def domain(self):
        return int(ipaddress.IPv4Address(self.exporter_ip))


PROD = Vpc('prod', '111122223333', '127.0.0.2', '10.1.0.0/16', '2001:db8:1::/64')
DEV = Vpc('dev', '444455556666', '127.0.0.3', '10.2.0.0/16', '2001:db8:2::/64')


class Flow(NamedTuple):
    """What a collector can say about one flow. A value that is absent (or that the collector can't show) is None."""
    exporter: Optional[str]
    src: Optional[str]
    dst: Optional[str]
    sport: Optional[int]
    dport: Optional[int]
    proto: Optional[int]
    packets: Optional[int]
    bytes: Optional[int]
    start_ms: Optional[int]
    end_ms: Optional[int]
    flags: Optional[int]


def milliseconds(value):
    """Flow logs carry seconds; 13 digits are milliseconds already."""
    return None if value is None else value if value >= 10**12 else value * 1000


def address(text):
    """One spelling for each address."""
    return None if text is None else str(ipaddress.ip_address(text))


def parse_line(line, names=V2_FORMAT):
    """A record as --print shows it: AWS names, numbers as numbers, absent fields left out."""
    values = line.split()
    if len(values) != len(names):
        raise ValueError(f'{len(values)} values for {len(names)} fields: {line!r}')
    return {name: int(value) if name in NUMBERS else value
            for name, value in zip(names, values) if value != '-'}


def parse_text(text, names=V2_FORMAT):
    """All records of a text, header lines obeyed, NODATA and SKIPDATA left out."""
    records = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if 'srcaddr' in words or words[0] == 'version':
            names = words
            continue
        record = parse_line(line, names)
        if record.get('log-status') not in ('NODATA', 'SKIPDATA'):
            records.append(record)
    return records


def flow_of(record, exporter=None):
    """The normalised tuple of a parsed record."""
    return Flow(exporter, address(record.get('srcaddr')), address(record.get('dstaddr')), record.get('srcport'),
                record.get('dstport'), record.get('protocol'), record.get('packets'), record.get('bytes'),
                milliseconds(record.get('start')), milliseconds(record.get('end')), record.get('tcp-flags'))


def flows_of_lines(lines, exporter=None, names=V2_FORMAT):
    return [flow_of(record, exporter) for record in parse_text('\n'.join(lines), names)]


def zero_absent(flow):
    """Collectors with fixed columns show 0 where an element is absent."""
    return Flow(*[0 if value is None and name not in ('exporter', 'src', 'dst') else value
                  for name, value in zip(Flow._fields, flow)])


class Interface(NamedTuple):
    vpc: Vpc
    id: str
    v4: str
    v6: str
    times_in_ms: bool

    @property
    def stream(self):
        return self.id + '-all'


class Generator:
    """Lines for two VPCs, repeatable from the seed. No two records share addresses, ports, protocol and start, so that
    collectors that add flows up have nothing to add."""

    def __init__(self, seed, vpcs=(PROD, DEV), spread=86400):
        self.rng = random.Random(seed)
        self.vpcs = vpcs
        self.spread = spread
        self.seen = set()
        self.interfaces = {vpc: [self._interface(vpc, n) for n in range(vpc.interfaces)] for vpc in vpcs}

    def _interface(self, vpc, n):
        digits = ''.join(self.rng.choice('0123456789abcdef') for _ in range(8 if n == 0 else 17))
        return Interface(vpc, 'eni-' + digits, str(ipaddress.ip_network(vpc.net4)[self.rng.randrange(4, 60000)]),
                         str(ipaddress.ip_network(vpc.net6)[self.rng.randrange(4, 2**60)]), n == 1)

    def _peer(self, v6):
        if not v6:
            return str(ipaddress.IPv4Address(self.rng.randrange(0x01000000, 0xdfffffff)))
        value = 0x2000 << 112 | self.rng.getrandbits(124)
        for shift in (16, 32, 48, 64):  # runs of zeros, for the :: spelling
            if self.rng.random() < 0.3:
                value &= ~(0xffff << shift)
        return str(ipaddress.IPv6Address(value))

    def _counter(self, edges):
        if self.rng.random() < 0.08:
            return self.rng.choice(edges)
        return int(2 ** self.rng.uniform(0, 40))

    def _ports(self):
        pick = lambda: self.rng.choice((0, 1, 22, 53, 80, 443, 32768, 49152, 65535)) \
            if self.rng.random() < 0.4 else self.rng.randrange(65536)
        return pick(), pick()

    def line(self, interface):
        """One line with data."""
        while True:
            v6 = self.rng.random() < 0.3
            own, peer = interface.v6 if v6 else interface.v4, self._peer(v6)
            src, dst = (own, peer) if self.rng.random() < 0.5 else (peer, own)
            proto = self.rng.choices((PROTO_TCP, PROTO_UDP, PROTO_ICMP6 if v6 else PROTO_ICMP,
                                      self.rng.choice((2, 47, 50, 89, 132, 255))), (60, 30, 8, 2))[0]
            sport, dport = self._ports() if proto in (PROTO_TCP, PROTO_UDP) else (0, 0)
            packets = self._counter((1, 2**31, 2**32 - 1, 2**32, COUNTER_MAX))
            octets = self._counter((0, 2**31, 2**32 - 1, 2**32, COUNTER_MAX))
            start = 1_700_000_000 + self.rng.randrange(self.spread)
            end = start + self.rng.choice((0, 1, 59, 60, 600))
            if interface.times_in_ms:
                start, end = start * 1000 + self.rng.randrange(1000), end * 1000 + 999
            key = (src, dst, sport, dport, proto, start)
            if key not in self.seen:
                break
        self.seen.add(key)
        action = 'ACCEPT' if self.rng.random() < 0.7 else 'REJECT'
        return (f'2 {interface.vpc.account} {interface.id} {src} {dst} {sport} {dport} {proto} {packets} {octets} '
                f'{start} {end} {action} OK')

    def idle_line(self, interface):
        """One line without data."""
        start = 1_700_000_000 + self.rng.randrange(self.spread)
        status = self.rng.choice(('NODATA', 'SKIPDATA'))
        return f'2 {interface.vpc.account} {interface.id} - - - - - - - {start} {start + 60} - {status}'

    def lines(self, interface, count, idle=0.03):
        """`count` lines with data, and now and then one without between them."""
        lines = []
        for _ in range(count):
            if self.rng.random() < idle:
                lines.append(self.idle_line(interface))
            lines.append(self.line(interface))
        return lines

    def any_interface(self, vpc=None):
        return self.rng.choice(self.interfaces[vpc or self.rng.choice(self.vpcs)])

    def mixed_lines(self, count, idle=0.03):
        """Lines of all interfaces of all VPCs in one text."""
        return [line for _ in range(count) for line in self.lines(self.any_interface(), 1, idle)]


def expected(lines, vpcs=(PROD, DEV), names=V2_FORMAT):
    """Normalised tuples for generated lines; the exporter follows from the account."""
    exporters = {vpc.account: vpc.exporter_ip for vpc in vpcs}
    return [flow_of(record, exporters[record['account-id']]) for record in parse_text('\n'.join(lines), names)]


def count_idle(lines):
    return sum(line.split()[-1] in ('NODATA', 'SKIPDATA') for line in lines)
