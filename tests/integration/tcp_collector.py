"""An IPFIX collector over TCP or TLS, as a process of its own that can be killed at any moment, and the class that runs it.

Each connection has a file of its own, RUN-CONNECTION-ADDRESS-PORT.ipfix: every whole message is appended by one write()
as soon as it has been read. What the process has read and not written yet, and what its kernel still holds, is lost when
it is killed, as with any collector.
"""
import argparse
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

MESSAGE_HEADER = 16
INTRODUCTION = 16384  # bytes: templates and options records are less


def keep_messages(connection, path, pause):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    buffer = b''
    while True:
        try:
            chunk = connection.recv(65536)
        except OSError as error:
            print(f'{path.name}: {error}', flush=True)
            return
        if not chunk:
            print(f'{path.name}: ended, {len(buffer)} bytes of a message left', flush=True)
            return
        buffer += chunk
        while len(buffer) >= 4:
            version, length = struct.unpack_from('>HH', buffer)
            if version != 10 or length < MESSAGE_HEADER:
                print(f'{path.name}: no IPFIX message: {buffer[:16].hex()}', flush=True)
                return
            if len(buffer) < length:
                break
            os.write(file, buffer[:length])
            buffer = buffer[length:]
        time.sleep(pause)


def serve(connection, context, path, pause):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        keep_messages(connection, path, pause)
        connection.close()
    except OSError as error:
        print(f'{path.name}: {error}', flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('directory', type=pathlib.Path)
    parser.add_argument('run', type=int)
    parser.add_argument('port', type=int)
    parser.add_argument('--certificate')
    parser.add_argument('--key')
    parser.add_argument('--client-ca')
    parser.add_argument('--pause', type=float, default=0, help='seconds between two reads')
    args = parser.parse_args()
    context = None
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.certificate, args.key)
        if args.client_ca:
            context.load_verify_locations(args.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(('127.0.0.1', args.port), backlog=64)
    listener.settimeout(0.02)
    threads, stopping = [], threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    print('listening', flush=True)
    number = 0
    while True:
        try:
            connection, (address, port) = listener.accept()
        except TimeoutError:
            if stopping.is_set():  # only once nobody waits to be accepted
                break
            continue
        connection.settimeout(None)
        path = args.directory / f'{args.run:04d}-{number:04d}-{address}-{port}.ipfix'
        number += 1
        threads.append(threading.Thread(target=serve, args=(connection, context, path, args.pause)))
        threads[-1].start()
    listener.close()
    for thread in threads:  # until each connection has ended
        thread.join()


class TcpCollector:
    """Runs the collector, again and again on one port."""

    def __init__(self, directory, *options):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.options = options
        with socket.create_server(('127.0.0.1', 0)) as s:
            self.port = s.getsockname()[1]
        self.runs = 0
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self, *options):
        self.runs += 1
        with open(self.directory / 'log', 'ab') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-S', __file__, str(self.directory), str(self.runs), str(self.port),
                 *map(str, options or self.options)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def wait_until_listening(self, seconds=30):
        deadline = time.monotonic() + seconds
        while self.log.count('listening') < self.runs:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.01)
        return self

    @property
    def log(self):
        return (self.directory / 'log').read_text()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, seconds=60):
        """Once every connection has ended, it has read all that came."""
        self.process.terminate()
        self.process.wait(seconds)

    def stored_in_this_run(self):
        """The addresses of exporters of which it has stored more than an introduction."""
        return {path.name.split('-')[2] for path in self.directory.glob(f'{self.runs:04d}-*.ipfix')
                if path.stat().st_size > INTRODUCTION}

    def take_connections(self):
        """[(exporter, connection's number, [message, …])] in order; their files are removed. A message is cut off if the process was killed in the
        middle of its write()."""
        result = []
        for number, path in enumerate(sorted(self.directory.glob('*.ipfix'))):
            data, messages, at = path.read_bytes(), [], 0
            while len(data) - at >= 4:
                length, = struct.unpack_from('>H', data, at + 2)
                if at + length > len(data):
                    break
                messages.append(data[at:at + length])
                at += length
            path.unlink()
            result.append((path.name.split('-')[2], number, messages))
        return result


if __name__ == '__main__':
    main()
