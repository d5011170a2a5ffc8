"""Laws of the loop and its rules. Rules are found by looking: a new one must reach the order it declares, on every
path.
"""

import inspect
import math
import time
from pathlib import Path

import pytest
import torch

from mediagen.bench import orders
from mediagen.core import path, solve, timing
from mediagen.core.rng import Keyed

RULES = list(solve.rules())


@pytest.mark.parametrize("road", orders.PATHS)
@pytest.mark.parametrize("name", RULES)
def test_order_of_convergence(name, road):
    """The measured order is the declared one, within a quarter, against exact denoisers of a mixture of Gaussians."""
    assert orders.measure(name, road, orders.INSIDE[road]) > vars(solve.find(name))["order"] - 0.25


@pytest.mark.parametrize("name", RULES)
def test_whole_grids_converge(name):
    """From pure noise (alpha = 0) to clean data (sigma = 0), started cold, as a user does."""
    assert orders.measure(name, "flow", (1.0, 0.0), warm=False) > min(vars(solve.find(name))["order"], 1.5) - 0.25


def test_rules_are_short():
    for name, rule in solve.rules().items():
        body = [
            line for line in inspect.getsource(rule).splitlines() if line.strip() and not line.strip().startswith("@")
        ]
        assert len(body) < 20 and rule.__doc__, name


MEAN, VAR, ROAD = 0.7, 0.25, path.Cosine()
ETAS = {"0.5": 0.5, "1": 1.0, "sde 0.5": solve.sde(0.5), "sde 2": solve.sde(2.0)}


def gaussian(x, t):
    """The exact denoiser of N(MEAN, VAR)."""
    a, s = ROAD(t)
    return MEAN + a * VAR / (a * a * VAR + s * s) * (x - a * MEAN)


def consistent(x, t):
    """The exact consistency function of N(MEAN, VAR): where the noiseless walk from (x, t) ends."""
    a, s = ROAD(t)
    return MEAN + math.sqrt(VAR / (a * a * VAR + s * s)) * (x - a * MEAN)


def spread_of(denoise, name, eta, steps):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 1, generator=g, dtype=torch.float64)
    times = timing.grid(timing.Uniform(), steps, ROAD)
    walk = {"rule": name, "eta": eta, "noise": lambda i, like: torch.empty_like(like).normal_(generator=g)}
    end = solve.last(solve.sample(denoise, x, ROAD, times, **walk)).x
    return float(end.mean()), float(end.std())


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", RULES)
def test_eta_leaves_the_marginals(name, eta):
    """Data N(m, v) stays so whatever the noise, within the 1 / steps by which a walk with noise falls short of its
    limit.
    """
    mean, std = spread_of(gaussian, name, ETAS[eta], 128)
    assert mean == pytest.approx(MEAN, abs=0.02) and std == pytest.approx(math.sqrt(VAR), rel=0.06)


def test_renewed_noise_leaves_the_marginals_of_a_consistency_function():
    """lcm (eta infinite) is exact for what it is made for, in any number of steps."""
    for steps in (1, 2, 4):
        assert spread_of(consistent, "lcm", None, steps) == pytest.approx((MEAN, math.sqrt(VAR)), rel=0.03)


@pytest.mark.parametrize("eta", [None, 0.0, 1.0])
@pytest.mark.parametrize("name", [n for n in RULES if n not in ("heun", "midpoint", "rk4")])
def test_the_path_does_not_matter(name, eta):
    """x0 on VP and VE is that on flow: the same levels, the same start in normalised coordinates, the same noise.

    heun, midpoint and rk4 are exact in the same way but for times halfway (midpoint), which a path places itself.
    """
    _same_on_all_paths(name, eta)


@pytest.mark.parametrize("name", ["heun", "rk4"])
def test_the_path_does_not_matter_to_rules_in_the_flow_frame(name):
    _same_on_all_paths(name, 0.0)


