"""A random walk over formats and values, through the daemon into IPFIX files: every value comes back. From `full` record by
record; from `standard` out of the record, or out of the options records of its interface, as docs/ipfix.md says. The files
are read by the tests' own reader and by libfixbuf's ipfixDump, which knows private elements from RFC 5610 records alone."""
import collections as counting
import datetime
import ipaddress

import pytest

import collectors
import formats
import ipfix
import payloads
from daemon import Daemon, file, write_config
from formats import ACTIONS, DIRECTIONS, FIELDS, GOES_BY
from wire import Client, ok

FORMATS, HEADERS, RECORDS, ROUNDS = 14, 8, 15, 3
CUT = 32  # characters of a name
NAME = {element: name for name, field in FIELDS.items() for element in (field.element, field.element_v6) if element}
IANA = {1: 'octetDeltaCount', 2: 'packetDeltaCount', 4: 'protocolIdentifier', 6: 'tcpControlBits', 7: 'sourceTransportPort',
        8: 'sourceIPv4Address', 10: 'ingressInterface', 11: 'destinationTransportPort', 12: 'destinationIPv4Address',
        14: 'egressInterface', 27: 'sourceIPv6Address', 28: 'destinationIPv6Address', 61: 'flowDirection',
        83: 'interfaceDescription', 89: 'forwardingStatus', 152: 'flowStartMilliseconds', 153: 'flowEndMilliseconds',
        225: 'postNATSourceIPv4Address', 226: 'postNATDestinationIPv4Address', 233: 'firewallEvent', 234: 'ingressVRFID',
        281: 'postNATSourceIPv6Address', 282: 'postNATDestinationIPv6Address'}
KEY = {**{name: number for number, name in IANA.items()},
       **{field.private_name: field.element for field in FIELDS.values() if isinstance(field.element, tuple)}}
NAMES_ITS_INTERFACE = {FIELDS[name].element for name in GOES_BY}
FORWARDING = dict(ACTIONS.values())


# --- what was sent --------------------------------------------------------------------------------------------------

def exporter(n):
    return f'127.0.7.{n + 1}'


class Run:
    """What was sent, by exporter, and the two files."""

    def __init__(self, directory, seed, message_size):
        self.room = message_size - 20
        self.sent = counting.defaultdict(list)
        self.files = {fields: directory / f'{fields}.ipfix' for fields in ('standard', 'full')}
        options = {'long_texts': message_size > 4000}
        self.configured = formats.random_formats(seed, FORMATS, **options)
        self.headers = formats.random_formats(seed + 1000, HEADERS, **options)
        self.names_of = {formats.goes_by(interface): f.names
                         for f in self.configured + self.headers for interface in f.interfaces}
        config = write_config(directory, {fields: file(path, fields=fields) for fields, path in self.files.items()},
                              self._vpcs(), daemon={'message_size': message_size})
        daemon = Daemon(['-c', config], directory).start()
        try:
            with Client(daemon.address) as client:
                for _ in range(ROUNDS):
                    self._send_documents(client)
                    self._send_text(client)
            daemon.stop()
        finally:
            daemon.kill()

    def _vpcs(self):
        more = {'infer_direction': 'no'}
        vpcs = {f'f{n}': {'log_group': f'/random/{n}', 'format': f.text(n % 2 == 0), 'exporter_ip': exporter(n), **more}
                for n, f in enumerate(self.configured)}
        vpcs['default'] = {'exporter_ip': exporter(FORMATS), **more}
        return vpcs

    def _records(self, f, n):
        records = f.records(RECORDS, self.room)
        self.sent[exporter(n)] += records
        f.move_on()
        return [formats.line(r, f.names) for r in records]

    def _send_documents(self, client):
        """A payload for each configured format."""
        for n, f in enumerate(self.configured):
            lines = self._records(f, n)
            document = payloads.document([], f'/random/{n}')
            document['logEvents'] = [{'id': payloads.unique_id(), 'timestamp': 0, 'message': line} for line in lines]
            assert client.ask(payloads.dumps(document).encode()) == ok(len(lines))

    def _send_text(self, client):
        """One text of all the formats that headers name, one of them twice: its interfaces have changed by then."""
        sections = [(f, self._records(f, FORMATS)) for f in self.headers + self.headers[:1]]
        text = [row for f, lines in sections for row in [f.text(False)] + lines]
        assert client.ask(payloads.text(text)) == ok(sum(len(lines) for _, lines in sections))

    def expected(self):
        return counting.Counter((address, frozenset(formats.meaning(r).items()))
                                for address, records in self.sent.items() for r in records)


# --- what came out --------------------------------------------------------------------------------------------------
# Both readers give (observation domain, is it an options record, {element: value}) in the file's order.

