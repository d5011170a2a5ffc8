"""Laws of edits: what is known stays, windows add up to the whole, loops have no seam, a cache tells its error."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from mediagen.core import edit, guidance, path, solve, timing
from mediagen.core.denoiser import Denoiser
from mediagen.core.rng import Keyed

ROADS = {"flow": path.Flow(), "cosine": path.Cosine(), "vp": path.VP(), "ve": path.VE(), "table": path.Table.linear()}
G = torch.Generator().manual_seed(0)
KNOWN, EPS = torch.randn(2, 2, 3, 8, 24, generator=G)
MASK = (torch.rand(1, 1, 8, 24, generator=G) < 0.4).float()


def pixelwise(x, t):
    return x.tanh()


def local(reach, periodic=False):
    """A nonlinear denoiser that sees `reach` places to each side, padded with zeros or round the ends."""
    kernel = torch.randn(3, 3, 1, 2 * reach + 1, generator=torch.Generator().manual_seed(1)) / 4

    def denoise(x, t):
        wide = F.pad(x, (reach, reach, 0, 0), mode="circular" if periodic else "constant")
        return F.conv2d(wide, kernel.to(x)).tanh()

    return denoise


def walk(denoise, road, rule="dpmpp_2m", eta=None, x=EPS, steps=6):
    times = timing.grid(timing.Uniform(), steps, road)
    return solve.last(solve.sample(denoise, x, road, times, rule=rule, eta=eta, noise=Keyed(seed=0, samples=[0, 1])))


@pytest.mark.parametrize("eta", [None, 1.0])
@pytest.mark.parametrize("rule", solve.rules())
def test_inpainting_keeps_the_known_exactly(rule, eta):
    for road in ROADS.values():
        x = path.noise(road, KNOWN, EPS, 1.0)
        end = walk(edit.inpaint(pixelwise, KNOWN, MASK), road, rule, eta, x).x
        assert torch.equal(end[MASK.expand_as(end) == 1], KNOWN[MASK.expand_as(end) == 1])


@pytest.mark.parametrize("rule", solve.rules())
def test_while_inpainting_the_known_is_noised_as_it_should(rule):
    """In between, x holds alpha known + sigma eps where it is kept: what the network was trained to see."""
    road = path.Flow()
    times = timing.grid(timing.Uniform(), 6, road)
    for state in solve.sample(edit.inpaint(pixelwise, KNOWN, MASK), EPS, road, times, rule=rule, eta=0.0):
        goal = path.noise(road, KNOWN, EPS, state.t)
        assert torch.allclose(state.x * MASK, goal * MASK, atol=1e-4)


def test_a_soft_mask_mixes():
    end = walk(edit.inpaint(pixelwise, KNOWN, torch.full((1, 1, 8, 24), 0.5)), path.Flow(), "euler")
    assert not torch.allclose(end.x, KNOWN) and (end.x - KNOWN).norm() < (walk(pixelwise, path.Flow()).x - KNOWN).norm()
    ramp = torch.linspace(0, 1, 24).expand(1, 1, 8, 24)
    gap = (walk(edit.inpaint(pixelwise, KNOWN, ramp), path.Flow(), "euler").x - KNOWN).abs().mean((0, 1, 2))
    assert gap[-1] == 0 and gap[:6].mean() > gap[6:12].mean() > gap[12:18].mean() > gap[18:].mean()


def test_restored_puts_the_known_back_after_each_step():
    road = path.Flow()
    amend = edit.restored(road, KNOWN, EPS, MASK)
    for state in solve.sample(pixelwise, EPS, road, [1.0, 0.5, 0.0], rule="euler", amend=amend):
        assert torch.allclose(state.x * MASK, path.noise(road, KNOWN, EPS, state.t) * MASK, atol=1e-6)


def test_pinned_tokens_are_data_at_time_0():
    seen = {}

    class Net(torch.nn.Module):
        def forward(self, x, t, cond):
            seen["x"], seen["t"] = x, t
            return x * 0.1

    keep = MASK.bool().expand(2, 1, 8, 24)
    denoiser = Denoiser(Net(), path.Flow(), "flow")
    out = edit.pinned(lambda x, t: denoiser(x, t), KNOWN, keep)(EPS, 0.7)
    assert torch.equal(seen["t"] == 0, keep) and torch.allclose(seen["t"][~keep], torch.tensor(0.7))
    assert torch.equal(out[keep.expand_as(out)], KNOWN[keep.expand_as(out)])
    assert torch.equal(seen["x"][keep.expand_as(out)], KNOWN[keep.expand_as(out)])
    edit.pinned(lambda x, t: denoiser(x, t), KNOWN, MASK, token=(1, 2))(EPS, 0.7)
    whole = MASK.unflatten(3, (-1, 2)).amin(-1).repeat_interleave(2, 3) == 1
    assert torch.equal(seen["t"] == 0, whole.expand(2, 1, 8, 24)) and 0 < whole.sum() < MASK.sum()


def test_a_network_that_knows_what_is_clean_is_told_one_time():
    """It is shown the known without noise all the same, and what it says of it does not count."""
    seen: list[Any] = []
    out = edit.pinned(lambda x, t: seen.append((x, t)) or x + 1, KNOWN, MASK, told=False)(EPS, 0.7)
    shown, time = seen[0]
    assert time == 0.7 and torch.equal(shown, torch.where(MASK == 1, KNOWN, EPS))
    assert torch.allclose(out, torch.lerp(shown + 1, KNOWN, MASK))


class PerToken(torch.nn.Module):
    """A network of one place and its time; `sees` places to each side."""

    def __init__(self, sees=0):
        super().__init__()
        self.sees = sees

    def forward(self, x, t, cond):
        t = t if t.ndim > 1 else t.view(-1, 1, 1, 1)
        x = local(self.sees)(x, t) if self.sees else x
        return torch.sin(x * (1 + cond["gain"].view(-1, 1, 1, 1))) + t


@pytest.mark.parametrize("rule", solve.rules())
def test_what_is_pinned_stays_and_is_the_inpainting_of_a_network_that_sees_one_place(rule):
    gain = {"gain": torch.tensor([0.3, 0.3])}
    for road in ROADS.values():
        x = path.noise(road, KNOWN, EPS, 1.0)
        bound = Denoiser(PerToken(), road, "x0").bind(gain)
        soft = MASK * torch.linspace(0.5, 1, 24).round(decimals=1)
        held, pinned = (walk(hold(bound, KNOWN, soft), road, rule, None, x).x for hold in (edit.inpaint, edit.pinned))
        assert torch.allclose(held, pinned, atol=1e-4)
        assert torch.equal(pinned[(soft == 1).expand_as(pinned)], KNOWN[(soft == 1).expand_as(pinned)])


def test_a_network_that_looks_around_sees_what_is_pinned_without_noise():
    bound = Denoiser(PerToken(sees=1), path.Flow(), "x0").bind({"gain": torch.zeros(2)})
    held, pinned = (hold(bound, KNOWN, MASK)(EPS, 0.9) for hold in (edit.inpaint, edit.pinned))
    free = (MASK == 0).expand_as(held)
    assert not torch.allclose(held[free], pinned[free])
    clean = torch.where(MASK == 1, KNOWN, EPS)
    assert torch.allclose(pinned[free], bound(clean, torch.where(MASK == 1, 0.0, 0.9).expand(2, -1, -1, -1))[free])


def test_what_precedes_is_seen_without_noise_and_is_no_part_of_the_result():
    bound = Denoiser(PerToken(sees=1), path.Flow(), "x0").bind({"gain": torch.zeros(2)})
    front, keep = KNOWN[..., :2], torch.zeros(1, 1, *EPS.shape[2:-1], EPS.shape[-1] + 2)
    keep[..., :2] = 1
    wide = F.pad(EPS, (2, 0))
    pinned = edit.pinned(bound, torch.cat([front, KNOWN], -1), keep)(wide, 0.9)
    out = edit.preceded(bound, front, axis=-1)(EPS, 0.9)
    assert torch.allclose(out, pinned[..., 2:], atol=1e-6) and out.shape == EPS.shape
    assert not torch.allclose(out[..., 0], edit.preceded(bound, -front, axis=-1)(EPS, 0.9)[..., 0])


@pytest.mark.parametrize("edited", ["preceded", "windowed", "together", "looped", "wrapped", "reuse", "control"])
def test_edits_take_times_per_token_along(edited):
    bound = Denoiser(PerToken(), path.Flow(), "flow").bind({"gain": torch.zeros(2)})
    edits = {
        "windowed": lambda: edit.windowed(edit.windowed(bound, size=5, overlap=2, axis=2), size=10, overlap=4),
        "together": lambda: edit.windowed(bound, size=10, overlap=4, together=True),
        "preceded": lambda: edit.preceded(bound, KNOWN[..., :3], axis=-1),
        "looped": lambda: edit.looped(bound, axes=(-1, -2)),
        "wrapped": lambda: edit.wrapped(bound, margin=(3, 1), axes=(-1, -2)),
        "reuse": lambda: edit.reuse(bound, threshold=0.0),
        "control": lambda: edit.control(bound.denoiser, lambda x, told, cond: {}, low=0.5).bind(bound.cond),
    }
    other, plain = (edit.pinned(denoise, KNOWN, MASK) for denoise in (edits[edited](), bound))
    for t in (0.9, 0.6, 0.3):
        assert torch.allclose(other(EPS, t), plain(EPS, t), atol=1e-6)


@pytest.mark.parametrize("prediction", ["flow", "eps", "v", "x0", "edm"])
@pytest.mark.parametrize("method", guidance.methods())
def test_guidance_takes_times_per_token(method, prediction):
    """Nothing is to be said of known places in the network's own space: they disturb no statistics."""
    road = path.Flow()
    denoiser = Denoiser(PerToken(), road, prediction)
    branches = [denoiser.bind({"gain": torch.full((2,), gain)}) for gain in (0.3, 0.0)]
    options = {"path": road, "times": [0.9, 0.5, 0.0]} if method == "cfg_pp" else {}
    scale = guidance.interval(0.6 if method == "cfg_pp" else 3.0, 0.4, 0.9)
    term = guidance.find(method)(*branches, scale, **options)
    guided = guidance.guided(branches[0], term, post=guidance.rescale(0.5))
    out = edit.pinned(guided, KNOWN, MASK)(EPS, 0.5)
    assert bool(out.isfinite().all()) and torch.equal(out[MASK.expand_as(out) == 1], KNOWN[MASK.expand_as(out) == 1])
    assert not torch.allclose(out, edit.pinned(branches[0], KNOWN, MASK)(EPS, 0.5))


