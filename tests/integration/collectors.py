"""Real collectors, and the plain UDP sink: each is started on a port of its own, stopped by its process id, and read
back as normalised flows.Flow tuples.

What each collector cannot show is said beside its reader.
"""
import collections
import datetime
import ipaddress
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import ipfix
from flows import PROTO_TCP, Flow, zero_absent
from wire import SLOW

UTC = {**os.environ, 'TZ': 'UTC'}
START_SECONDS = 15 * SLOW
STOP_SECONDS = 30 * SLOW


def need(program):
    path = shutil.which(program) or shutil.which(program, path='/usr/sbin:/sbin')
    if not path:
        pytest.skip(f'{program} is not installed')
    return path


def free_udp_port(host='127.0.0.1'):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def socket_state(port, host='127.0.0.1'):
    """(bytes waiting, datagrams dropped) of a UDP socket of this host, or None if nobody listens there."""
    want = '%08X:%04X' % (struct.unpack('=I', socket.inet_aton(host))[0], port)
    for line in pathlib.Path('/proc/net/udp').read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == want:
            return int(words[4].split(':')[1], 16), int(words[-1])
    return None


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f'{what}: not within {seconds} s'
        time.sleep(0.02)


def exporter_of_domain(domain):
    """The daemon's default observation domain is the exporter address."""
    return str(ipaddress.IPv4Address(domain))


def difference(got, want, show=5):
    """None if both multisets are equal, else a text that says how they differ."""
    got, want = collections.Counter(got), collections.Counter(want)
    if got == want:
        return None
    missing, extra = want - got, got - want
    sample = lambda c: ''.join(f'\n    {x}' for x in list(c.elements())[:show])
    return (f'{sum(got.values())} records, expected {sum(want.values())}\n  missing {sum(missing.values())}:'
            f'{sample(missing)}\n  not expected {sum(extra.values())}:{sample(extra)}')


