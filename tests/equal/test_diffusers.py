"""Step by step equality with diffusers' schedulers, around one exact denoiser and with the same noise, in float64.

diffusers casts to float32 inside; its modules are given a `torch` whose float32 is float64, so that what is compared
is the algorithm. Relative tolerance 1e-9 where the algorithms are the same, 1e-5 being asked; where it is looser the
test says why.
"""

import importlib

import pytest
import torch

from mediagen.bench import orders
from mediagen.core import path, solve, timing
from mediagen.core.integrate import moments

diffusers = pytest.importorskip("diffusers")

G = torch.Generator().manual_seed(0)
MEANS = torch.randn(3, 4, generator=G, dtype=torch.float64)
START = torch.randn(2, 4, generator=G, dtype=torch.float64)
NOISES = torch.randn(64, 2, 4, generator=G, dtype=torch.float64)
WIDE = path.VE(sigma_min=0.001, sigma_max=500.0)


class Double:
    """torch with float64 for float32."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def scheduler(monkeypatch):
    """(class name, **config) -> a scheduler in float64 whose random numbers are NOISES in order."""

    def make(name, **config):
        kind = getattr(diffusers, name)
        module = importlib.import_module(kind.__module__)
        drawn = iter(NOISES)
        monkeypatch.setattr(module, "torch", Double())
        monkeypatch.setattr(module, "randn_tensor", lambda *a, **k: next(drawn), raising=False)
        return kind(**config)

    return make


def clean(x, a, s):
    """E[x0 | x] for equal Gaussians of variance 0.1 at MEANS, at noise level (a, s)."""
    a, s = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(s, dtype=torch.float64)
    spread = a * a * 0.1 + s * s
    gap = x[:, None] - a * MEANS
    share = torch.softmax(-gap.square().sum(-1) / (2 * spread), -1)
    return torch.einsum("bm,bmd->bd", share, MEANS + a * 0.1 / spread * gap)


def ours(rule, road, times, x, *, eta=0.0, look=clean, noises=NOISES):
    """x after each step."""
    states = solve.sample(
        lambda x, t: look(x, *road(t)), x, road, times, rule=rule, eta=eta, noise=lambda i, like: noises[i]
    )
    return [state.x for state in states]


def close(mine, theirs, rtol=1e-9):
    assert len(mine) == len(theirs)
    for step, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        gap = float((a - b).norm() / b.norm())
        assert gap < rtol, f"step {step}: {gap}"


def ready(one, steps):
    """Its grid set, its levels (rounded to float32 while they are made) in float64, so that both sides start from the
    same.
    """
    one.set_timesteps(steps)
    if hasattr(one, "sigmas"):
        one.sigmas = one.sigmas.double()


def theirs_vp(one, steps, x, output, **options):
    """x after each of diffusers' steps; output(x, a, s) is the network's."""
    seen = []
    for t in one.timesteps:
        sigma = one.sigmas[one.step_index or 0]
        a = 1 / (1 + sigma**2) ** 0.5
        x = one.step(output(x, a, sigma * a), t, x, return_dict=False, **options)[0]
        seen.append(x)
    return seen


def eps(x, a, s):
    return (x - a * clean(x, a, s)) / s


TABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_one", [True, False])
def test_ddim(scheduler, spacing, eta, to_one):
    one = scheduler("DDIMScheduler", clip_sample=False, set_alpha_to_one=to_one, timestep_spacing=spacing, **TABLE)
    ready(one, 10)
    road = path.Table(alphas_cumprod=one.alphas_cumprod.tolist())
    kind = timing.Leading if spacing == "leading" else timing.Trailing
    # set_alpha_to_one=False ends at the table's first entry, which is t = 1 / N; leading without offset already stands
    # on it
    ends_on_data = to_one or spacing == "trailing"
    times = timing.grid(kind(last=0.0 if to_one else 1 / 1000), 10, road) if ends_on_data else None
    if times is None:
        times = timing.grid(timing.Leading(), 10, road)[:-1]
    assert [round(1000 * t - 1) for t in times[:10].tolist()][: len(times)] == one.timesteps.tolist()[: len(times)]
    x, seen = START.clone(), []
    for i, t in enumerate(one.timesteps):
        a2 = one.alphas_cumprod[t]
        y = eps(x, a2.sqrt(), (1 - a2).sqrt())
        noise = NOISES[i] if eta else None
        x = one.step(y, t, x, eta=eta, variance_noise=noise, return_dict=False)[0]
        seen.append(x)
    mine = ours("euler", road, times, START, eta=eta)
    close(mine, seen[: len(mine)])


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_ddim_grids(scheduler, spacing):
    one = scheduler("DDIMScheduler", timestep_spacing=spacing, steps_offset=1 if spacing == "leading" else 0)
    ready(one, 7)
    kinds = {
        "leading": timing.Leading(offset=1),
        "linspace": timing.Linspace(whole=True),
        "trailing": timing.Trailing(),
    }
    times = timing.grid(kinds[spacing], 7, path.Table.linear())
    assert torch.equal((times[:-1] * 1000 - 1).round().long(), one.timesteps)


@pytest.mark.parametrize("options", [{}, {"use_karras_sigmas": True}, {"timestep_spacing": "leading"}])
def test_euler(scheduler, options):
    one = scheduler("EulerDiscreteScheduler", **TABLE, **options)
    _sigma_frame(one, "euler", 0.0)


def test_euler_ancestral(scheduler):
    one = scheduler("EulerAncestralDiscreteScheduler", **TABLE)
    _sigma_frame(one, "euler", 1.0)


def _sigma_frame(one, rule, eta):
    ready(one, 12)
    x, seen = START * one.sigmas[0], []
    for i, t in enumerate(one.timesteps):
        one.scale_model_input(x, t)
        x = one.step(eps(x, 1.0, one.sigmas[i]), t, x, return_dict=False)[0]
        seen.append(x)
    times = WIDE.time(one.sigmas)
    close(ours(rule, WIDE, times, START * one.sigmas[0], eta=eta), seen)


def test_euler_grids(scheduler):
    """The sigmas of Euler's spacings and of Karras' come out of our timings on the table's path."""
    for options, kind in (
        ({"timestep_spacing": "linspace"}, timing.Linspace()),
        ({"timestep_spacing": "trailing"}, timing.Trailing()),
        ({"timestep_spacing": "leading", "steps_offset": 1}, timing.Leading(offset=1)),
    ):
        one = scheduler("EulerDiscreteScheduler", **TABLE, **options)
        ready(one, 12)
        road = path.Table(alphas_cumprod=one.alphas_cumprod.tolist(), spacing="sigma")
        a, s = road(timing.grid(kind, 12, road))
        assert torch.allclose(s / a, one.sigmas, rtol=1e-5)  # it rounds sigmas and times to float32
    one = scheduler("EulerDiscreteScheduler", use_karras_sigmas=True, **TABLE)
    ready(one, 12)
    karras = timing.Karras(sigma_min=float(one.sigmas[-2]), sigma_max=float(one.sigmas[0]))
    a, s = WIDE(timing.grid(karras, 12, WIDE))
    assert torch.allclose(s / a, one.sigmas, rtol=1e-5)