def test_a_projection_is_landed_on():
    """Of each pair of places the mean is known, which no mask of the places can say."""
    pairs = KNOWN.unflatten(-1, (-1, 2)).mean(-1)

    def project(x0):
        apart = pairs - x0.unflatten(-1, (-1, 2)).mean(-1)
        return x0 + apart.repeat_interleave(2, -1)

    for road in ROADS.values():
        end = walk(edit.projected(pixelwise, project), road, x=path.noise(road, KNOWN, EPS, 1.0)).x
        assert torch.allclose(end.unflatten(-1, (-1, 2)).mean(-1), pairs, atol=1e-6)


@pytest.mark.parametrize("road", ROADS)
def test_vary_begins_where_its_strength_says(road):
    times = timing.grid(timing.Uniform(), 10, ROADS[road])
    x, left = edit.vary(KNOWN, EPS, ROADS[road], times, 0.3)
    assert torch.equal(left, times[7:])
    assert torch.allclose(x, path.noise(ROADS[road], KNOWN, EPS, float(times[7])))
    assert torch.equal(edit.vary(KNOWN, EPS, ROADS[road], times, 1.0)[1], times)
    assert len(edit.vary(KNOWN, EPS, ROADS[road], times, 0.001)[1]) == 2
    oracle = solve.last(solve.sample(lambda x, t: KNOWN, x, ROADS[road], left))
    assert torch.equal(oracle.x, KNOWN), "a denoiser that knows the data leads back to it"


