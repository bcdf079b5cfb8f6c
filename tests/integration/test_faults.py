"""Allocations that fail, reads and writes that come in pieces, are interrupted or find no room, over the whole path: the
daemon goes on, no acknowledged record is lost, and what the sanitizers look for is not there.

VPCFLOWD_SOAK=1 runs ten times as many rounds.
"""
import os
import random
import re
import time

import pytest

import collectors
import flows
import ipfix
import payloads
from daemon import Daemon, binary, check_sanitizers, file, write_config
from scenario import generator_for, two_vpcs
from wire import FRAMINGS, SLOW, Client, OK

ROUNDS = 150 if os.environ.get('VPCFLOWD_SOAK') else 15
PAYLOADS = 8
TALLY = re.compile(r'faults: (\d+) of (\d+) allocations refused, (\d+) of (\d+) reads and writes disturbed')


@pytest.fixture
def start_faulty(vpcflowd, tmp_path, monkeypatch):
    """start(faults, args) → a listening daemon with these faults."""
    program = binary().parent / 'vpcflowd-faults'
    if not program.exists():
        pytest.skip('vpcflowd-faults is not built')
    running = []

    def start(faults, args):
        monkeypatch.setenv('VPCFLOWD_FAULTS', faults)
        monkeypatch.setenv('VPCFLOWD_BIN', str(program))
        d = Daemon(args, tmp_path)
        running.append(d)
        return d.start()
    yield start
    for d in running:
        d.kill()
        check_sanitizers(d.stderr)


def send_until_ok(address, framing, document, deadline):
    """As a Lambda would, but more stubbornly: how many tries it took."""
    tries = 0
    while True:
        tries += 1
        try:
            with Client(address) as client:
                client.send(framing.wrap(document))
                if framing.closes:
                    client.finish()
                reply = client.line(5 * SLOW)
        except OSError:
            reply = None
        if reply and OK.match(reply):
            return tries
        # 4xx is never right: the documents are good, whatever memory there was.
        assert reply is None or reply.startswith('ERR 5'), reply
        assert time.monotonic() < deadline, f'not accepted after {tries} tries; the last reply: {reply}'
        time.sleep(0.02)


def check_round(start_faulty, directory, faults, seed):
    rng = random.Random(seed)
    directory.mkdir()
    path = directory / 'flows.ipfix'
    daemon = start_faulty(faults, ['-c', write_config(directory, {'archive': file(path)}, two_vpcs())])
    sent, repeated = [], []
    generator = generator_for(f'faults {seed}')
    deadline = time.monotonic() + 60 * SLOW
    for _ in range(PAYLOADS):
        lines = generator.mixed_lines(rng.choice((1, 40, 700)))
        framing = FRAMINGS[rng.choice(list(FRAMINGS))]
        tries = send_until_ok(daemon.address, framing, payloads.simple_document(lines), deadline)
        sent += lines
        if tries > 1:
            repeated += lines
    daemon.stop()
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    got = [f._replace(exporter=collectors.exporter_of_domain(m.domain)) for m in reader.messages for f in m.flows()]
    want = flows.expected(sent)
    missing = set(want) - set(got)
    assert not missing, f'{len(missing)} acknowledged records are not there, as {next(iter(missing))}'
    surplus = set(got) - set(want)
    assert not surplus, f'{len(surplus)} records that nobody sent, as {next(iter(surplus))}'
    assert len(got) - len(want) == 0 or repeated, 'records repeat, though nothing was sent twice'
    tally = TALLY.search(daemon.stderr)
    assert tally, daemon.stderr
    return [int(n) for n in tally.groups()]


@pytest.mark.parametrize('faults', ['alloc=60', 'alloc=400,io=4', 'io=2'])
def test_nothing_acknowledged_is_lost(start_faulty, tmp_path, faults):
    refused = disturbed = 0
    for seed in range(1, ROUNDS + 1):
        tally = check_round(start_faulty, tmp_path / str(seed), f'{faults},seed={seed}', seed)
        refused += tally[0]
        disturbed += tally[2]
    assert refused or 'alloc' not in faults, 'no allocation failed: nothing was tested'
    assert disturbed or 'io' not in faults, 'no read or write was disturbed: nothing was tested'


def test_each_allocation_may_fail_once(start_faulty, tmp_path):
    """Allocations of a short session, one after the other (in steps, where they are many)."""
    total = check_round(start_faulty, tmp_path / 'count', 'only=999999999', 1)[1]
    step = max(1, total // (40 * ROUNDS // 15))
    for k in range(1, total + 1, step):
        check_round(start_faulty, tmp_path / str(k), f'only={k}', 1)
