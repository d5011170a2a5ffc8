"""Sound as arrays: on a grid of bits, at another rate, in another number of channels, as loud as asked."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil, isfinite

import numpy as np
import torch
from torch import Tensor

RATES = (1_000, 768_000)  # samples a second that a clip may have
LARGEST_TERM = 3_000  # of a ratio of rates; the filter bank of torchaudio grows with its square
BLOCK = 1 << 18  # samples that are resampled at a time
# the filter of resampy's "kaiser_best": flat to 0.94 of the Nyquist frequency, aliases under -120 dB
WIDTH, ROLLOFF, BETA = 64, 0.9475937167399596, 14.769656459379492

# Weights of the left channel (the right one mirrors it) by channel count, in the order of WAVE_FORMAT_EXTENSIBLE;
# the low-frequency channel is left out (ITU-R BS.775-3, table 2).
HALF = 0.5**0.5
LEFT = {
    3: (1, 0, HALF),  # left, right, centre
    4: (1, 0, HALF, 0),  # front, back
    5: (1, 0, HALF, HALF, 0),  # front, centre, back
    6: (1, 0, HALF, 0, HALF, 0),  # front, centre, low, back
    7: (1, 0, HALF, 0, 0.5, HALF, 0),  # front, centre, low, back centre, sides
    8: (1, 0, HALF, 0, HALF, 0, HALF, 0),  # front, centre, low, back, sides
}
SHORTEST = 0.4  # seconds: the gating block of ITU-R BS.1770
LOUDNESS = (-60.0, -5.0)  # LUFS that may be asked for
CLOSE = 0.05  # LU by which a normalised clip may miss
LOOK_AHEAD = 0.005  # seconds in which the limiter sees a peak coming


def check_rate(rate: int) -> None:
    """ValueError for a number of samples a second that no clip has."""
    if isinstance(rate, bool) or not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"the sample rate must be a whole number from {RATES[0]} to {RATES[1]}, not {rate!r}")


def quantized(samples: np.ndarray, bits: int) -> np.ndarray:
    """float32 in [-1, 1] -> int32 on the grid of 2^(1 - bits), in the upper bits: reading divides by 2^31, so a clip
    that lies on the grid comes back bit for bit (soundfile itself writes floats times 32767 and reads over 32768)."""
    levels = 2.0 ** (bits - 1)
    whole = np.clip(np.rint(samples.astype(np.float64) * levels), -levels, levels - 1)
    return whole.astype(np.int32) << (32 - bits)


def ratio(old: int, new: int) -> Fraction:
    """new / old; terms over 3000 (rates that share no large factor) give the nearest ratio with smaller ones, which is
    less than 0.02 % off. All pairs of the usual rates are exact."""
    exact = Fraction(new, old)
    if max(exact.numerator, exact.denominator) <= LARGEST_TERM:
        return exact
    return exact.limit_denominator(int(LARGEST_TERM / max(1, ceil(exact))))


def resampled_blocks(blocks: Iterable[np.ndarray], old: int, new: int) -> Iterator[np.ndarray]:
    """Blocks float32 [C, n] of one signal at `old` samples a second -> blocks of it at `new`, clamped to [-1, 1].

    Equals torchaudio's resampling of the whole, as every block is given the neighbours that its filter reaches.
    N samples become ceil(N new/old) when the rate rises and floor, at least 1, when it falls: up and back again keeps
    the length. Equal rates leave the blocks untouched.
    """
    check_rate(old), check_rate(new)
    if old == new:
        yield from blocks
        return
    factor = ratio(old, new)
    up, down = factor.numerator, factor.denominator
    margin = down * (ceil(WIDTH / min(up, down) / ROLLOFF) + 2)
    left, kept = 0, None  # `left` samples of `kept` are context, their output is out already
    for block in _cut(blocks):
        kept = block if kept is None else np.concatenate((kept, block), axis=1)
        ready = left + (kept.shape[1] - left - margin) // down * down
        if ready > left:
            yield _resample(kept[:, : ready + margin], up, down)[:, left // down * up : ready // down * up]
            context = min(margin, ready)
            kept, left = kept[:, ready - context :], context
    if kept is not None:
        rest = (kept.shape[1] - left) * factor
        count = ceil(rest) if up > down else max(int(rest), int(left == 0))
        begin = left // down * up
        yield _resample(kept, up, down)[:, begin : begin + count]


def resample(samples: np.ndarray, old: int, new: int) -> np.ndarray:
    """float32 [C, N] at `old` samples a second -> float32 at `new`, as `resampled_blocks`."""
    if old == new:
        return samples
    return np.concatenate(list(resampled_blocks([samples], old, new)), axis=1)


def _cut(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        for start in range(0, block.shape[1], BLOCK):
            yield block[:, start : start + BLOCK]


def _resample(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    from torchaudio.functional import resample as convert

    kind = {"resampling_method": "sinc_interp_kaiser", "lowpass_filter_width": WIDTH, "rolloff": ROLLOFF, "beta": BETA}
    return convert(torch.tensor(samples), down, up, **kind).clamp(-1, 1).numpy()


def mix(samples: np.ndarray, channels: int) -> np.ndarray:
    """float32 [C, N] -> [channels, N]. Mono is copied to all; 3 to 8 channels go to 2 by ITU-R BS.775 (scaled so that
    nothing can clip), and to 1 by the mean of these two. ValueError for any other change."""
    have = samples.shape[0]
    if have == channels:
        return samples
    if have == 1 and channels >= 1:
        return np.repeat(samples, channels, axis=0)
    if channels == 1 and have in (2, *LEFT):
        return mix(samples, 2).mean(axis=0, keepdims=True)
    if channels == 2 and have in LEFT:
        weights = np.array([LEFT[have], _mirrored(have)], np.float32)
        return weights / weights.sum(axis=1, keepdims=True) @ samples
    raise ValueError(f"{have} channels cannot be mixed to {channels}: 3 to 8 go to 1 or 2, and 1 to any number")


def _mirrored(channels: int) -> list[float]:
    """The right channel's weights: each left-right pair of the left one's swapped."""
    weights = list(LEFT[channels])
    pairs = {3: (0,), 4: (0, 2), 5: (0, 3), 6: (0, 4), 7: (0, 5), 8: (0, 4, 6)}[channels]
    for at in pairs:
        weights[at], weights[at + 1] = weights[at + 1], weights[at]
    return weights


def loudness(samples: np.ndarray, rate: int) -> float:
    """Integrated loudness of float32 [C, N] in LUFS (ITU-R BS.1770-4); -inf for silence.

    ValueError for less than 0.4 s or more than 5 channels.
    """
    from pyloudnorm import Meter

    if samples.shape[1] <= SHORTEST * rate:
        raise ValueError(f"{samples.shape[1] / rate:.3g} s have no loudness: it takes more than {SHORTEST} s")
    if samples.shape[0] > 5:
        raise ValueError(f"loudness is defined for 1 to 5 channels, not {samples.shape[0]}; mix to 2 first")
    return float(Meter(rate).integrated_loudness(samples.T.astype(np.float64)))


def normalize(samples: np.ndarray, rate: int, lufs: float, peak: float) -> np.ndarray:
    """float32 [C, N] brought to `lufs` within 0.05 LU by one gain; what would rise over `peak` (dB of full scale)
    is held by a look-ahead limiter. ValueError if there is no loudness, or the limiter cannot reach it."""
    if not LOUDNESS[0] <= lufs <= LOUDNESS[1]:
        raise ValueError(f"the loudness must be from {LOUDNESS[0]:g} to {LOUDNESS[1]:g} LUFS, not {lufs:g}")
    if not -20 <= peak <= 0:
        raise ValueError(f"the peak must be from -20 to 0 dB of full scale, not {peak:g}")
    now = loudness(samples, rate)
    if not isfinite(now):
        raise ValueError("silence has no loudness that could be changed")
    ceiling, gain, found = 10 ** (peak / 20), 0.0, now
    for _ in range(8):  # a limiter takes loudness away: ask for more
        gain += lufs - found
        out = limit(samples * np.float32(10 ** (gain / 20)), rate, ceiling)
        found = loudness(out, rate)
        if abs(found - lufs) <= CLOSE:
            return out
    raise ValueError(f"{lufs:g} LUFS cannot be reached under a peak of {peak:g} dB: {found:.1f} is the most")


def limit(samples: np.ndarray, rate: int, ceiling: float) -> np.ndarray:
    """float32 [C, N] with no sample over `ceiling`, by a gain that all channels share and that moves smoothly.

    The gain is the least that any sample within 5 ms needs, averaged by a Hann window as long: every value averaged at
    a peak is at most what the peak needs, so the ceiling holds exactly, and samples farther away stay as they are.
    """
    peaks = torch.from_numpy(np.abs(samples).max(axis=0))
    if float(peaks.max()) <= ceiling:
        return samples
    reach = max(1, round(LOOK_AHEAD * rate))
    worst = torch.nn.functional.max_pool1d(peaks[None, None], 2 * reach + 1, stride=1, padding=reach)
    gain = _smoothed((ceiling / worst).clamp(max=1), reach)
    return np.clip(samples * gain[0].numpy(), -ceiling, ceiling)  # the rounding of the average


def _smoothed(gain: Tensor, reach: int) -> Tensor:
    """[1, 1, N] -> [1, N]; the ends repeat their last value."""
    window = torch.hann_window(2 * reach + 3, periodic=False)[1:-1]
    padded = torch.nn.functional.pad(gain, (reach, reach), mode="replicate")
    return torch.nn.functional.conv1d(padded, (window / window.sum())[None, None])[0]