def test_regions_fill_their_masks():
    left = torch.zeros(1, 1, 1, 24)
    left[..., :10] = 1
    one, two, base = (lambda x, t, v=v: torch.full_like(x, v) for v in (1.0, 2.0, 3.0))
    out = edit.regional(base, (one, left))(EPS, 0.5)
    assert bool((out[..., :10] == 1).all() and (out[..., 10:] == 3).all())
    out = edit.regional(base, (one, left), (two, left))(EPS, 0.5)
    assert bool((out[..., :10] == 1.5).all())
    same = edit.regional(pixelwise, (pixelwise, left * 0.7), (pixelwise, 1 - left))
    assert torch.allclose(same(EPS, 0.5), pixelwise(EPS, 0.5), atol=1e-6)


@pytest.mark.parametrize("axis", [-1, -2, 2, 3])
@pytest.mark.parametrize("overlap", [0, 1, 3, 4])
def test_windows_of_a_pixelwise_denoiser_are_the_whole(axis, overlap):
    out = edit.windowed(pixelwise, size=5, overlap=overlap, axis=axis)(EPS, 0.5)
    assert torch.allclose(out, pixelwise(EPS, 0.5), atol=1e-6)


def test_windows_of_a_local_denoiser_are_the_whole_away_from_cuts():
    """A denoiser of reach r in windows is the whole one wherever a single window, r from its ends, has the say."""
    out, whole = edit.windowed(local(1), size=12, overlap=4)(EPS, 0.5), local(1)(EPS, 0.5)
    begins = edit.starts(24, 12, 4)
    cuts = {p for b in begins for p in (b, b + 11) if p not in (0, 23)}
    fine = [i for i in range(24) if i not in cuts]
    assert begins == [0, 8, 12] and torch.allclose(out[..., fine], whole[..., fine], atol=1e-6)
    assert float((out - whole).abs().max()) < 0.5 * float(whole.abs().max()), "at a cut the ramps leave it little say"