def read_by_ourselves(path):
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    reader.check_sequences()

    def value(key, raw):
        if not isinstance(key, tuple):
            return raw
        return raw.rstrip(b'\0').decode() if FIELDS[NAME[key]].kind in ('STR', 'TAG') else int.from_bytes(raw, 'big')
    for message in reader.messages:
        for s in message.data_sets:
            for r in s.records:
                yield message.domain, bool(s.template.scopes), {key: value(key, raw) for key, raw in r.items()}


def read_by_ipfix_dump(path):
    dump = collectors.IpfixDump(path)
    assert dump.complaints == ''

    def value(key, text):
        if key in (152, 153):
            at = datetime.datetime.strptime(text, '%Y-%m-%d %H:%M:%S.%f').replace(tzinfo=datetime.timezone.utc)
            return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)
        if key in ipfix.ADDRESSES:
            return str(ipaddress.ip_address(text))
        if key == 83 or key in NAME and FIELDS[NAME[key]].kind in ('STR', 'TAG'):
            return text
        return int(text, 0)
    for domain, scope, r in dump.records():
        yield domain, scope, {KEY[name]: value(KEY[name], text) for name, text in r.items() if name in KEY}


READERS = {'the tests\' reader': read_by_ourselves, 'ipfixDump': read_by_ipfix_dump}


class Collector:
    """Puts flows together from records, by the rules of docs/ipfix.md."""

    def __init__(self, fields, names_of):
        self.standard, self.names_of = fields == 'standard', names_of
        self.names, self.details = {}, counting.defaultdict(dict)

    def options_record(self, domain, r):
        if ipfix.INTERFACE_DESCRIPTION in r:
            self.names[domain, r[ipfix.INGRESS]] = r[ipfix.INTERFACE_DESCRIPTION]
        elif ipfix.INGRESS in r:
            assert self.standard, 'interface details for a collector with fields = full'
            self.details[domain, r[ipfix.INGRESS]].update({NAME[k]: v for k, v in r.items() if isinstance(k, tuple)})

    def _told(self, domain, index):
        """What options records say of the interface, as far as its format has it."""
        name = self.names[domain, index]
        told = {k: v for k, v in self.details[domain, index].items() if v not in ('', 0)}
        if name not in (told.get('resource-id'), told.get('tgw-attachment-id')):
            told['interface-id'] = name
        return {k: v for k, v in told.items() if k in self.names_of[name]}

    def flow(self, domain, r):
        values = {NAME[key]: value for key, value in r.items() if key in NAME}
        sides = {key: r[key] for key in (ipfix.INGRESS, ipfix.EGRESS) if key in r}
        assert r[ipfix.INGRESS_VRF] == domain
        assert r.get(ipfix.FORWARDING_STATUS) == FORWARDING.get(values.get('action'))
        if sides:
            want = {0: {ipfix.INGRESS}, 1: {ipfix.EGRESS}}.get(values.get('flow-direction'), {ipfix.INGRESS, ipfix.EGRESS})
            assert sides.keys() == want and len(set(sides.values())) == 1
            index = next(iter(sides.values()))
            if self.standard and not NAMES_ITS_INTERFACE & r.keys():
                values.update(self._told(domain, index))
            assert self.names[domain, index] == formats.goes_by(values)[:CUT]
        else:
            assert not NAMES_ITS_INTERFACE & r.keys()
        return frozenset(values.items())

    def flows(self, records):
        for domain, options, r in records:
            if options:
                self.options_record(domain, r)
            else:
                yield collectors.exporter_of_domain(domain), self.flow(domain, r)


@pytest.fixture(scope='module', params=[(1, 1400), (2, 1400), (3, 16000)], ids=lambda p: f'seed {p[0]}, messages of {p[1]}')
def run(request, vpcflowd, tmp_path_factory):
    return Run(tmp_path_factory.mktemp('random'), *request.param)


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('fields', ('full', 'standard'))
def test_every_value_of_any_format_comes_back(run, fields, reader):
    got = Collector(fields, run.names_of).flows(READERS[reader](run.files[fields]))
    problem = collectors.difference(got, run.expected())
    assert not problem, problem


def test_the_walk_meets_what_it_is_for(run):
    """Interfaces that change, and records that say other things of theirs: else `standard` shows nothing here."""
    assert set(FIELDS) == {name for records in run.sent.values() for r in records for name in r}
    records = [r for domain, options, r in read_by_ourselves(run.files['standard']) if not options]
    apart = sum(bool(NAMES_ITS_INTERFACE & r.keys()) for r in records)
    told = sum(bool({ipfix.INGRESS, ipfix.EGRESS} & r.keys()) for r in records) - apart
    assert apart > 30 and told > 100, (apart, told)
    assert {'0', str(2**64 - 1)} <= {r['bytes'] for records in run.sent.values() for r in records if 'bytes' in r}
    assert len(DIRECTIONS) == len({r[61] for r in records if 61 in r})
    assert not any(value == '' for r in records for value in r.values())  # no text is invented
