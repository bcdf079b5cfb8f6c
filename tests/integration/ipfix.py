"""A small IPFIX reader (RFC 7011), written for these tests alone so that it shares no mistake with libfixbuf.

Reader.feed() takes messages of any number of exporters; templates are kept per (exporter address, exporter port,
observation domain), as a UDP collector must. Everything that a collector would drop in silence is an IpfixError here.
"""
import ipaddress
import struct
from collections import defaultdict
from typing import NamedTuple

from flows import Flow

VARIABLE = 65535
SET_TEMPLATE, SET_OPTIONS_TEMPLATE = 2, 3

# Information elements that the tests look at: IANA's number -> name. Private elements are ('pen', number).
OCTETS, PACKETS, PROTOCOL, TCP_FLAGS, SRC_PORT, SRC4, INGRESS, DST_PORT, DST4, EGRESS = 1, 2, 4, 6, 7, 8, 10, 11, 12, 14
SRC6, DST6, OCTETS_EXPORTED, MESSAGES_EXPORTED, FLOWS_EXPORTED = 27, 28, 40, 41, 42
INTERFACE_NAME, INTERFACE_DESCRIPTION, FORWARDING_STATUS, EXPORTER4, EXPORTER6, DOMAIN = 82, 83, 89, 130, 131, 149
START_MS, END_MS, PADDING, FIREWALL_EVENT, INGRESS_VRF, VRF_NAME, DOMAIN_NAME = 152, 153, 210, 233, 234, 236, 300
# RFC 5610
IE_DATA_TYPE, IE_ID, IE_NAME, IE_SEMANTICS, IE_UNITS, IE_PEN, IE_RANGE_BEGIN = 339, 303, 341, 344, 345, 346, 342

TEXT = {INTERFACE_NAME, INTERFACE_DESCRIPTION, VRF_NAME, DOMAIN_NAME, IE_NAME}
ADDRESSES = {SRC4, DST4, SRC6, DST6, EXPORTER4, EXPORTER6, 225, 226, 281, 282}


class IpfixError(Exception):
    pass


class Element(NamedTuple):
    key: object  # IANA's number, or (enterprise number, number)
    length: int


class Template(NamedTuple):
    id: int
    elements: tuple
    scopes: int  # 0: not an options template

    @property
    def has_variable(self):
        return any(e.length == VARIABLE for e in self.elements)


class Set(NamedTuple):
    id: int
    templates: list  # of a (options) template set
    records: list    # of a data set: [{element key: value}]
    template: object  # of a data set


class Message(NamedTuple):
    exporter: str
    port: int
    domain: int
    sequence: int
    export_time: int
    length: int
    sets: list

    @property
    def data_sets(self):
        return [s for s in self.sets if s.id >= 256]

    @property
    def record_count(self):
        """What the sequence number advances by: data records, options data records included."""
        return sum(len(s.records) for s in self.data_sets)

    @property
    def options_records(self):
        return [r for s in self.data_sets if s.template.scopes for r in s.records]

    @property
    def flow_records(self):
        return [r for s in self.data_sets if not s.template.scopes for r in s.records]

    def flows(self):
        return [flow_of_record(r, self.exporter) for r in self.flow_records]

    @property
    def template_count(self):
        return sum(len(s.templates) for s in self.sets)


def _value(key, raw):
    if key in ADDRESSES:
        return str(ipaddress.ip_address(raw))
    if key in TEXT:
        return raw.rstrip(b'\0').decode()
    if isinstance(key, int) and len(raw) <= 8:
        return int.from_bytes(raw, 'big')
    return raw


