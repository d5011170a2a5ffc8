"""Laws of keyed noise."""

import math
import time

import pytest
import torch

from mediagen.core import rng
from mediagen.core.rng import Drawn, Given, Keyed, normal, uniform

PINNED = [0.740257747490835, -0.23314618311912347, 0.41067767185180143, -1.4409580642717545]


def test_philox_known_answers():
    """The published test vectors of Philox 4x32-10 (Random123, kat_vectors)."""
    zero, ones = torch.zeros(1, dtype=torch.int64), torch.full((1,), 0xFFFFFFFF)
    assert [int(v) for v in rng._philox([zero] * 4, [zero] * 2)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert [int(v) for v in rng._philox([ones] * 4, [ones] * 2)] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_alone_in_a_batch_and_in_any_order():
    batch = normal((3, 5, 7), seed=11, sample=[4, 0, 9], step=2)
    for row, n in enumerate((4, 0, 9)):
        assert torch.equal(batch[row], normal((3, 5, 7), seed=11, sample=n, step=2))
    keyed = Keyed(seed=[11, 12], samples=[4, 0])
    drawn = keyed(2, torch.empty(2, 3, 5, 7))
    assert torch.equal(drawn[0], batch[0]) and torch.equal(drawn[1], normal((3, 5, 7), seed=12, sample=0, step=2))


def test_every_part_of_the_key_counts():
    base = {"seed": 1, "sample": 2, "step": 3, "purpose": "a"}
    others = [{}, {"seed": 2}, {"seed": 1 + 2**32}, {"sample": 3}, {"step": 4}, {"purpose": "b"}]
    draws = torch.stack([normal((512,), **{**base, **other}) for other in others])
    correlation = torch.corrcoef(draws) - torch.eye(len(draws))
    assert float(correlation.abs().max()) < 5 / math.sqrt(512)


def test_the_numbers_do_not_change():
    """A picture made today is the same tomorrow: these are what seed 7 has always given."""
    expected = normal((4,), seed=7, sample=1, step=5, dtype=torch.float64).tolist()
    assert expected == pytest.approx(PINNED, rel=1e-15)


def test_normal_and_uniform_are_so():
    z = normal((400_000,), seed=0, dtype=torch.float64)
    moments = [float((z**k).mean()) for k in range(1, 5)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.02)
    order = torch.sort(torch.special.ndtr(z)).values
    gap = (order - torch.linspace(0, 1, len(z), dtype=torch.float64)).abs().max()
    assert float(gap) < 1.9 / math.sqrt(len(z))  # Kolmogorov-Smirnov at about 0.1 %
    u = uniform((100_000,), seed=0)
    assert float(u.min()) > 0 and float(u.max()) < 1 and float(u.mean()) == pytest.approx(0.5, abs=0.005)


def test_bad_keys_are_named():
    for bad in ({"seed": -1}, {"seed": 2**64}, {"seed": 0, "sample": -1}, {"seed": [1, 2], "sample": 0}):
        with pytest.raises(ValueError):
            normal((4,), **bad)
    with pytest.raises(ValueError, match="2 samples"):
        Keyed(seed=0, samples=[0, 1])(0, torch.empty(3, 4))


def test_it_is_quick():
    """A 16 x 16 x 16 latent in under 2 ms (0.8 ms measured on one core)."""
    best = math.inf
    for step in range(20):
        start = time.perf_counter()
        normal((16, 16, 16), seed=0, sample=[0], step=step)
        best = min(best, time.perf_counter() - start)
    assert best < 2e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cpu_and_gpu_agree_bit_for_bit():
    for make in (normal, uniform):
        here, there = (make((1 << 20,), seed=3, sample=[0, 5], device=d, dtype=torch.float64) for d in ("cpu", "cuda"))
        assert torch.equal(here, there.cpu())


def test_noise_that_is_handed_in():
    """A tensor starts a batch and its seeds do the rest; a generator is drawn from again and again."""
    like, keyed = torch.zeros(2, 3), Keyed(seed=1, samples=[0, 1])
    given = Given(start=torch.ones(2, 3), steps=keyed)
    assert torch.equal(given(0, like), torch.ones(2, 3))
    assert torch.equal(given.of("step")(4, like), Keyed(seed=1, samples=[0, 1], purpose="step")(4, like))
    with pytest.raises(ValueError, match=r"the noise is \(2, 3\), it must be \(1, 3\)"):
        given(0, like[:1])
    drawn, same = Drawn(generator=torch.Generator().manual_seed(5)), torch.Generator().manual_seed(5)
    for _ in range(2):
        assert torch.equal(drawn.of("step")(0, like), torch.randn(2, 3, generator=same))


@pytest.mark.parametrize("side", [3, 200])
def test_noise_drawn_ahead_is_that_of_each_step(side):
    """Of a small state several steps at once, of a large one each by itself; steps may be left out."""
    keyed, like = Keyed(seed=[3, 2**63], samples=[7, 0]), torch.zeros(2, 1, side, side)
    drawn = rng.ahead(keyed, 6)
    for step in (0, 1, 3, 4, 5):
        assert torch.equal(drawn(step, like), keyed(step, like))
    assert len(drawn.kept) <= 1
    given = Given(start=like, steps=keyed)
    assert rng.ahead(given, 6) is given
