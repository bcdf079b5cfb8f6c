"""Flow logs of any format: a random walk over formats and values that is repeatable from a seed.

A record is a dict {AWS field name: text as in the log}; absent fields are left out of it. meaning() says what a
collector must be able to tell of it.
"""
import ipaddress
import random
import urllib.parse
from typing import NamedTuple

import fields

FIELDS = fields.TABLE
ACTIONS = {'ACCEPT': (1, 64), 'REJECT': (3, 128)}  # firewallEvent, forwardingStatus
DIRECTIONS = {'ingress': 0, 'egress': 1}
ADDRESSES = ('srcaddr', 'dstaddr', 'pkt-srcaddr', 'pkt-dstaddr')
GOES_BY = ('interface-id', 'resource-id', 'tgw-attachment-id')  # what an interface goes by, the first that there is


def goes_by(record):
    return next((record[name] for name in GOES_BY if name in record), None)


def value_of(field, text):
    """A value as a collector sees it."""
    if field.kind in ('U8', 'U16', 'U64'):
        return int(text)
    if field.kind == 'TIME':
        return int(text) * (1 if len(text) > 12 else 1000)
    if field.kind == 'ADDR':
        return str(ipaddress.ip_address(text))
    if field.kind == 'ACTION':
        return ACTIONS[text][0]
    if field.kind == 'STATUS':
        return 1
    if field.kind == 'DIRECTION':
        return DIRECTIONS[text]
    return urllib.parse.unquote(text) if field.kind == 'TAG' else text


def meaning(record):
    """{field name: value}. Packet addresses are told only where they differ from the interface's."""
    result = {name: value_of(FIELDS[name], text) for name, text in record.items()}
    for name in ('srcaddr', 'dstaddr'):
        if name in result and result.get('pkt-' + name) == result[name]:
            del result['pkt-' + name]
    return result


def line(record, names):
    return ' '.join(record.get(name, '-') for name in names)


# --- chance ---------------------------------------------------------------------------------------------------------

LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=@$\\"\'{}[]<>|~^`#&*()!?;,%'
ODD_TEXTS = ('Zürich', '東京', '🔑', 'Ψ', '--', '-x', '"quoted"', '\\u0041', '{"a":[]}', '%', '${x}', '0', 'NODATA', 'null')
ODD_TAGS = ('a b', '-', 'Zürich Süd', '東京/🔑', '100%', 'a=b&c', '  ', 'x' * 70, 'ü' * 40, 'plain')


class Shape(NamedTuple):
    """What records have in common that decides a template, so that a run stays within the daemon's number of them."""
    interface: dict  # the details that its records have, most of the time
    absent: frozenset
    v6: bool
    packet_differs: tuple  # source, destination
    direction: str