def test_heun(scheduler):
    one = scheduler("HeunDiscreteScheduler", **TABLE)
    ready(one, 12)
    x, seen = START * one.sigmas[0], []
    for i, t in enumerate(one.timesteps):
        # the list names each inner level twice: an odd entry is the second look, at the end of the step
        sigma = one.sigmas[i + 1] if i % 2 else one.sigmas[i]
        x = one.step(eps(x, 1.0, sigma), t, x, return_dict=False)[0]
        if i % 2 or i == len(one.timesteps) - 1:
            seen.append(x)
    levels = torch.cat((one.sigmas[:1], one.sigmas[1:-1:2], one.sigmas[-1:]))
    close(ours("heun_edm", WIDE, WIDE.time(levels), START * one.sigmas[0]), seen)


@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize("kind", ["dpmsolver++", "sde-dpmsolver++"])
@pytest.mark.parametrize("steps", [8, 20])
def test_dpm_solver_multistep(scheduler, kind, karras, steps):
    one = scheduler("DPMSolverMultistepScheduler", algorithm_type=kind, use_karras_sigmas=karras, **TABLE)
    ready(one, steps)
    road, sde = path.Cosine(), kind.startswith("sde")
    seen = theirs_vp(one, steps, START.clone(), eps)
    close(ours("dpmpp_2m", road, road.time(one.sigmas), START, eta=solve.sde(1.0) if sde else 0.0), seen)


@solve.rule(order=2)
def published_3m(step, x, x0, past, look):
    """DPM-Solver++(3M) as published code has it: the second difference weighs half of what it should."""
    older, nodes = [p.x0 for p in past[:2]], solve._nodes(step, past[:2])
    if len(nodes) < 2:
        return solve.dpmpp_2m(step, x, x0, past, look)
    first, second = ((x0 - old) / -u for old, u in zip(older, nodes, strict=True))
    slope_old = (second * -nodes[1] + first * nodes[0]) / (nodes[0] - nodes[1])
    bend = (first - slope_old) / -nodes[1]
    mean, square = moments(step.z, 2)
    return x0 + mean * (first - nodes[0] * bend) + square / 2 * bend