class Program:
    """A collector as a child process that listens on a UDP port of 127.0.0.1."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_udp_port()
        self.process = None

    def start(self, args):
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=UTC,
                                            cwd=self.directory)
        until(lambda: self.process.poll() is not None or socket_state(self.port), START_SECONDS, f'{args[0]} to listen')
        assert self.process.poll() is None, f'{args[0]} ended at start:\n{self.log}'

    @property
    def log_path(self):
        return self.directory / 'log'

    @property
    def log(self):
        return self.log_path.read_text(errors='replace')

    def drain(self):
        """Until it has read what its socket holds."""
        until(lambda: self.process.poll() is not None or socket_state(self.port)[0] == 0, STOP_SECONDS, 'an empty queue')
        state = socket_state(self.port)
        assert state, f'the collector has died:\n{self.log}'
        assert state[1] == 0, f"the collector's socket dropped {state[1]} datagrams"
        time.sleep(0.2 * SLOW)  # for the datagram that it has in hand

    def stop(self, number=signal.SIGTERM):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Nfcapd(Program):
    """nfcapd, in one of three layouts: `sources` {name: exporter address} keeps a directory for each (-n), dynamic makes
    one for each address that turns up (-M), neither puts all in one (-w).

    nfdump's quirks: it has no absent values, they read 0; TCP flags show on TCP alone; %ter (fractional seconds) prints 999 ms as .099, so times are
    read by %ts and %te; the destination port of ICMP reads type.code; -E knows the exporter only in the first file of
    several directories, so it takes the one-directory layout to see all of them.
    """
    COLUMNS = ('ra', 'ts', 'te', 'sa', 'da', 'sp', 'dp', 'pr', 'flg', 'in', 'inam', 'out', 'onam', 'ivrf', 'ivrfnam', 'pkt',
               'byt')

    def __init__(self, directory, sources=None, dynamic=False, large_buffer=True):
        super().__init__(directory)
        args = [need('nfcapd'), '-4', '-b', '127.0.0.1', '-p', str(self.port), '-t', '3600']
        args += ['-B', '8000000'] if large_buffer else []
        self.data = self.directory / 'data'
        self.data.mkdir()
        for name, exporter in (sources or {}).items():
            (self.data / name).mkdir()
            args += ['-n', f'{name},{exporter},{self.data / name}']
        if not sources:
            args += ['-M' if dynamic else '-w', str(self.data)]
        self.start(args)

    def finish(self):
        """Read what waits, write the file, end."""
        self.drain()
        self.stop()

    def files(self, name='.'):
        return sorted(p for p in (self.data / name).rglob('nfcapd.*') if not p.name.startswith('nfcapd.current'))

    def rows(self, name='.'):
        """One dict of COLUMNS for each flow."""
        fmt = 'fmt:' + '|'.join('%' + c for c in self.COLUMNS)
        rows = []
        for path in self.files(name):
            out = subprocess.run([need('nfdump'), '-r', str(path), '-q', '-N', '-6', '-o', fmt], env=UTC, check=True,
                                 capture_output=True, timeout=60 * SLOW).stdout.decode()
            rows += [dict(zip(self.COLUMNS, map(str.strip, line.split('|'))))
                     for line in out.splitlines() if line.count('|') == len(self.COLUMNS) - 1]
        return rows

    def flows(self, name='.'):
        return [self.flow_of_row(row) for row in self.rows(name)]

    @staticmethod
    def as_shown(flow):
        """What nfdump makes of a flow."""
        flow = zero_absent(flow)
        return flow if flow.proto == PROTO_TCP else flow._replace(flags=0)

    @staticmethod
    def flow_of_row(row):
        def ms(text):
            at = datetime.datetime.strptime(text, '%Y-%m-%d %H:%M:%S.%f').replace(tzinfo=datetime.timezone.utc)
            return round(at.timestamp() * 1000)
        kind, _, code = row['dp'].partition('.')
        return Flow(row['ra'], str(ipaddress.ip_address(row['sa'])), str(ipaddress.ip_address(row['da'])),
                    int(row['sp']), int(kind) * 256 + int(code) if code else int(kind), int(row['pr']), int(row['pkt']),
                    int(row['byt']), ms(row['ts']), ms(row['te']), Nfcapd.flags(row['flg']))

    @staticmethod
    def flags(text):
        """'...A..S.' is CWR ECE URG ACK PSH RST SYN FIN; '0x..' where nfdump has no letters for it."""
        if text.startswith('0x'):
            return int(text, 16)
        return sum(1 << bit for bit, c in enumerate(reversed(text)) if c != '.')

    def exporters(self):
        """nfdump -E over all files: {exporter address: sequence failures}."""
        result = {}
        for path in self.files():
            out = subprocess.run([need('nfdump'), '-E', str(path)], env=UTC, check=True, capture_output=True,
                                 timeout=60 * SLOW).stdout.decode()
            for line in out.splitlines():
                match = re.match(r'SysID: \d+, IP:\s+(\S+), version: 10, ID: \d+(?:, Sequence failures: (\d+))?', line)
                if match:
                    result[match[1]] = result.get(match[1], 0) + int(match[2] or 0)
        return result

    def sequence_failures(self, name='.'):
        """What each file's own statistics say (nfdump -I), added up."""
        total = 0
        for path in self.files(name):
            out = subprocess.run([need('nfdump'), '-I', '-r', str(path)], env=UTC, check=True, capture_output=True,
                                 timeout=60 * SLOW).stdout.decode()
            total += int(re.search(r'Sequence failures: (\d+)', out)[1])
        return total