class Format:
    """A format, its interfaces, and records of it."""

    def __init__(self, rng, tag, shapes=4, long_texts=True):
        self.rng, self.tag, self.long_texts = rng, tag, long_texts
        self.names = rng.sample(sorted(FIELDS), rng.choice((1, 2, 5, 14, 29, 50, len(FIELDS))))
        self.interfaces = [self._interface(n) for n in range(3)]
        self.shapes = [self._shape(n) for n in range(shapes)]

    def text(self, configured):
        """As the console shows it, or as plain names."""
        return ' '.join(('${%s}' % name) if configured else name for name in self.names)

    def _details(self):
        return [name for name in self.names if FIELDS[name].interface]

    def _interface(self, n):
        """Details of an interface, of which some may be absent. What it goes by is no other format's."""
        details = {name: self._value(FIELDS[name]) for name in self._details()
                   if name in GOES_BY or self.rng.random() < 0.8}
        ids = [name for name in GOES_BY if name in details]
        for name in ids:
            details[name] = f'{name[:3]}-{self.tag}-{n}' + ('x' * 40 if self.rng.random() < 0.1 else '')
        if ids and self.rng.random() < 0.3:  # a regional NAT gateway, a transit gateway; or none at all
            del details[ids[0]]
        return details

    def _shape(self, n):
        absent = set()
        if n > 0:
            absent = {name for name in self.names if not FIELDS[name].interface and self.rng.random() < 0.15}
        if {'srcaddr', 'dstaddr'} & set(self.names) <= absent:
            absent -= {'srcaddr', 'dstaddr'}
        return Shape(self.rng.choice(self.interfaces), frozenset(absent), self.rng.random() < 0.4,
                     (self.rng.random() < 0.5, self.rng.random() < 0.5), self.rng.choice(list(DIRECTIONS)))

    def _number(self, limit):
        edges = (0, 1, limit, limit - 1, limit // 2, limit // 2 + 1)
        return str(self.rng.choice(edges) if self.rng.random() < 0.4 else self.rng.randrange(limit + 1))

    def _time(self):
        return str(self.rng.choice((0, 1, 86400, 999_999_999, 253_402_300_799, 1_700_000_000_123, 253_402_300_799_999,
                                    self.rng.randrange(1_600_000_000, 1_800_000_000))))

    def _text(self, limit):
        if self.rng.random() < 0.15:
            return self.rng.choice(ODD_TEXTS)
        length = self.rng.randrange(1, min(limit, 12) + 1)
        if self.long_texts and self.rng.random() < 0.05:
            length = self.rng.choice((limit, limit + 1, 253, 254, 255, 256, 1024))
        text = ''.join(self.rng.choice(LETTERS) for _ in range(length))
        return 'x' if text == '-' else text

    def _tag(self):
        text = self.rng.choice(ODD_TAGS) if self.rng.random() < 0.5 else self._text(64).replace('%', '')
        return urllib.parse.quote(text or 'x', safe='' if self.rng.random() < 0.5 else '/:=@') if text != '-' else '%2D'

    def _value(self, field):
        if field.name == 'version':
            return str(self.rng.randrange(1, 256))  # an options record's 0 says that there is none
        if field.kind in ('U8', 'U16', 'U64'):
            return self._number(field.limit)
        if field.kind == 'TIME':
            return self._time()
        if field.kind == 'ACTION':
            return self.rng.choice(list(ACTIONS))
        if field.kind == 'STATUS':
            return 'OK'
        return self._tag() if field.kind == 'TAG' else self._text(field.limit)

    def _address(self, v6):
        if not v6:
            return str(ipaddress.IPv4Address(self.rng.choice((0, 2**32 - 1, self.rng.getrandbits(32)))))
        address = ipaddress.IPv6Address(self.rng.choice((0, 1, 2**128 - 1, self.rng.getrandbits(128),
                                                         0x20010db8 << 96 | self.rng.getrandbits(16))))
        return self.rng.choice((str(address), address.exploded, address.exploded.upper()))

    def _change(self, details):
        """Another value of a detail or two, or none any more."""
        details = dict(details)
        for name in self.rng.sample(self._details(), min(2, len(self._details()))):
            if name in GOES_BY:
                continue
            if name in details and self.rng.random() < 0.3:
                del details[name]
            else:
                details[name] = self._value(FIELDS[name])
        return details

    def move_on(self):
        """From one payload to the next: some interfaces have changed for good."""
        for interface in self.interfaces:
            for name in [name for name in interface if name not in GOES_BY and self.rng.random() < 0.1]:
                if self.rng.random() < 0.2:
                    del interface[name]
                else:
                    interface[name] = self._value(FIELDS[name])

    def record(self):
        shape = self.rng.choice(self.shapes)
        record = dict(shape.interface if self.rng.random() < 0.8 else self._change(shape.interface))
        for name in self.names:
            field = FIELDS[name]
            if field.interface or name in shape.absent:
                continue
            record[name] = shape.direction if field.kind == 'DIRECTION' else \
                self._address(shape.v6) if field.kind == 'ADDR' else self._value(field)
        for differs, name in zip(shape.packet_differs, ('srcaddr', 'dstaddr')):
            if not differs and name in record and 'pkt-' + name in record:
                record['pkt-' + name] = record[name]
        if record.get('protocol') in ('1', '58'):  # as AWS writes ICMP
            record.update({name: '0' for name in ('srcport', 'dstport') if name in record})
        return record

    def records(self, count, room):
        """`count` records that fit into messages."""
        result = []
        while len(result) < count:
            record = self.record()
            if sum(len(text.encode()) + 5 for text in record.values()) + 40 < room:
                result.append(record)
        return result


def random_formats(seed, count, **options):
    rng = random.Random(seed)
    return [Format(rng, f'{seed}x{n}', **options) for n in range(count)]
