"""Sound that is heard or passed on while it is still being made: the sound card, and an endless WAV for a pipe."""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, BinaryIO, TypeVar

import numpy as np

from .audio_signal import quantized

T = TypeVar("T")
ENDLESS = 0xFFFFFFFF  # the size that a WAV header tells when nobody knows it


def check_card() -> None:
    """ValueError if no sound can be played here; asked before the work begins."""
    _card(lambda sounddevice: sounddevice.query_devices(kind="output"))


@contextmanager
def sound_card(rate: int, channels: int) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that plays float32 [channels, n] and returns when the card has taken it; all is heard at the end.

    ValueError if there is no sound card, or `sounddevice` is not installed."""
    stream = _card(lambda sounddevice: sounddevice.OutputStream(samplerate=rate, channels=channels, dtype="float32"))
    with stream:
        yield lambda samples: stream.write(np.ascontiguousarray(samples.T))


def _card(ask: Callable[[Any], T]) -> T:
    try:
        import sounddevice

        return ask(sounddevice)
    except (ImportError, OSError) as error:
        raise ValueError(f"playing needs `pip install sounddevice` and the PortAudio library: {error}") from error
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        raise ValueError(f"there is no sound card to play on: {error}") from error


def write_wave(file: BinaryIO, blocks: Iterable[np.ndarray], rate: int, channels: int) -> None:
    """Blocks float32 [channels, n] in [-1, 1] -> WAV of 16 bits, each at once, into what cannot be rewound (a pipe)."""
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", ENDLESS, b"WAVE", b"fmt ", 16, 1, channels, rate, *_frame(rate, channels)
    )
    file.write(head + struct.pack("<4sI", b"data", ENDLESS))
    for block in blocks:
        file.write((quantized(block, 16) >> 16).astype("<i2").T.tobytes())
        file.flush()


def _frame(rate: int, channels: int) -> tuple[int, int, int]:
    """Bytes a second, bytes of all channels at one time, bits."""
    return rate * channels * 2, channels * 2, 16


def ahead(items: Iterable[T], most: int = 2) -> Iterator[T]:
    """The same items, made by another thread that is at most so many ahead; what it raises is raised here."""
    ready: Queue[tuple[str, Any]] = Queue(maxsize=most)
    left = Event()

    def put(kind: str, value: Any) -> bool:
        while not left.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    Thread(target=work, daemon=True).start()
    try:
        while (found := ready.get())[0] == "item":
            yield found[1]
        if found[0] == "error":
            raise found[1]
    finally:
        left.set()