class Nfacctd(Program):
    """nfacctd with the print plugin. It has no absent values, they read 0."""
    AGGREGATE = ('peer_src_ip, export_proto_sysid, src_host, dst_host, src_port, dst_port, proto, tcpflags, '
                 'timestamp_start, timestamp_end, in_iface, out_iface')

    def __init__(self, directory, cache_entries=32771, primitives=None):
        """primitives: {name: (field type, length, semantics)} of further elements to show."""
        super().__init__(directory)
        program = need('nfacctd')
        self.output = self.directory / 'out.json'
        conf = self.directory / 'nfacctd.conf'
        more = self.directory / 'primitives'
        more.write_text(''.join(f'name={name} field_type={kind} len={length} semantics={semantics}\n'
                                for name, (kind, length, semantics) in (primitives or {}).items()))
        conf.write_text('\n'.join((
            'daemonize: false', 'nfacctd_ip: 127.0.0.1', f'nfacctd_port: {self.port}', 'nfacctd_pipe_size: 8388608',
            'plugins: print', 'print_output: json', f'print_output_file: {self.output}', 'print_refresh_time: 3600',
            f'print_cache_entries: {cache_entries}', 'plugin_pipe_size: 33554432', 'plugin_buffer_size: 65536',
            'print_num_protos: true', 'timestamps_since_epoch: true', f'aggregate_primitives: {more}',
            f'aggregate: {", ".join((self.AGGREGATE, *(primitives or {})))}', '')))
        self.start([program, '-f', str(conf)])
        until(lambda: 'JSON: setting object handlers' in self.log, START_SECONDS, 'the print plugin')

    def finish(self):
        self.drain()
        self.stop(signal.SIGINT)
        until(lambda: 'Purging cache - END' in self.log, STOP_SECONDS, "nfacctd's output")

    as_shown = staticmethod(zero_absent)

    def rows(self):
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def flows(self):
        def ms(text):
            seconds, micro = text.split('.')
            return int(seconds) * 1000 + int(micro) // 1000
        return [Flow(r['peer_ip_src'], r['ip_src'], r['ip_dst'], r['port_src'], r['port_dst'], int(r['ip_proto']),
                     r['packets'], r['bytes'], ms(r['timestamp_start']), ms(r['timestamp_end']), int(r['tcp_flags']))
                for r in self.rows()]


class UdpSink:
    """A socket that keeps every datagram: (time, (address, port), bytes)."""

    def __init__(self, port=0):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE, where we may
        except PermissionError:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(('127.0.0.1', port))
        self.sock.settimeout(0.05)
        self.port = self.sock.getsockname()[1]
        self.datagrams = []
        self._reader, self.read, self.flow_counts = ipfix.Reader(), 0, collections.Counter()
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                data, source = self.sock.recvfrom(65536)
                self.datagrams.append((time.time(), source, data))
            except (TimeoutError, socket.timeout):
                if self.stopping:  # only once the queue is empty
                    return
            except OSError:  # abandoned
                return

    def finish(self):
        """Read what waits, stop listening."""
        if not self.stopping:
            self.stopping = True
            self.thread.join()
            state = socket_state(self.port)
            self.sock.close()
            assert state[1] == 0, f"the sink's socket dropped {state[1]} datagrams"

    def abandon(self):
        """Close the socket with whatever lies in it, as a process that is killed."""
        self.stopping = True
        self.sock.close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.stopping:
            self.stopping = True
            self.thread.join()
            self.sock.close()

    def reader(self):
        """The sink's ipfix.Reader, fed with all so far."""
        while self.read < len(self.datagrams):
            _, (host, port), data = self.datagrams[self.read]
            self.read += 1
            self.flow_counts.update(self._reader.feed(data, host, port).flows())
        return self._reader

    def counts(self):
        """How often each flow has arrived so far."""
        self.reader()
        return self.flow_counts

    def flows(self):
        return list(self.counts().elements())

    def wait_for(self, wanted, seconds=10 * SLOW):
        """Until all of these flows are in. Flows of other senders may be in as well."""
        wanted = collections.Counter(wanted)
        deadline = time.monotonic() + seconds
        while any(self.counts()[flow] < n for flow, n in wanted.items()):
            if time.monotonic() > deadline:
                missing = wanted - self.counts()
                raise AssertionError(f'{sum(missing.values())} of {sum(wanted.values())} flows missing after {seconds} s, '
                                     f'such as {next(iter(missing))}')
            time.sleep(0.01)


def write_pcap(path, datagrams, port):
    """A capture file of raw IPv4 packets: what a sink at 127.0.0.1:port has got."""
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))  # LINKTYPE_RAW
        for at, (host, source_port), data in datagrams:
            udp = struct.pack('>HHHH', source_port, port, 8 + len(data), 0) + data
            packet = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0x4000, 64, socket.IPPROTO_UDP, 0,
                                 socket.inet_aton(host), socket.inet_aton('127.0.0.1')) + udp
            f.write(struct.pack('<IIII', int(at), int(at % 1 * 1e6), len(packet), len(packet)) + packet)