def _same_on_all_paths(name, eta):
    sigmas = torch.cat((torch.logspace(1, -1.5, 12, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)))
    unit = torch.randn(4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ends = []
    for road in (path.Flow(), path.Cosine(), path.VP(), path.VE(sigma_max=20.0)):
        times = road.time(sigmas)
        x = path.noise(road, torch.zeros_like(unit), unit, float(times[0]))
        noise = Keyed(seed=1, samples=range(4))
        walk = solve.sample(orders.mixture(road), x, road, times, rule=name, eta=eta, noise=noise)
        ends.append(torch.stack([state.x0 for state in walk] + [x / sum(road(float(times[0])))]))
    for other in ends[1:]:
        assert torch.allclose(ends[0][:-1], other[:-1], rtol=1e-7, atol=1e-8)


def test_lcm_is_euler_with_all_noise_renewed():
    roads, x = path.Flow(), torch.randn(2, 3)
    times = timing.grid(timing.Uniform(), 4, roads)
    walk = {"noise": Keyed(seed=0, samples=[0, 1])}
    one = solve.last(solve.sample(lambda x, t: x.tanh(), x, roads, times, rule="lcm", **walk)).x
    two = solve.last(
        solve.sample(lambda x, t: x.tanh(), x, roads, times, rule="euler", eta=solve.sde(math.inf), **walk)
    ).x
    assert torch.equal(one, two)


def test_states_tell_where_the_walk_is():
    roads, x = path.Flow(), torch.ones(1, 2)
    times = [1.0, 0.5, 0.0]
    states = list(solve.sample(lambda x, t: x * 0 + 3, x, roads, times, rule="euler"))
    assert [(s.step, s.total, s.t) for s in states] == [(1, 2, 0.5), (2, 2, 0.0)]
    assert states[0].x.tolist() == [[2, 2]] and states[1].x.tolist() == [[3, 3]] == states[0].x0.tolist()
    assert x.tolist() == [[1, 1]], "the start is not written to"


def test_amend_replaces_x():
    roads, x = path.Flow(), torch.ones(1, 2)
    walk = solve.sample(lambda x, t: x, x, roads, [1.0, 0.5, 0.0], rule="euler", amend=lambda state: state.x + 1)
    assert [s.x[0, 0].item() for s in walk] == [2, 3]


def test_pairs_may_overlap():
    roads, x = path.Flow(), torch.ones(1, 2)
    pairs = torch.tensor([[1.0, 0.4], [0.5, 0.0]])
    assert len(list(solve.sample(lambda x, t: x, x, roads, pairs, rule="euler"))) == 2


def test_the_document_lists_every_rule():
    document = Path(__file__).parents[2] / "docs" / "mathematics.md"
    listed = document.read_text().split("<!-- orders: begin -->")[1].split("<!-- orders: end -->")[0]
    assert all(f"| `{name}` |" in listed for name in RULES), "run: mediagen bench orders"


@pytest.mark.parametrize("times", [[1.0], [], [0.0, 1.0], [1.0, 1.0, 0.0], [1.2, 0.0]])
def test_bad_grids_are_named(times):
    with pytest.raises(ValueError, match="times must fall"):
        solve.sample(lambda x, t: x, torch.ones(1, 1), path.Flow(), times)


def test_bad_rules_and_eta_are_named():
    x, roads = torch.ones(1, 1), path.Flow()
    for bad in ({"rule": "nonsense"}, {"eta": 2.0}, {"eta": -1.0}, {"eta": 1.0}):
        with pytest.raises(ValueError):
            solve.sample(lambda x, t: x, x, roads, [1.0, 0.5, 0.0], **bad)
    with pytest.raises(ValueError):
        solve.sde(-1.0)


def test_a_walk_is_the_same_alone_and_in_a_batch():
    roads, denoise = path.Flow(), lambda x, t: x.tanh()
    times = timing.grid(timing.Uniform(), 5, roads)

    def walk(samples):
        keyed = Keyed(seed=9, samples=samples)
        x = Keyed(seed=9, samples=samples, purpose="start")(0, torch.empty(len(samples), 3, 4, 4))
        return solve.last(solve.sample(denoise, x, roads, times, rule="dpmpp_2m", eta=1.0, noise=keyed)).x

    batch = walk([0, 1, 2])
    assert torch.equal(batch[1:2], walk([1])) and torch.equal(batch, walk([2, 0, 1])[[1, 2, 0]])


def test_the_loop_is_light():
    """Less than 50 us a step over a network that does nothing, and 1 ms a call (16 us measured)."""
    roads, x, zero = path.Flow(), torch.randn(1, 4, 16, 16), torch.zeros(1, 4, 16, 16)
    times = timing.grid(timing.Uniform(), 20, roads)
    best = math.inf
    with torch.inference_mode():
        for _ in range(20):
            start = time.perf_counter()
            solve.last(solve.sample(lambda x, t: zero, x, roads, times, rule="dpmpp_2m"))
            best = min(best, time.perf_counter() - start)
    assert best / 20 < 50e-6 and best < 1e-3
