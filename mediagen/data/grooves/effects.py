"""Sound effects: synthesised ones, and a few of the soundfont's own (General MIDI 122-127).

A synthesised effect is a function (rng, frames) -> float64 [frames] or [frames, 2] of any level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .render import RATE

Synth = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One kind of sound. names: what captions call it. make: its synthesis, or else key and program of General MIDI."""

    names: tuple[str, ...]
    make: Synth | None = None
    program: int = -1
    key: int = 60


def noise(rng: np.random.Generator, frames: int, low: float, high: float, slope: float = 0.0) -> np.ndarray:
    """Noise float64 [frames, 2] between two frequencies in Hz, with `slope` dB an octave; both channels differ."""
    hertz = np.fft.rfftfreq(frames, 1 / RATE)[:, None]
    shape = (hertz / (hertz + low)) ** 2 / (1 + (hertz / high) ** 4)
    tilt = np.maximum(hertz, 20.0) ** (slope / 6.02)
    spectrum = (rng.normal(size=(len(hertz), 2)) + 1j * rng.normal(size=(len(hertz), 2))) * shape * tilt
    found = np.fft.irfft(spectrum, frames, axis=0)
    return found / max(float(np.abs(found).max()), 1e-12)


def tone(hertz: np.ndarray, partials: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """A tone float64 [frames] that follows a frequency; partials: strength of each harmonic."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return sum((a * np.sin((n + 1) * phase) for n, a in enumerate(partials)), np.zeros(len(hertz)))


def slow(rng: np.random.Generator, frames: int, per_second: float) -> np.ndarray:
    """A smooth random curve float64 [frames] in 0..1 with about `per_second` turns a second."""
    points = rng.random(max(4, round(frames / RATE * per_second) + 3))
    place = np.linspace(0, len(points) - 1.001, frames)
    whole, part = place.astype(int), place % 1
    bend = part * part * (3 - 2 * part)
    return points[whole] * (1 - bend) + points[whole + 1] * bend


def decay(frames: int, seconds: float) -> np.ndarray:
    """An envelope float64 [frames] that starts in 2 ms and falls by 60 dB in `seconds`."""
    age = np.arange(frames) / RATE
    return np.minimum(age / 0.002, 1) * 10 ** (-3 * age / seconds)


def repeated(frames: int, starts: list[float], make: Callable[[int], np.ndarray]) -> np.ndarray:
    """A short sound [n] or [n, 2] laid at several starts in seconds; make(i) gives the i-th."""
    out = np.zeros((frames, 2))
    for i, start in enumerate(starts):
        at = round(start * RATE)
        sound = make(i)[: max(frames - at, 0)]
        out[at : at + len(sound)] += sound if sound.ndim == 2 else sound[:, None]
    return out


def _every(rng: np.random.Generator, frames: int, low: float, high: float) -> list[float]:
    """Even starts over the clip, a distance drawn from low..high seconds apart."""
    gap = float(rng.uniform(low, high))
    return [float(t) for t in np.arange(0.05, frames / RATE - 0.15, gap)]


def whoosh(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Noise that swells and passes from one side to the other."""

    def one_pass(_: int) -> np.ndarray:
        n = round(float(rng.uniform(0.5, 1.2)) * RATE)
        place = np.linspace(0, 1, n)[:, None]
        swell = np.sin(np.pi * place) ** 3
        bands = [noise(rng, n, f, 2 * f) for f in (300.0, 900.0, 2700.0)]
        mixed_bands = bands[0] * (1 - swell) + bands[1] * swell + bands[2] * swell**2
        return mixed_bands * swell * np.concatenate([1.2 - place, 0.2 + place], axis=1)

    return repeated(frames, _every(rng, frames, 1.4, 2.6), one_pass)


def beep(rng: np.random.Generator, frames: int) -> np.ndarray:
    hertz, length = float(rng.uniform(500, 1800)), round(float(rng.uniform(0.08, 0.3)) * RATE)
    shape = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 200)
    return repeated(frames, _every(rng, frames, 0.45, 1.0), lambda _: tone(np.full(length, hertz)) * shape)


def laser(rng: np.random.Generator, frames: int) -> np.ndarray:
    top, low, n = (
        float(rng.uniform(2500, 5000)),
        float(rng.uniform(120, 400)),
        round(float(rng.uniform(0.2, 0.45)) * RATE),
    )
    fall = top * (low / top) ** np.linspace(0, 1, n) ** 0.6
    return repeated(frames, _every(rng, frames, 0.5, 1.1), lambda _: tone(fall, (1, 0.3, 0.33)) * decay(n, 0.5))


