"""One number where some tokens are clean is a time for each token: the same x0, whatever it goes through."""

import pytest
import torch

from mediagen.core import guidance, path, predict, times
from mediagen.core.denoiser import Denoiser

CLEAN = torch.arange(24).reshape(1, 1, 4, 6) % 5 == 0
X = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
ROADS = {"flow": path.Flow(), "cosine": path.Cosine(), "vp": path.VP(), "ve": path.VE(), "table": path.Table.linear()}
TOLD = {  # scale and clock of networks
    "plain": {},
    "scaled": {"scale": lambda a, s: 1 / (a * a + s * s) ** 0.5, "clock": lambda t, a, s: 1000 * t - 1},
    "levels": {"clock": lambda t, a, s: (s / a + 1e-3).log() / 4 if isinstance(s, torch.Tensor) else clock(s / a)},
}


def clock(ratio: float) -> float:
    return float(torch.tensor(ratio + 1e-3, dtype=torch.float64).log() / 4)


class Net(torch.nn.Module):
    """It feels its time, its place and its prompt."""

    def forward(self, x, t, cond):
        t = t if t.ndim > 1 else t.view(-1, 1, 1, 1)
        return torch.sin(x * (1 + cond["gain"].view(-1, 1, 1, 1)) + x.roll(1, -1)) + 0.1 * torch.tanh(t)


def both(t: float, clean: torch.Tensor = CLEAN):
    return times.Pinned(t=t, clean=clean), torch.where(clean, 0.0, torch.tensor(t, dtype=torch.float64)).expand(
        2, -1, -1, -1
    )


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("prediction", predict.rows())
def test_a_denoiser_says_the_same(prediction, road, told):
    denoiser = Denoiser(Net(), ROADS[road], prediction, **TOLD[told])
    x = X * (3 if road == "ve" else 1)
    for t in (0.9, 0.4):
        one, other = (denoiser(x, each, {"gain": torch.tensor([0.2, 0.5])}) for each in both(t))
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)
        assert torch.equal(one[CLEAN.expand_as(one)], x[CLEAN.expand_as(x)])


@pytest.mark.parametrize("rows, post", [(1, ()), (1, guidance.rescale(0.5)), (2, guidance.rescale(0.5))])
@pytest.mark.parametrize("method", guidance.methods())
def test_guidance_says_the_same(method, rows, post):
    road = path.Flow()
    denoiser = Denoiser(Net(), road, "flow")
    branches = [denoiser.bind({"gain": torch.full((2,), gain)}) for gain in (0.3, 0.0)]
    options = {"path": road, "times": [0.9, 0.5, 0.0]} if method == "cfg_pp" else {}
    scale = 0.6 if method == "cfg_pp" else 3.0
    clean = CLEAN if rows == 1 else torch.cat([CLEAN, ~CLEAN])
    made = []
    for t in both(0.5, clean):
        term = guidance.find(method)(*branches, scale, **options)  # anew, since some have a memory
        made.append(guidance.guided(branches[0], term, post=post)(X, t))
    assert torch.allclose(*made, atol=1e-5)


def test_what_is_pinned_twice_is_clean_in_both():
    free = torch.zeros_like(CLEAN)
    free[..., 0] = True
    once, dense = both(0.5)
    for t in (once, dense):
        again = times.pin(t, free, X)
        seen = again.each(again.t, 0.0, 2) if isinstance(again, times.Pinned) else again.float()
        assert torch.equal(seen, torch.where(CLEAN | free, 0.0, 0.5).expand(2, -1, -1, -1))
    assert torch.equal(times.pin(torch.tensor([0.2, 0.5]), CLEAN, X)[1], torch.where(CLEAN, 0.0, 0.5)[0])
    assert times.latest(once) == times.latest(dense) == 0.5 and times.per_token(once) and not times.per_token(0.5)
