"""The listening socket as systemd hands it over (sd_listen_fds(3))."""
import subprocess
import sys

import pytest

import payloads
from daemon import Daemon, udp, write_config
from scenario import reply_to, two_vpcs
from wire import TIMEOUT, Client

# Becomes the daemon, with a socket as descriptor 3, as systemd does it.
LAUNCHER = '''
import os, socket, sys
kind, count, pid = sys.argv[1:4]
s = socket.socket(socket.AF_INET, getattr(socket, kind))
s.bind(('127.0.0.77', 0))
if kind == 'SOCK_STREAM':
    s.listen()
if s.fileno() != 3:
    os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=str(os.getpid()) if pid == 'own' else pid)
os.execv(sys.argv[4], sys.argv[4:])
'''


def activated(tmp_path, sink, kind='SOCK_STREAM', count='1', pid='own'):
    daemon = Daemon(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs())], tmp_path)
    daemon.args = [sys.executable, '-c', LAUNCHER, kind, count, pid, *daemon.args]
    return daemon


def test_the_socket_that_systemd_gives_is_used(tmp_path, sink, generator):
    daemon = activated(tmp_path, sink).start()
    try:
        assert daemon.address[0] == '127.0.0.77'
        lines = generator.mixed_lines(3)
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        daemon.stop()
    finally:
        daemon.kill()


def test_a_socket_that_was_given_to_another_process_is_not_taken(tmp_path, sink):
    daemon = activated(tmp_path, sink, pid='1').start()
    try:
        assert daemon.address[0] == '127.0.0.1'
        daemon.stop()
    finally:
        daemon.kill()


@pytest.mark.parametrize('kind, count', (('SOCK_DGRAM', '1'), ('SOCK_STREAM', '2')))
def test_anything_but_one_listening_tcp_socket_is_an_error(tmp_path, sink, kind, count):
    result = subprocess.run(activated(tmp_path, sink, kind, count).args, capture_output=True, timeout=TIMEOUT,
                            check=False)
    assert result.returncode == 1
    assert b'systemd gave something other than one listening TCP socket' in result.stderr