class Reader:
    def __init__(self):
        self.templates = defaultdict(dict)  # (exporter, port, domain) -> id -> Template
        self.messages = []

    def feed(self, data, exporter=None, port=0):
        """One message. Returns it, and keeps it in self.messages."""
        if len(data) < 16:
            raise IpfixError(f'message of {len(data)} bytes')
        version, length, time, sequence, domain = struct.unpack_from('>HHIII', data)
        if version != 10 or length != len(data):
            raise IpfixError(f'version {version}, length {length} in {len(data)} bytes')
        known = self.templates[exporter, port, domain]
        sets, at = [], 16
        while at < length:
            if length - at < 4:
                raise IpfixError(f'{length - at} bytes left behind the last set')
            set_id, set_length = struct.unpack_from('>HH', data, at)
            if set_length < 4 or at + set_length > length:
                raise IpfixError(f'set {set_id} of {set_length} bytes at {at} of {length}')
            sets.append(self._set(set_id, data[at + 4:at + set_length], known))
            at += set_length
        message = Message(exporter, port, domain, sequence, time, length, sets)
        self.messages.append(message)
        return message

    def feed_file(self, data):
        """An IPFIX file: messages one behind another (RFC 5655)."""
        at = 0
        while at < len(data):
            if len(data) - at < 16:
                raise IpfixError(f'{len(data) - at} bytes behind the last message')
            length = struct.unpack_from('>H', data, at + 2)[0]
            self.feed(data[at:at + length])
            at += length

    def _set(self, set_id, body, known):
        if set_id in (SET_TEMPLATE, SET_OPTIONS_TEMPLATE):
            templates = list(self._templates(body, set_id == SET_OPTIONS_TEMPLATE))
            for t in templates:
                if known.setdefault(t.id, t) != t:
                    raise IpfixError(f'template {t.id} redefined from {known[t.id]} to {t}')
            return Set(set_id, templates, [], None)
        if set_id < 256:
            raise IpfixError(f'set id {set_id}')
        if set_id not in known:
            raise IpfixError(f'data of set {set_id} before its template')
        return Set(set_id, [], list(self._records(body, known[set_id])), known[set_id])

    @staticmethod
    def _templates(body, options):
        at = 0
        while at + 4 <= len(body):
            template_id, count = struct.unpack_from('>HH', body, at)
            if template_id == 0 and not any(body[at:]):
                return  # padding
            at += 4
            if template_id < 256 or count == 0:
                raise IpfixError(f'template {template_id} of {count} elements')
            scopes = 0
            if options:
                scopes, = struct.unpack_from('>H', body, at)
                at += 2
                if not 0 < scopes <= count:
                    raise IpfixError(f'options template {template_id} with {scopes} scopes of {count}')
            elements = []
            for _ in range(count):
                number, length = struct.unpack_from('>HH', body, at)
                at += 4
                if number & 0x8000:
                    pen, = struct.unpack_from('>I', body, at)
                    at += 4
                    elements.append(Element((pen, number & 0x7fff), length))
                else:
                    elements.append(Element(number, length))
            yield Template(template_id, tuple(elements), scopes)

    @staticmethod
    def _records(body, template):
        at = 0
        smallest = sum(1 if e.length == VARIABLE else e.length for e in template.elements)
        while len(body) - at >= smallest:
            record = {}
            for e in template.elements:
                length = e.length
                if length == VARIABLE:
                    length, at = body[at], at + 1
                    if length == 255:
                        length, at = struct.unpack_from('>H', body, at)[0], at + 2
                if at + length > len(body):
                    raise IpfixError(f'record of template {template.id} cut off')
                if e.key != PADDING:
                    record[e.key] = _value(e.key, body[at:at + length])
                at += length
            yield record
        if any(body[at:]):
            raise IpfixError(f'{len(body) - at} bytes behind the records of set {template.id} are not padding')

    # --- what the tests ask ---

    def streams(self):
        """{(exporter, port, domain): [messages in order]}"""
        result = defaultdict(list)
        for m in self.messages:
            result[m.exporter, m.port, m.domain].append(m)
        return dict(result)

    def flows(self):
        return [flow for m in self.messages for flow in m.flows()]

    def check_sequences(self):
        """Every stream starts at 0 and advances by the records sent before (RFC 7011 3.1)."""
        for stream, messages in self.streams().items():
            want = 0
            for n, m in enumerate(messages):
                assert m.sequence == want, f'{stream}, message {n}: sequence number {m.sequence}, expected {want}'
                want = (want + m.record_count) % 2**32


def flow_of_record(r, exporter):
    return Flow(exporter, r.get(SRC4, r.get(SRC6)), r.get(DST4, r.get(DST6)), r.get(SRC_PORT), r.get(DST_PORT),
                r.get(PROTOCOL), r.get(PACKETS), r.get(OCTETS), r.get(START_MS), r.get(END_MS), r.get(TCP_FLAGS))


# --- a writer, only for testing the readers of collectors.py without the daemon ---

def message(sequence, domain, *sets, export_time=1_700_000_000):
    body = b''.join(sets)
    return struct.pack('>HHIII', 10, 16 + len(body), export_time, sequence, domain) + body


def data_set(set_id, *records):
    body = b''.join(records)
    return struct.pack('>HH', set_id, 4 + len(body)) + body


def template_set(template_id, elements, scopes=0):
    body = b''.join(struct.pack('>HH', key, length) for key, length in elements)
    head = struct.pack('>HHH', template_id, len(elements), scopes) if scopes else \
        struct.pack('>HH', template_id, len(elements))
    return data_set(SET_OPTIONS_TEMPLATE if scopes else SET_TEMPLATE, head, body)
