"""The daemon with failing allocations (tests/faults), for tests of their own subjects."""
import time

import pytest

from daemon import Daemon, binary, check_sanitizers
from wire import OK, SLOW, Client


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
