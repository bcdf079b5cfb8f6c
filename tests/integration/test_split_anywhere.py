"""A stream cut into pieces at any byte gives the same replies and the same records as in one piece."""
import time

import pytest

import payloads
from conftest import EXPORTER
from scenario import exported_as, reply_to
from wire import FRAMINGS, SLOW, Client

PAUSE = 0.0005  # so that the daemon reads the first piece alone: TCP_NODELAY is on, but nothing forces it


def send_pieces(address, pieces, closes):
    with Client(address) as client:
        for piece in pieces:
            client.send(piece)
            time.sleep(PAUSE)
        if closes:
            client.finish()
        return client.line()


@pytest.mark.parametrize('name', FRAMINGS)
def test_two_pieces_cut_at_every_byte(server, generator, name):
    framing, everything = FRAMINGS[name], []
    with Client(server.address) as kept:
        cut, size = 1, 2
        while cut < size:
            lines = generator.mixed_lines(2, idle=0.3)  # records of its own for each cut: no two payloads are alike
            stream = framing.wrap(payloads.simple_document(lines, group='/g', stream='s'))
            size = len(stream)
            if framing.closes:
                reply = send_pieces(server.address, (stream[:cut], stream[cut:]), True)
            else:
                kept.send(stream[:cut])
                time.sleep(PAUSE)
                reply = kept.send(stream[cut:]).line()
            assert reply == reply_to(lines), f'cut at {cut} of {size}: {stream[:cut]!r} | {stream[cut:]!r}'
            everything += lines
            cut += 1
    server.sink.wait_for(exported_as(EXPORTER, everything))


@pytest.mark.parametrize('name', FRAMINGS)
def test_byte_by_byte(server, generator, name):
    framing = FRAMINGS[name]
    lines = generator.mixed_lines(3, idle=0.5)
    document = payloads.document_text('unknown keys, shuffled, spaced', lines, seed=5)
    stream = framing.wrap(document)
    reply = send_pieces(server.address, [stream[i:i + 1] for i in range(len(stream))], framing.closes)
    assert reply == reply_to(lines)
    server.sink.wait_for(exported_as(EXPORTER, lines))


def test_many_payloads_cut_at_random(server, generator):
    """A long stream of all framings that need no end of stream, in pieces of any size."""
    kept = [f for f in FRAMINGS.values() if not f.closes]
    stream, wanted, everything = b'', [], []
    for n in range(100):
        lines = generator.mixed_lines(generator.rng.randrange(1, 30))
        everything += lines
        stream += generator.rng.choice(kept).wrap(payloads.simple_document(lines))
        wanted.append(reply_to(lines))
    with Client(server.address) as client:
        at = 0
        while at < len(stream):
            step = generator.rng.choice((1, 2, 7, 100, 1460, 4096, 50000))
            client.send(stream[at:at + step])
            at += step
        assert client.lines(len(wanted)) == wanted
    server.sink.wait_for(exported_as(EXPORTER, everything), 20 * SLOW)