def test_windows_nest_cover_and_take_their_own_prompts():
    two = edit.windowed(edit.windowed(pixelwise, size=5, overlap=2, axis=-2), size=7, overlap=3, axis=-1)
    assert torch.allclose(two(EPS, 0.5), pixelwise(EPS, 0.5), atol=1e-6)
    for length in range(1, 40):
        begins = edit.starts(length, 9, 4)
        covered = {i for b in begins for i in range(b, min(b + 9, length))}
        assert covered == set(range(length)) and len(set(begins)) == len(begins)
    apart, at_once = (edit.windowed(local(1), size=12, overlap=4, together=one) for one in (False, True))
    assert torch.allclose(apart(EPS, 0.5), at_once(EPS, 0.5), atol=1e-6)
    numbered = edit.windowed(lambda n: lambda x, t: torch.full_like(x, float(n)), size=12, overlap=0, per_window=True)
    assert numbered(EPS, 0.5)[0, 0, 0].tolist() == [0.0] * 12 + [1.0] * 12


def seam(x):
    """The step across the ends over the mean step elsewhere, along the last axis."""
    within = (x[..., 1:] - x[..., :-1]).abs().mean()
    return float((x[..., 0] - x[..., -1]).abs().mean() / within)


def sloped(x, t):
    """A denoiser that knows where its ends are: rows run from dark to bright, and zeros lie beyond."""
    return 0.5 * local(2)(x, t) + torch.linspace(-1, 1, x.shape[-1]).to(x)


def test_a_loop_has_no_seam():
    x = Keyed(seed=3, samples=range(8))(0, torch.empty(8, 3, 8, 24))
    road = path.Flow()
    times = timing.grid(timing.Uniform(), 24, road)

    def ends(denoise):
        return seam(solve.last(solve.sample(denoise, x, road, times, rule="euler")).x)

    assert ends(sloped) > 3, "left alone it has one"
    assert ends(edit.looped(sloped)) < 1.25
    assert ends(edit.wrapped(local(2), margin=2)) == pytest.approx(1, abs=0.15)


