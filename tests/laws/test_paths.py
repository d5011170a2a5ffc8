"""Laws of paths, predictions and timings. New members are found by looking, so a new one is held to them at once."""

import inspect
import math

import pytest
import torch

from mediagen.core import path, predict, timing
from mediagen.core.denoiser import Denoiser, loss

TABLES = {
    "table": path.Table.scaled_linear(),
    "table_sigma": path.Table.linear(spacing="sigma"),
    "table_log": path.Table.scaled_linear(spacing="log"),
    "table_zero": path.Table.linear().zero_terminal(),
}
PATHS = {n.lower(): kind() for n, kind in path.paths().items() if n != "Table"} | TABLES
TIMES = torch.linspace(0, 1, 1001, dtype=torch.float64)
LEVELS = [(1 - t, t) for t in (0.01, 0.3, 0.7, 0.99)] + [(1.0, s) for s in (0.01, 1.0, 50.0)] + [(0.6, 0.8)]
EXPLICIT = {"Explicit": timing.Explicit(times=torch.linspace(1, 0, 9).tolist())}
TIMINGS = {n: kind() for n, kind in timing.timings().items() if n != "Explicit"} | EXPLICIT


@pytest.mark.parametrize("name", PATHS)
def test_snr_falls_and_data_is_clean(name):
    a, s = PATHS[name](TIMES)
    assert (a[0], s[0]) == (1, 0)
    assert bool((torch.diff(s / a) > 0).all())


@pytest.mark.parametrize("name", PATHS)
def test_time_inverts_the_path(name):
    a, s = PATHS[name](TIMES)
    assert torch.allclose(PATHS[name].time(s / a), TIMES, atol=1e-12, rtol=0)
    assert [PATHS[name].time(float(r)) for r in s / a] == pytest.approx(TIMES.tolist(), abs=1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_floats_and_tensors_agree(name):
    a, s = PATHS[name](TIMES)
    floats = torch.tensor([PATHS[name](float(t)) for t in TIMES], dtype=torch.float64)
    assert torch.allclose(torch.stack((a, s), 1), floats, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", PATHS)
def test_time_is_clamped(name):
    ends = torch.tensor([0.0, math.inf], dtype=torch.float64)
    assert PATHS[name].time(ends).tolist() == [0, 1] == [PATHS[name].time(0.0), PATHS[name].time(math.inf)]


def test_table_lands_on_its_entries():
    table = path.Table.scaled_linear()
    a, _ = table((torch.arange(1000, dtype=torch.float64) + 1) / 1000)
    assert torch.allclose(a**2, torch.tensor(table.alphas_cumprod, dtype=torch.float64), rtol=1e-13)


@pytest.mark.parametrize("name", PATHS)
def test_move_keeps_the_noise(name):
    """With x0 known, a step lands on the noised x0 of the later time, from pure noise and to clean data alike."""
    x0, eps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for now, then in ((1.0, 0.4), (0.5, 0.1), (0.2, 0.0)):
        moved = path.move(path.noise(PATHS[name], x0, eps, now), x0, PATHS[name](now), PATHS[name](then))
        assert torch.allclose(moved, path.noise(PATHS[name], x0, eps, then), atol=1e-12)


@pytest.mark.parametrize("name", predict.rows())
@pytest.mark.parametrize("a,s", LEVELS)
def test_prediction_round_trip(name, a, s):
    x0, eps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    row = predict.find(name)
    y, x = predict.target(x0, eps, a, s, row), a * x0 + s * eps
    assert torch.allclose(predict.to_x0(y, x, a, s, row), x0, atol=1e-10)
    assert torch.allclose(predict.to_output(x0, x, a, s, row), y, atol=1e-9)
    assert torch.allclose(predict.to_eps(x0, x, a, s), eps, atol=1e-10)


@pytest.mark.parametrize("name", TIMINGS)
@pytest.mark.parametrize("road", PATHS)
def test_grids_fall_from_noise_to_data(name, road):
    table_only = isinstance(TIMINGS[name], timing.Leading | timing.Trailing | timing.Linspace)
    if table_only and not isinstance(PATHS[road], path.Table):
        with pytest.raises(ValueError, match="table"):
            timing.grid(TIMINGS[name], 8, PATHS[road])
        return
    times = timing.grid(TIMINGS[name], 8, PATHS[road])
    assert times.dtype == torch.float64 and len(times) == 9 and times[-1] == 0 and 0.4 < times[0] <= 1
    assert bool((torch.diff(times) < 0).all())


@pytest.mark.parametrize("name", timing.densities())
@pytest.mark.parametrize("road", PATHS)
def test_a_density_is_the_same_map(name, road):
    kind, u = TIMINGS[name], torch.linspace(0.001, 0.999, 200)
    drawn = timing.draw(kind, u, PATHS[road])
    assert drawn.shape == u.shape and bool((torch.diff(drawn) > 0).all()) and drawn.min() >= 0 and drawn.max() <= 1


@pytest.mark.parametrize("name", TIMINGS)
def test_grids_that_are_no_density_say_so(name):
    if name not in timing.densities():
        with pytest.raises(ValueError, match="only a sampling grid"):
            timing.draw(TIMINGS[name], torch.rand(3), path.Flow())


def test_known_timings():
    flow, ve = path.Flow(), path.VE()
    t = timing.grid(timing.Shift(by=3.0), 4, flow)
    assert t.tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])
    sigma = ve(timing.grid(timing.Karras(sigma_min=0.002, sigma_max=80.0), 18, ve))[1]
    assert sigma[:2].tolist() == pytest.approx([80, 57.586], rel=1e-4) and sigma[-2] == pytest.approx(0.002)
    u = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    logit = torch.logit(timing.draw(timing.LogNormal(mean=0.5, std=0.7), u, flow))
    assert torch.allclose(logit, 0.5 + 0.7 * torch.special.ndtri(u))
    assert timing.Shift.fitted(4096).by == pytest.approx(math.exp(1.15))
    assert timing.Shift.sized(1024, 256).by == 2


