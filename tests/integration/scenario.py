"""What several tests do alike: the two-VPC configuration, and thousands of records sent through every framing."""
import zlib
from typing import NamedTuple

import collectors
import flows
import payloads
from daemon import Daemon, vpc_keys, write_config
from flows import DEV, PROD
from wire import FRAMINGS, Client, Sender, ok

DOCUMENTS, LINES, BULK = 2, 100, 3000


def two_vpcs(**more):
    """[vpc] sections of the generator's VPCs, matched by account."""
    return {vpc.name: vpc_keys(vpc, **more) for vpc in (PROD, DEV)}


def start_two_vpcs(directory, collector_keys, vpc_more=None, **config):
    """A listening daemon with both VPCs; the caller stops it."""
    path = write_config(directory, collector_keys, two_vpcs(**(vpc_more or {})), **config)
    return Daemon(['-c', path], directory).start()


def generator_for(name):
    """A generator of the test's own: no other test makes the same records."""
    return flows.Generator(zlib.crc32(name.encode()))


def reply_to(lines):
    """What the daemon must answer to a payload of generated lines."""
    idle = flows.count_idle(lines)
    return ok(len(lines) - idle, idle)


class Sent(NamedTuple):
    by_framing: dict  # framing → lines
    bulk: list        # lines of one large payload

    def lines(self):
        return [line for lines in self.by_framing.values() for line in lines] + self.bulk


def send_through_every_framing(address, seed):
    """DOCUMENTS payloads of LINES records through each framing, in every shape of document in turn, and one payload of
    BULK records. Every reply is checked."""
    generator = flows.Generator(seed)
    shapes = list(payloads.DOCUMENT_SHAPES)
    sent = Sent({name: [] for name in FRAMINGS}, generator.mixed_lines(BULK))
    n = 0
    with Sender(address) as sender:
        for name, framing in FRAMINGS.items():
            for _ in range(DOCUMENTS):
                lines = generator.mixed_lines(LINES)
                shape = shapes[n % len(shapes)]
                document = payloads.document_text(shape, lines, seed=n)
                reply = sender.send(framing, document)
                assert reply == reply_to(lines), f'{name}, document {shape}: {reply}'
                sent.by_framing[name] += lines
                n += 1
    with Client(address) as client:
        assert client.ask(payloads.simple_document(sent.bulk)) == reply_to(sent.bulk)
    return sent


class Delivery(NamedTuple):
    """What was sent, and what came out of a collector."""
    sent: Sent
    flows: list
    as_shown: object = lambda flow: flow

    def wanted(self, lines):
        return [self.as_shown(flow) for flow in flows.expected(lines)]

    def check_framing(self, name):
        wanted = self.wanted(self.sent.by_framing[name])
        assert wanted
        those = set(wanted)
        problem = collectors.difference([f for f in self.flows if f in those], wanted)
        assert not problem, problem

    def check_all(self):
        wanted = self.wanted(self.sent.lines())
        assert len(wanted) > 5000 and {flow.exporter for flow in wanted} == {PROD.exporter_ip, DEV.exporter_ip}
        problem = collectors.difference(self.flows, wanted)
        assert not problem, problem


def exported_as(exporter, lines):
    """Normalised tuples of lines that all go to one exporter."""
    return flows.flows_of_lines(lines, exporter)


def article_line(message, exporter):
    """The CSV that the 2016 article's Python prints for a message. ftsq reads seconds: where a log has milliseconds, which
    the article did not know, they are cut off."""
    split = message.split()
    start, end = (time[:10] if len(time) == 13 else time for time in split[10:12])
    return ','.join([split[3], split[5], split[4], split[6], split[7], split[8], split[9], '0', '0', start, end, exporter,
                     '"unknown"'])
