"""The daemon is killed (SIGKILL) again and again while senders wait for each OK and send again what got none: every record
that was answered OK is in the collector's files, and what is there twice was sent twice.

VPCFLOWD_SOAK=1 kills 200 times, and prints the figures of docs/reliability.md.
"""
import itertools
import os
import random
import socket
import threading
import time

import collectors
from daemon import Daemon, tcp, write_config
from scenario import two_vpcs
from tcp_collector import TcpCollector
from test_tcp_collector import LINES, Load, Stored
from wire import OK, SLOW, Client

ROUNDS = 200 if os.environ.get('VPCFLOWD_SOAK') else 12
SENDERS = 3

serial = itertools.count(1)


class StubbornLoad:
    """Senders that try each payload until it is answered OK, on a new connection whenever the old one is gone."""

    def __init__(self, address):
        self.address, self.stopping = address, False
        self.acknowledged, self.tried_again, self.duplicates = [], set(), 0
        self.lock, self.errors = threading.Lock(), []
        self.threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        client = None
        try:
            while not self.stopping:
                numbers = list(itertools.islice(serial, LINES))
                payload = '\n'.join(Load.line(n) for n in numbers).encode()
                tries = 0
                while True:
                    tries += 1
                    try:
                        client = client or Client(self.address)
                        reply = client.ask(payload)
                    except (OSError, AssertionError):  # not there, reset, cut in the middle of a reply
                        reply = None
                    match = OK.match(reply or '')
                    if match:
                        break
                    assert reply is None or reply.startswith('ERR 5'), reply
                    if client:
                        client.close()
                    client = None
                    time.sleep(0.02)
                with self.lock:
                    self.acknowledged += numbers
                    self.duplicates += int(match[4])
                    if tries > 1:
                        self.tried_again.update(numbers)
                time.sleep(0.005)
        except Exception as error:  # told by finish()
            self.errors.append(error)

    def finish(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(120 * SLOW)
            assert not thread.is_alive(), 'a sender never got its OK'
        assert not self.errors, self.errors


def free_tcp_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def test_a_daemon_that_is_killed_again_and_again_loses_nothing_that_was_answered_ok(vpcflowd, tmp_path):
    rng, stored = random.Random(6), Stored()
    port = free_tcp_port()
    with TcpCollector(tmp_path / 'collector') as collector:
        collector.start().wait_until_listening()
        path = write_config(tmp_path, {'sink': tcp(collector.port)}, two_vpcs(), listener={'address': f'127.0.0.1:{port}'})
        daemon = Daemon(['-c', path], tmp_path).start()
        load = StubbornLoad(daemon.address)
        try:
            for _ in range(ROUNDS):
                before = len(load.acknowledged)
                collectors.until(lambda: len(load.acknowledged) > before, 30 * SLOW, 'an OK of this daemon')  # pylint: disable=cell-var-from-loop
                time.sleep(rng.uniform(0, 0.3))
                daemon.kill()
                daemon = Daemon(['-c', path], tmp_path).start()
            load.finish()
            daemon.stop()
        finally:
            load.stopping = True
            daemon.kill()
        collector.stop()
        stored.add(collector)
    missing = set(load.acknowledged) - set(stored.records)
    assert not missing, f'{len(missing)} of {len(load.acknowledged)} records that were answered OK are lost'
    repeated = {n for n, times in stored.records.items() if times > 1}
    assert repeated <= load.tried_again, 'records are there twice that were sent once'
    assert load.tried_again, 'no payload was under way when the daemon was killed: nothing was tested'
    print(f'\n{ROUNDS} times kill -9: {len(load.acknowledged)} records answered OK, 0 lost; {len(load.tried_again)} in payloads '
          f'that had to be sent again, {len(repeated)} of them are there twice')