def test_dpm_solver_3m(scheduler):
    """diffusers' 3M is not our dpmpp_3m: it halves the last term. Equal to that variant, which loses an order; ours
    keeps it.
    """
    one = scheduler("DPMSolverMultistepScheduler", solver_order=3, **TABLE)
    ready(one, 20)
    road = path.Cosine()
    close(ours(published_3m, road, road.time(one.sigmas), START), theirs_vp(one, 20, START.clone(), eps))
    span = orders.INSIDE["vp"]
    assert orders.measure(published_3m, "vp", span) < 2.5 < 2.75 < orders.measure("dpmpp_3m", "vp", span)


@pytest.mark.parametrize("order,rule", [(2, "unipc"), (3, "unipc_3")])
@pytest.mark.parametrize("karras", [False, True])
def test_unipc(scheduler, order, rule, karras):
    """Order 3 differs by design in its last step but one, where diffusers drops to order 2: compared up to there."""
    one = scheduler("UniPCMultistepScheduler", solver_order=order, use_karras_sigmas=karras, **TABLE)
    ready(one, 12)
    road = path.Cosine()
    times = road.time(one.sigmas)
    # its step gives x predicted from the corrected x, as ours does
    seen = theirs_vp(one, 12, START.clone(), eps)
    mine = ours(rule, road, times, START)
    upto = 12 if order == 2 else 10
    close(mine[:upto], seen[:upto])


@pytest.mark.parametrize("options,kind", [({}, timing.Uniform()), ({"shift": 3.0}, timing.Shift(by=3.0))])
def test_flow_match_euler(scheduler, options, kind):
    one = scheduler("FlowMatchEulerDiscreteScheduler", **options)
    ready(one, 10)
    road, x, seen = path.Flow(), START.clone(), []
    for i, t in enumerate(one.timesteps):
        s = one.sigmas[i]
        x = one.step((x - clean(x, 1 - s, s)) / s, t, x, return_dict=False)[0]
        seen.append(x)
    close(ours("euler", road, one.sigmas, START), seen)
    # the published grid goes from 1 to 1 / 1000 (itself shifted) in n levels, then to data
    grid = timing.Uniform(low=0.001) if not options else timing.Shift(by=3.0, of=timing.Uniform(low=0.003 / 1.002))
    inner = grid(torch.linspace(1, 0, 10, dtype=torch.float64), road)
    assert torch.allclose(inner, one.sigmas[:-1], rtol=1e-5)


def test_lcm(scheduler):
    """Consistency functions differ from denoisers by boundary scalings near data: they belong to the network, not the
    walk.
    """
    one = scheduler("LCMScheduler", **TABLE)
    ready(one, 4)
    road = path.Table(alphas_cumprod=one.alphas_cumprod.tolist())
    times = torch.cat(((one.timesteps + 1).double() / 1000, torch.zeros(1, dtype=torch.float64)))

    def consistent(x, t):
        scaled = (1000 * t - 1) * 10.0
        skip, out = 0.25 / (scaled**2 + 0.25), scaled / (scaled**2 + 0.25) ** 0.5
        return out * clean(x, *road(t)) + skip * x

    x, seen = START.clone(), []
    for t in one.timesteps:
        a2 = one.alphas_cumprod[t]
        x = one.step(eps(x, a2.sqrt(), (1 - a2).sqrt()), t, x, return_dict=False)[0]
        seen.append(x)
    states = solve.sample(consistent, START, road, times, rule="lcm", noise=lambda i, like: NOISES[i])
    close([state.x for state in states], seen, rtol=1e-7)  # through a table angle and back


def edm_output(one, x, sigma):
    """F such that c_skip x + c_out F is the exact denoiser's x0."""
    d = one.config.sigma_data
    skip, out = d**2 / (sigma**2 + d**2), sigma * d / (sigma**2 + d**2) ** 0.5
    return (clean(x, 1.0, sigma) - skip * x) / out


@pytest.mark.parametrize("name,rule", [("EDMEulerScheduler", "euler"), ("EDMDPMSolverMultistepScheduler", "dpmpp_2m")])
def test_edm(scheduler, name, rule):
    one = scheduler(name)
    ready(one, 14)
    x, seen = START * one.sigmas[0], []
    for i, t in enumerate(one.timesteps):
        one.scale_model_input(x, t)
        x = one.step(edm_output(one, x, one.sigmas[i]), t, x, return_dict=False)[0]
        seen.append(x)
    close(ours(rule, WIDE, WIDE.time(one.sigmas), START * one.sigmas[0]), seen)
    karras = timing.Karras(sigma_min=0.002, sigma_max=80.0)
    a, s = WIDE(timing.grid(karras, 14, WIDE))
    assert torch.allclose(s / a, one.sigmas, rtol=1e-5)


def test_deis(scheduler):
    one = scheduler("DEISMultistepScheduler", solver_order=3, **TABLE)
    ready(one, 20)
    road = path.Cosine()
    seen = theirs_vp(one, 20, START.clone(), eps)
    # where the last step goes to data, it goes to its table's least level
    mine = ours("deis", road, road.time(one.sigmas), START)
    close(mine[:18], seen[:18])
