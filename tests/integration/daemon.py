"""The daemon as a child process: configuration files, start, readiness, stop, and what it left on stderr."""
import os
import pathlib
import re
import signal
import subprocess
import time

from wire import SLOW

REPO = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get('VPCFLOWD_SHARED') or REPO.parent / 'shared')

SANITIZER_REPORTS = ('ERROR: AddressSanitizer', 'runtime error:', 'WARNING: ThreadSanitizer', 'LeakSanitizer')
READY = re.compile(r'listening on (\S+):(\d+)')
START_SECONDS = 10 * SLOW
STOP_SECONDS = 20 * SLOW


def binary():
    """The daemon to test, or None."""
    named = os.environ.get('VPCFLOWD_BIN')
    if named:
        return pathlib.Path(named).resolve()
    for preset in ('dev', 'release'):
        path = REPO / 'build' / preset / 'vpcflowd'
        if path.exists():
            return path
    return None


def check_sanitizers(stderr):
    for report in SANITIZER_REPORTS:
        assert report not in stderr, f'sanitizer report:\n{stderr}'


def _section(name, keys):
    return f'[{name}]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items())


def write_config(directory, collectors, vpcs, listener=None, daemon=None, **sections):
    """vpcflowd.conf and one vpc.d file for each VPC. Arguments are dicts of keys; returns the main file's path.
    VPC files are numbered, so that they are read in the dict's order. Repeats are exported unless duplicate_window is
    given: most tests may send what they like as often as they like."""
    directory = pathlib.Path(directory)
    (directory / 'vpc.d').mkdir(parents=True, exist_ok=True)
    main = _section('listener', {'address': '127.0.0.1:0', 'duplicate_window': '0s', **(listener or {})})
    if daemon:
        main += _section('daemon', daemon)
    main += ''.join(_section(name, keys) for name, keys in sections.items() if keys)
    main += ''.join(_section(f'collector "{name}"', keys) for name, keys in collectors.items())
    path = directory / 'vpcflowd.conf'
    path.write_text(main)
    for n, (name, keys) in enumerate(vpcs.items()):
        (directory / 'vpc.d' / f'{n:02d}-{name}.conf').write_text(_section(f'vpc "{name}"', keys))
    return path


def vpc_keys(vpc, **more):
    """A generator's Vpc as configuration, matched by account."""
    return {'account': vpc.account, 'exporter_ip': vpc.exporter_ip, **more}


def udp(port, **more):
    return {'address': f'127.0.0.1:{port}', 'transport': 'udp', **more}


def tcp(port, **more):
    return {'address': f'127.0.0.1:{port}', 'transport': 'tcp', **more}


def tls(port, **more):
    return {'address': f'127.0.0.1:{port}', 'transport': 'tls', **more}


def file(path, **more):
    return {'address': str(path), 'transport': 'file', **more}


def run(args, stdin=None, timeout=60 * SLOW, env=None):
    """The daemon as a command that ends by itself: --read, -t, wrong usage. stdout and stderr are text."""
    result = subprocess.run([str(binary()), *map(str, args)], input=stdin, capture_output=True, timeout=timeout,
                            env={**os.environ, 'TZ': 'UTC', **(env or {})}, check=False)
    result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode(errors='replace')
    check_sanitizers(result.stderr)
    assert result.returncode >= 0, f'ended by signal {-result.returncode}:\n{result.stderr}'
    return result


class Daemon:
    """A listening daemon. start() returns when it listens; stop() asserts that it ends with exit code 0."""

    def __init__(self, args, directory, stdout=None):
        self.args = [str(binary()), *map(str, args)]
        self.stderr_path = pathlib.Path(directory) / f'vpcflowd-{time.monotonic_ns()}.stderr'
        self.stdout = stdout
        self.process = None
        self.address = None

    def start(self):
        with open(self.stderr_path, 'wb') as stderr:
            self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=self.stdout, stderr=stderr,
                                            env={**os.environ, 'TZ': 'UTC'})
        deadline = time.monotonic() + START_SECONDS
        while True:
            match = READY.search(self.stderr)
            if match:
                break
            assert self.process.poll() is None, f'ended with {self.process.returncode} at start:\n{self.stderr}'
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f'not listening after {START_SECONDS} s:\n{self.stderr}')
            time.sleep(0.01)
        self.address = match[1].strip('[]'), int(match[2])
        return self

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors='replace')

    @property
    def pid(self):
        return self.process.pid

    def memory_kib(self, which='VmRSS'):
        """VmRSS is what it has resident, VmHWM the most that it has had."""
        status = pathlib.Path(f'/proc/{self.pid}/status').read_text(encoding='ascii')
        return int(status.split(which + ':')[1].split()[0])

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'still running {STOP_SECONDS} s after it was told to stop:\n{self.stderr}') from None

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.send_signal(number)
        code = self.wait()
        check_sanitizers(self.stderr)
        assert code == 0, f'exit code {code}:\n{self.stderr}'

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
