"""Sound as bytes that go out while more of it is made: PCM, WAV, MP3."""

import io
from collections.abc import Callable, Iterable, Iterator

import numpy as np

PIECE = 1 << 15  # samples of a chunk at most


def pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    """[channels, N] in pieces of at most PIECE samples."""
    return (samples[:, begin : begin + PIECE] for begin in range(0, samples.shape[1], PIECE))


def pcm(blocks: Iterable[np.ndarray], rate: int, channels: int) -> Iterator[bytes]:
    """Blocks float32 [channels, n] -> 16 bits, little endian, channels in turn."""
    from ..modalities.audio_signal import quantized

    for block in blocks:
        yield (quantized(block, 16) >> 16).astype("<i2").T.tobytes()


def wav(blocks: Iterable[np.ndarray], rate: int, channels: int) -> Iterator[bytes]:
    """The same after a head that tells no length."""
    from ..modalities.audio_output import write_wave

    head = io.BytesIO()
    write_wave(head, (), rate, channels)
    yield head.getvalue()
    yield from pcm(blocks, rate, channels)


def mp3(blocks: Iterable[np.ndarray], rate: int, channels: int) -> Iterator[bytes]:
    """Frames of MP3 that begin to play with the first."""
    import av

    from ..modalities.audio_coded import add_sound, encoded
    from ..modalities.audio_formats import target

    to, sink = target("stream.mp3", rate, channels, None, None, None), io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"}  # heads that could only be written at the end
    with av.open(sink, "w", format="mp3", options=options) as container:
        sound = add_sound(container, to)
        for _, packets in encoded(sound, iter(blocks), to):
            container.mux(packets)
            yield _drained(sink)
    yield _drained(sink)


def _drained(sink: io.BytesIO) -> bytes:
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content


CODING: dict[str, Callable[[Iterable[np.ndarray], int, int], Iterator[bytes]]] = {"wav": wav, "mp3": mp3, "pcm": pcm}