def test_beta_quantile_against_its_closed_forms():
    u = torch.linspace(0, 1, 33, dtype=torch.float64)
    assert torch.allclose(timing.beta_quantile(u, 1.0, 1.0), u, atol=1e-14)
    assert torch.allclose(timing.beta_quantile(u, 2.0, 1.0), u.sqrt(), atol=1e-14)
    assert torch.allclose(timing.beta_quantile(u, 0.5, 0.5), torch.sin(u * math.pi / 2) ** 2, atol=1e-14)


@pytest.mark.parametrize("name", predict.rows())
@pytest.mark.parametrize("road", PATHS)
def test_a_perfect_network_has_no_loss(name, road):
    """The denoiser's conversion and the loss agree: a network that knows x0 has loss 0 and denoises to it."""
    g = torch.Generator().manual_seed(2)
    x0, eps = torch.randn(2, 4, 3, 5, 5, generator=g)
    t = torch.tensor([0.1, 0.4, 0.6, 0.9])
    row = predict.find(name)

    class Oracle(torch.nn.Module):
        def forward(self, x, t, cond):
            a, s = (path.spread(v, x).float() for v in PATHS[road](t.double()))
            return predict.target(x0, (x - a * x0) / s, a, s, row)

    denoiser = Denoiser(Oracle(), PATHS[road], name)
    assert float(loss(denoiser, x0, eps, t).max()) < 1e-6
    assert torch.allclose(denoiser(path.noise(PATHS[road], x0, eps, t), t), x0, atol=2e-2 if road == "ve" else 1e-3)


def test_time_per_token():
    """Tokens at t = 0 are data already: their x0 is what x holds, whatever the network says."""
    net = torch.nn.Module()
    net.forward = lambda x, t, cond: torch.ones_like(x) * 7
    x, t = torch.randn(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
    t[..., :2] = 0
    out = Denoiser(net, path.Flow(), "flow")(x, t)
    assert torch.equal(out[..., :2], x[..., :2]) and not torch.allclose(out[..., 2:], x[..., 2:])


@pytest.mark.parametrize("module", (path, predict, timing), ids=lambda m: m.__name__)
def test_unknown_names_are_named(module):
    with pytest.raises(ValueError, match=r"'nonsense'.*known"):
        module.find("nonsense")


def test_bad_values_are_named():
    bad = [lambda: timing.grid(timing.Uniform(), 0, path.Flow()), lambda: path.VE(sigma_min=2, sigma_max=1)]
    bad += [lambda: path.Table(alphas_cumprod=[0.5, 0.6]), lambda: timing.Shift(by=-1.0), lambda: timing.Beta(a=0.0)]
    bad += [
        lambda: timing.AlignYourSteps(model="x"),
        lambda: timing.grid(timing.Explicit(times=[1, 0]), 3, path.Flow()),
    ]
    for make in bad:
        with pytest.raises(ValueError):
            make()


def test_registries_hold_what_the_modules_hold():
    assert set(path.paths()) == {"Flow", "Cosine", "VP", "VE", "Table"}
    assert all(inspect.isfunction(row) for row in predict.rows().values()) and len(predict.rows()) == 5