def test_wrapped_is_exactly_periodic_for_a_local_denoiser():
    out = edit.wrapped(local(2), margin=2)(EPS, 0.5)
    assert torch.allclose(out, local(2, periodic=True)(EPS, 0.5), atol=1e-6)
    rolled = edit.wrapped(local(2), margin=2)(EPS.roll(7, -1), 0.5)
    assert torch.allclose(rolled, out.roll(7, -1), atol=1e-6), "no place is special"


def test_a_margin_goes_round_more_than_once():
    out = edit.wrapped(local(2), margin=3 * EPS.shape[-1] + 1)(EPS, 0.5)
    assert torch.allclose(out, edit.wrapped(local(2), margin=2)(EPS, 0.5), atol=1e-6)


def test_a_denoiser_that_looks_back_is_wrapped_at_its_beginning_alone():
    def causal(x, t):
        return (x + F.pad(x, (2, 0))[..., :-2]).tanh()

    out = edit.wrapped(causal, margin=(2, 0))(EPS, 0.5)
    assert torch.allclose(out, (EPS + EPS.roll(2, -1)).tanh(), atol=1e-6)


def test_a_roll_changes_nothing_for_a_periodic_denoiser():
    looped = edit.looped(local(2, periodic=True), axes=(-1, -2))
    for t in (0.9, 0.5, 0.1):
        assert torch.allclose(looped(EPS, t), local(2, periodic=True)(EPS, t), atol=1e-6)
    assert looped.calls == [3]


def test_reuse_saves_calls_and_tells_its_error():
    road = path.Flow()
    times = timing.grid(timing.Uniform(), 40, road)
    data = [lambda x, t: 0.8 * KNOWN + 0.2 * (x * (1 - t)).tanh(), lambda x, t: x.tanh() * (1 - 0.5 * t)]
    for denoise in data:
        tried = []
        for threshold in (0.0, 0.01, 0.05, 0.2):
            cached = edit.reuse(denoise, threshold=threshold, limit=3)
            error, saved = edit.reuse_error(
                lambda d: solve.last(solve.sample(d, EPS, road, times, rule="euler")).x, cached
            )
            assert cached.asked == 40 and cached.estimate <= threshold
            tried.append((error, saved))
        assert tried[0] == (0, 0), "a threshold of 0 is exact"
        assert tried[1][1] <= tried[2][1] <= tried[3][1] and tried[3][1] > 0.3
        assert tried[1][0] <= tried[3][0] < 0.2


def test_control_adds_its_hints_within_its_interval():
    class Net(torch.nn.Module):
        def forward(self, x, t, cond):
            return x + cond.get("residual", 0.0)

    def more(x, told, cond):
        return {"residual": cond.get("residual", 0.0) + told.view(-1, 1, 1, 1) * torch.ones_like(x)}

    denoiser = Denoiser(Net(), path.Flow(), "x0", clock=lambda t, alpha, sigma: 10 * t)
    once = edit.control(denoiser, more, low=0.5)
    twice = edit.control(once, more, low=0.6, high=0.8)
    for control, t, expected in [(once, 0.7, 7), (once, 0.3, 0), (twice, 0.7, 14), (twice, 0.9, 9), (denoiser, 0.7, 0)]:
        assert torch.allclose(control.bind({})(EPS, t), EPS + expected)


def test_bad_edits_are_named():
    bad = [
        lambda: edit.vary(KNOWN, EPS, path.Flow(), torch.tensor([1.0, 0.0]), 0.0),
        lambda: edit.inpaint(pixelwise, KNOWN, MASK * 2),
        lambda: edit.windowed(pixelwise, size=4, overlap=4),
        lambda: edit.windowed(pixelwise, size=4, overlap=1, per_window=True, together=True),
        lambda: edit.regional(pixelwise, (pixelwise, -MASK)),
        lambda: edit.pinned(pixelwise, KNOWN, MASK * 2),
        lambda: edit.wrapped(pixelwise, margin=(-1, 0))(EPS, 0.5),
        lambda: edit.reuse(pixelwise, threshold=-1.0),
    ]
    for make in bad:
        with pytest.raises(ValueError):
            make()
