"""The field table (include/vpcflowd/flow_fields.def) as the tests read it: which information element carries which flow-log
field; and an IPFIX record turned back into a flow-log record as --print shows it."""
import ipaddress
import re
from typing import NamedTuple

from daemon import REPO

PEN = 32473
FLOW_DIRECTION = 61


class Field(NamedTuple):
    name: str
    kind: str
    element: object     # as ipfix.Reader keys it
    element_v6: object
    limit: int
    interface: bool     # belongs to the interface

    @property
    def private_name(self):
        """As RFC 5610 records tell it."""
        return 'aws' + ''.join(word.capitalize() for word in self.name.split('-'))


def _element(text):
    number = int(re.sub(r'\D', '', text))
    return None if not number else (PEN, number) if text.startswith('PRIVATE') else number


def _table():
    rows = re.findall(r'^FLOW_FIELD\((.*)\)$', (REPO / 'include/vpcflowd/flow_fields.def').read_text(), re.M)
    for row in rows:
        _, name, _, kind, limit, carriage, element, element_v6 = row.split(', ')
        limit = 2**64 - 1 if limit == 'UINT64_MAX' else int(limit)
        yield Field(name.strip('"'), kind, _element(element), _element(element_v6), limit, carriage != 'FLOW')


TABLE = {field.name: field for field in _table()}


def address(text):
    """One spelling for each address, whichever Python."""
    v = ipaddress.ip_address(text)
    return f'::ffff:{v.ipv4_mapped}' if v.version == 6 and v.ipv4_mapped else str(v)


def _integer(raw):
    return raw if isinstance(raw, int) else int.from_bytes(raw, 'big')


_READ = {
    'ADDR': address,
    'TIME': lambda v: _integer(v) if _integer(v) % 1000 else _integer(v) // 1000,
    'ACTION': lambda v: {1: 'ACCEPT', 3: 'REJECT'}[_integer(v)],
    'STATUS': lambda v: {1: 'OK'}[_integer(v)],
    'DIRECTION': lambda v: {0: 'ingress', 1: 'egress'}[_integer(v)],
    'STR': lambda v: v.decode(),
    'TAG': lambda v: v.decode(),
}


def of_ipfix(record, names):
    """What a record that came from a line with these fields says of them (collectors with `fields = full`)."""
    result = {}
    for field in TABLE.values():
        raw = record.get(field.element, record.get(field.element_v6) if field.element_v6 else None)
        if raw is not None and (field.name != 'flow-direction' or field.name in names):  # else it was inferred
            result[field.name] = _READ.get(field.kind, _integer)(raw)
    return result


def without_equal_packet_addresses(records):
    """pkt-srcaddr and pkt-dstaddr are exported only where they differ."""
    return [{k: v for k, v in r.items() if not (k.startswith('pkt-') and v == r.get(k[4:]))} for r in records]