def rain(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A steady hiss with drops in it."""
    drops = np.zeros((frames, 2))
    many = round(frames / RATE * float(rng.uniform(40, 120)))
    spots = rng.integers(0, frames, many)
    drops[spots] = rng.normal(size=(many, 2)) * rng.random((many, 1)) ** 2
    ring = decay(round(0.01 * RATE), 0.01) * tone(np.full(round(0.01 * RATE), 3200.0))
    wet = np.stack([np.convolve(drops[:, c], ring)[:frames] for c in (0, 1)], axis=1)
    return noise(rng, frames, 1200, 9000) * 0.5 + wet


def wind(rng: np.random.Generator, frames: int) -> np.ndarray:
    gust = slow(rng, frames, 0.6)[:, None]
    return noise(rng, frames, 120, 450) * (0.3 + 0.7 * gust) + noise(rng, frames, 500, 1100) * gust**3


def thunder(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A crack, and a rumble that rolls away."""
    n = min(frames, round(float(rng.uniform(3.0, 5.0)) * RATE))
    roll = decay(n, float(rng.uniform(3.0, 5.0)))[:, None] * (0.4 + 0.6 * slow(rng, n, 4)[:, None])
    crack = noise(rng, n, 300, 5000) * decay(n, 0.5)[:, None]
    strike = noise(rng, n, 40, 220) * roll + 0.35 * crack
    return repeated(frames, _every(rng, frames, 3.5, 6.0), lambda _: strike)


def waves(rng: np.random.Generator, frames: int) -> np.ndarray:
    period = float(rng.uniform(3.5, 6.0))
    age = (np.arange(frames) / RATE / period + float(rng.random())) % 1
    swell = (np.where(age < 0.35, age / 0.35, (1 - age) / 0.65) ** 2)[:, None]
    return noise(rng, frames, 200, 2500, -2) * (0.12 + swell) + noise(rng, frames, 2500, 9000) * 0.3 * swell**2


def siren(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Two pitches, gliding up and down."""
    low, period = float(rng.uniform(450, 650)), float(rng.uniform(0.8, 3.5))
    glide = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / RATE / period)
    return tone(low * 2 ** (glide * float(rng.uniform(0.6, 1.1))), (1, 0.5, 0.3, 0.2))


def alarm(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Two pitches in turn, with square edges."""
    low, rate = float(rng.uniform(600, 900)), float(rng.uniform(1.5, 4))
    high = np.floor(np.arange(frames) / RATE * rate * 2) % 2
    return np.tanh(3 * tone(low * (1 + 0.26 * high), (1, 0, 0.4, 0, 0.2)))


def explosion(rng: np.random.Generator, frames: int) -> np.ndarray:
    n = min(frames, round(3.5 * RATE))
    blast = noise(rng, n, 30, 500) * decay(n, 2.6)[:, None] + noise(rng, n, 400, 4000) * decay(n, 0.7)[:, None]
    return repeated(frames, _every(rng, frames, 3.0, 4.5), lambda _: np.tanh(3 * blast))


def heartbeat(rng: np.random.Generator, frames: int) -> np.ndarray:
    n = round(0.25 * RATE)
    thump = tone(np.linspace(75, 42, n)) * decay(n, 0.22) + 0.3 * tone(np.linspace(150, 84, n)) * decay(n, 0.1)
    beats = _every(rng, frames, 0.65, 1.1)
    return repeated(
        frames, sorted([*beats, *(b + 0.24 for b in beats)]), lambda i: thump * (1.0 if i % 2 == 0 else 0.7)
    )


def clock(rng: np.random.Generator, frames: int) -> np.ndarray:
    n = round(0.04 * RATE)
    scale = float(rng.uniform(0.8, 1.25))
    ticks = [tone(np.full(n, scale * f), (1, 0.6, 0.5)) * decay(n, 0.025) for f in (2300.0, 1700.0)]
    gap = float(rng.choice([0.25, 0.5, 1.0]))
    return repeated(frames, [float(t) for t in np.arange(0.05, frames / RATE - 0.1, gap)], lambda i: ticks[i % 2])


def bubbles(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Short tones that rise, at random times."""
    many = round(frames / RATE * float(rng.uniform(5, 14)))

    def bubble(_: int) -> np.ndarray:
        n, low = round(float(rng.uniform(0.04, 0.1)) * RATE), float(rng.uniform(350, 1100))
        return (
            tone(low * 2 ** np.linspace(0, float(rng.uniform(0.5, 1.2)), n))
            * np.hanning(n)
            * float(rng.uniform(0.3, 1))
        )

    return repeated(frames, sorted(float(t) for t in rng.uniform(0, frames / RATE - 0.1, many)), bubble)


def coin(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Two quick high square tones, as video games have them."""
    n, low = round(0.5 * RATE), float(rng.uniform(800, 1100))
    pitch = np.where(np.arange(n) < 0.07 * RATE, low, low * 4 / 3)
    return repeated(frames, _every(rng, frames, 0.7, 1.4), lambda _: np.sign(tone(pitch)) * decay(n, 0.45))


def power_up(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A quick arpeggio of square tones, rising."""
    n, low = round(0.7 * RATE), float(rng.uniform(220, 440))
    steps = np.array([0, 4, 7, 12, 16, 19, 24, 28])
    pitch = low * 2 ** (steps[np.minimum((np.arange(n) / n * len(steps)).astype(int), 7)] / 12)
    return repeated(frames, _every(rng, frames, 1.0, 1.8), lambda _: np.sign(tone(pitch)) * decay(n, 1.5))


def static(rng: np.random.Generator, frames: int) -> np.ndarray:
    crackle = np.abs(rng.normal(size=(frames, 2))) > 3.4
    return noise(rng, frames, 300, 12000) * 0.5 + crackle * rng.normal(size=(frames, 2))


def hum(rng: np.random.Generator, frames: int) -> np.ndarray:
    mains = np.full(frames, float(rng.choice([50.0, 60.0, 100.0])))
    return tone(mains, (1, 0.8, 0.6, 0.4, 0.4, 0.3)) * (0.9 + 0.1 * slow(rng, frames, 3))


def riser(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A tone and noise that climb and grow through the whole clip."""
    age = np.linspace(0, 1, frames)
    climb = tone(float(rng.uniform(80, 160)) * 2 ** (4 * age**1.5), (1, 0.5, 0.33, 0.25))
    return (climb * 0.5)[:, None] * age[:, None] + noise(rng, frames, 1500, 9000) * age[:, None] ** 2


def bell(rng: np.random.Generator, frames: int) -> np.ndarray:
    n, low = round(2.5 * RATE), float(rng.uniform(300, 900))
    ratios = ((0.5, 0.4, 2.5), (1, 1, 2.2), (1.19, 0.6, 1.6), (1.56, 0.5, 1.2), (2, 0.6, 1.0), (2.66, 0.4, 0.7))
    stroke = sum((a * tone(np.full(n, low * r)) * decay(n, d) for r, a, d in ratios), np.zeros(n))
    return repeated(frames, _every(rng, frames, 1.2, 2.4), lambda _: stroke)


EFFECTS: dict[str, Effect] = {
    "whoosh": Effect(names=("whooshes", "whoosh sounds", "swooshing air"), make=whoosh),
    "beep": Effect(names=("beeping", "electronic beeps", "a series of beeps"), make=beep),
    "laser": Effect(names=("laser shots", "sci-fi laser blasts", "retro laser zaps"), make=laser),
    "rain": Effect(names=("rain", "falling rain", "steady rainfall"), make=rain),
    "wind": Effect(names=("wind", "blowing wind", "gusts of wind"), make=wind),
    "thunder": Effect(names=("thunder", "rolling thunder", "rumbling thunder"), make=thunder),
    "waves": Effect(names=("ocean waves", "waves on a beach", "sea waves"), make=waves),
    "siren": Effect(names=("a siren", "a wailing siren", "an emergency siren"), make=siren),
    "alarm": Effect(names=("an alarm", "a two-tone alarm", "a blaring alarm"), make=alarm),
    "explosion": Effect(names=("an explosion", "a deep explosion", "a booming blast"), make=explosion),
    "heartbeat": Effect(names=("a heartbeat", "a beating heart", "thumping heartbeat"), make=heartbeat),
    "clock": Effect(names=("a ticking clock", "clock ticking", "tick-tock of a clock"), make=clock),
    "bubbles": Effect(names=("bubbles", "bubbling water", "blubbering bubbles"), make=bubbles),
    "coin": Effect(names=("video game coins", "coin pickup sounds", "arcade coin sounds"), make=coin),
    "power-up": Effect(names=("a video game power-up", "power-up sounds", "a rising 8-bit power-up"), make=power_up),
    "static": Effect(names=("radio static", "white noise static", "crackling static"), make=static),
    "hum": Effect(names=("an electric hum", "mains hum", "a low electrical hum"), make=hum),
    "riser": Effect(names=("a riser", "a rising sweep", "a build-up sweep going up"), make=riser),
    "bell": Effect(names=("a bell", "a tolling bell", "a ringing bell"), make=bell),
    "seashore": Effect(names=("the seashore", "surf at the seashore"), program=122),
    "birds": Effect(names=("chirping birds", "birdsong", "birds tweeting"), program=123, key=72),
    "telephone": Effect(names=("a ringing telephone", "a telephone ring", "an old phone ringing"), program=124),
    "helicopter": Effect(names=("a helicopter", "helicopter blades", "a hovering helicopter"), program=125),
    "applause": Effect(names=("applause", "a clapping crowd", "an audience applauding"), program=126),
    "gunshot": Effect(names=("gunshots", "gun shots", "shots from a gun"), program=127),
}
BEDS = ("rain", "wind", "waves", "static", "hum", "seashore", "birds", "bubbles", "helicopter")  # what others go over
STRUCK = ("gunshot",)