class Tshark:
    """tshark over a capture file."""

    def __init__(self, path, port):
        self.base = [need('tshark'), '-n', '-r', str(path), '-d', f'udp.port=={port},cflow']

    def _run(self, *args):
        return subprocess.run([*self.base, *args], env=UTC, check=True, capture_output=True,
                              timeout=120 * SLOW).stdout.decode()

    def complaints(self):
        """Frames that are malformed, not decoded, or about which tshark has a note (other than that some ports are
        traceroute's)."""
        return self._run('-Y', '_ws.malformed || (_ws.expert && !udp.possible_traceroute) || !cflow || '
                         'cflow.template_frame == 0',
                         '-T', 'fields', '-e', 'frame.number', '-e', '_ws.expert.message').strip()

    def records(self):
        """(exporter address, {tshark's field: value}) for each record, options records included."""
        out = self._run('-Y', 'cflow', '-T', 'json', '--no-duplicate-keys', '-J', 'ip cflow')
        for packet in json.loads(out):
            layers = packet['_source']['layers']
            messages = layers['cflow'] if isinstance(layers['cflow'], list) else [layers['cflow']]
            for message in messages:
                for name, value in message.items():
                    if name.startswith('Set '):
                        yield from ((layers['ip']['ip.src'], record) for record_name, record in value.items()
                                    if record_name.startswith('Flow '))

    def flows(self):
        return [self.flow_of(exporter, r) for exporter, r in self.records()
                if 'cflow.srcaddr' in r or 'cflow.srcaddrv6' in r]

    @staticmethod
    def flow_of(exporter, r):
        def ms(text):
            head, fraction = text.removesuffix(' UTC').split('.')
            at = datetime.datetime.strptime(head, '%b %d, %Y %H:%M:%S').replace(tzinfo=datetime.timezone.utc)
            return int(at.timestamp()) * 1000 + int(fraction[:3])

        def number(name):
            return int(r[name], 0) if name in r else None
        times = r.get('cflow.timedelta_tree', r)
        address = lambda name: str(ipaddress.ip_address(r.get(name) or r[name + 'v6']))
        return Flow(exporter, address('cflow.srcaddr'), address('cflow.dstaddr'), number('cflow.srcport'),
                    number('cflow.dstport'), number('cflow.protocol'), number('cflow.packets'), number('cflow.octets'),
                    ms(times['cflow.abstimestart']), ms(times['cflow.abstimeend']), number('cflow.tcpflags'))


class IpfixDump:
    """ipfixDump over an IPFIX file. The file has no exporter addresses; the observation domain says which it was."""

    def __init__(self, path):
        result = subprocess.run([need('ipfixDump'), '--rfc5610', '--in', str(path)], env=UTC, capture_output=True,
                                timeout=60 * SLOW, check=False)
        self.complaints = result.stderr.decode()
        assert result.returncode == 0, f'ipfixDump ended with {result.returncode}:\n{self.complaints}'
        self.text = result.stdout.decode()

    def records(self):
        """(domain, is an options record, {element name: value}) for each data record."""
        domain, record, scope = None, None, False
        for line in self.text.splitlines():
            if line.startswith('export time:'):
                domain = int(line.split('observation domain id:')[1])
            elif line.startswith('--- ') or line.startswith('*** '):
                if record is not None:
                    yield domain, scope, record
                record, scope = ({} if line.startswith('--- data record') else None), False
            elif record is not None and line.startswith('\t('):
                match = re.match(r'\t\(([\d/]+)\)( \(S\))?\s+(\S+) : ?(?:\(len: \d+\) )?(.*)', line)
                assert match, f'ipfixDump wrote {line!r}'
                scope = scope or bool(match[2])
                record[match[3]] = match[4]
        if record is not None:
            yield domain, scope, record

    def flows(self):
        return [self.flow_of(exporter_of_domain(domain), r) for domain, scope, r in self.records() if not scope]

    @staticmethod
    def flow_of(exporter, r):
        def ms(text):
            at = datetime.datetime.strptime(text, '%Y-%m-%d %H:%M:%S.%f').replace(tzinfo=datetime.timezone.utc)
            return round(at.timestamp() * 1000)

        def number(name):
            return int(r[name], 0) if name in r else None
        address = lambda side: str(ipaddress.ip_address(r.get(side + 'IPv4Address') or r[side + 'IPv6Address']))
        return Flow(exporter, address('source'), address('destination'), number('sourceTransportPort'),
                    number('destinationTransportPort'), number('protocolIdentifier'), number('packetDeltaCount'),
                    number('octetDeltaCount'), ms(r['flowStartMilliseconds']), ms(r['flowEndMilliseconds']),
                    number('tcpControlBits'))
