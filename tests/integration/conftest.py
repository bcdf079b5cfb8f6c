"""Fixtures for the integration tests. The daemon under test is $VPCFLOWD_BIN, else build/dev/vpcflowd, else
build/release/vpcflowd. VPCFLOWD_SLOW=<factor> stretches all time limits (sanitizers, slow machines)."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite('wire', 'daemon', 'collectors', 'ipfix', 'scenario')

import collectors  # noqa: E402
import daemon as daemon_module  # noqa: E402


def pytest_report_header():
    return f'vpcflowd: {daemon_module.binary()}'


@pytest.fixture(scope='session')
def vpcflowd():
    """The daemon's path; without it there is nothing to test, and that is a failure."""
    path = daemon_module.binary()
    assert path and path.exists(), 'no vpcflowd: build it (cmake --preset dev && cmake --build build/dev) ' \
                                   'or set VPCFLOWD_BIN'
    return path


@pytest.fixture
def start(vpcflowd, tmp_path):
    """start(args, stdout=None) → a listening Daemon; killed at the end of the test if the test did not stop it."""
    running = []

    def start_daemon(args, stdout=None):
        d = daemon_module.Daemon(args, tmp_path, stdout)
        running.append(d)
        return d.start()
    yield start_daemon
    for d in running:
        d.kill()
        daemon_module.check_sanitizers(d.stderr)


@pytest.fixture
def sink():
    with collectors.UdpSink() as s:
        yield s


class Server:
    """A daemon with one exporter towards a sink, shared by the tests of a module."""

    def __init__(self, daemon, sink):
        self.daemon, self.sink, self.address = daemon, sink, daemon.address


EXPORTER = '127.0.0.9'


@pytest.fixture(scope='module')
def server(vpcflowd, tmp_path_factory):
    """Everything goes to the sink, exported as EXPORTER. The daemon must end well when the module's tests are done."""
    with collectors.UdpSink() as s:
        d = daemon_module.Daemon(['--listen', '127.0.0.1:0', '--collector', f'udp://127.0.0.1:{s.port}',
                                  '--exporter-ip', EXPORTER], tmp_path_factory.mktemp('server'))
        try:
            yield Server(d.start(), s)
            d.stop()
        finally:
            d.kill()


@pytest.fixture
def generator(request):
    """Makes records that no other test makes."""
    import scenario
    return scenario.generator_for(request.node.nodeid)
