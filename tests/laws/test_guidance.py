"""Laws of guidance: identities, composition, and which branches are evaluated, and how many calls that takes."""

import pytest
import torch

from mediagen.core import guidance, path, solve, timing
from mediagen.core.denoiser import Denoiser
from mediagen.core.guidance import Term, guided
from mediagen.core.rng import Keyed

G = torch.Generator().manual_seed(0)
X = torch.randn(2, 3, 4, 4, generator=G)
TEXT, NEGATIVE, OTHER = torch.randn(3, 2, 5, 3, generator=G)


class Net(torch.nn.Module):
    """A small nonlinear network that reads its condition, counts its calls and can skip a layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(2, 3, 3, generator=g) / 2)
        self.batches = []

    def forward(self, x, t, cond):
        self.batches.append(len(x))
        skip = cond.get("skip_layers", ())
        x = x + cond["text"].mean(1)[:, :, None, None] * (1 + t.reshape(-1, 1, 1, 1))
        for i, w in enumerate(self.weight):
            x = x if i in skip else x + torch.einsum("oc,bchw->bohw", w, x).tanh()
        return x


@pytest.fixture
def net():
    return Denoiser(Net(1), path.Flow(), "flow").eval().requires_grad_(False)


def branches(net):
    return [net.bind({"text": c}) for c in (TEXT, NEGATIVE, OTHER)]


@pytest.mark.parametrize("name", guidance.methods())
def test_scale_1_is_the_positive_alone(net, name):
    positive, negative, _ = branches(net)
    extra = {"path": path.Flow(), "times": [1.0, 0.5, 0.0]} if name == "cfg_pp" else {}
    t = 0.5  # for cfg_pp the step to data, where its lambda is the scale itself
    out = guided(positive, guidance.find(name)(positive, negative, 1.0, **extra))(X, t)
    assert torch.equal(out, positive(X, t))
    assert net.net.batches == [2, 2], "the negative branch is not evaluated"


@pytest.mark.parametrize("name", ["cfg", "autoguidance"])
def test_scale_0_is_the_negative_alone(net, name):
    positive, negative, _ = branches(net)
    out = guided(positive, guidance.find(name)(positive, negative, 0.0))(X, 0.5)
    assert torch.equal(out, negative(X, 0.5)) and net.net.batches == [2, 2]


@pytest.mark.parametrize("name", sorted({*guidance.methods()} - {"cfg_pp"}))  # its scale is bounded by the grid
def test_outside_the_interval_there_is_no_guidance(net, name):
    positive, negative, _ = branches(net)
    scale = guidance.interval(4.0, 0.3, 0.6)
    denoise = guided(positive, guidance.find(name)(positive, negative, scale))
    for t in (0.2, 0.7):
        net.net.batches.clear()
        assert torch.equal(denoise(X, t), positive(X, t)) and net.net.batches == [2, 2]
    assert not torch.allclose(denoise(X, 0.5), positive(X, 0.5))


@pytest.mark.parametrize("name", guidance.methods())
def test_equal_branches_need_no_guidance(net, name):
    """Guidance between a branch and its equal changes nothing, at any scale."""
    positive, *_ = branches(net)
    twin = net.bind({"text": TEXT.clone()})
    extra = {"path": path.Flow(), "times": [1.0, 0.5, 0.0]} if name == "cfg_pp" else {}
    out = guided(positive, guidance.find(name)(positive, twin, 7.0 if not extra else 0.7, **extra))(X, 0.5)
    assert torch.allclose(out, positive(X, 0.5), atol=1e-5)


def test_cfg_is_its_formula_in_one_call(net):
    positive, negative, _ = branches(net)
    denoise = guided(positive, guidance.cfg(positive, negative, 5.0))
    out = denoise(X, 0.5)
    assert net.net.batches == [4]
    expected = negative(X, 0.5) + 5 * (positive(X, 0.5) - negative(X, 0.5))
    assert torch.allclose(out, expected, atol=1e-5)
    apart = guided(positive, guidance.cfg(positive, negative, 5.0), together=False)
    net.net.batches.clear()
    assert torch.allclose(apart(X, 0.5), expected, atol=1e-5) and net.net.batches == [2, 2]


def test_conditions_that_cannot_be_stacked_run_apart(net):
    positive, negative, _ = branches(net)
    longer = net.bind({"text": torch.cat((NEGATIVE, NEGATIVE), 1)})
    out = guided(positive, guidance.cfg(positive, longer, 3.0))(X, 0.5)
    assert net.net.batches == [2, 2]
    assert torch.allclose(out, guided(positive, guidance.cfg(positive, negative, 3.0))(X, 0.5), atol=1e-5)


def test_a_scale_per_sample(net):
    positive, negative, _ = branches(net)
    out = guided(positive, guidance.cfg(positive, negative, torch.tensor([1.0, 4.0])))(X, 0.5)
    four = guided(positive, guidance.cfg(positive, negative, 4.0))(X, 0.5)
    assert torch.allclose(out[0], positive(X, 0.5)[0], atol=1e-6) and torch.allclose(out[1], four[1], atol=1e-6)


def test_composed_prompts_and_dual_conditions(net):
    one, null, two = branches(net)
    a, n, b = (branch(X, 0.5) for branch in (one, null, two))
    net.net.batches.clear()
    out = guided(null, *guidance.composed(null, (one, 2.0), (two, -0.5)))(X, 0.5)
    assert torch.allclose(out, n + 2 * (a - n) - 0.5 * (b - n), atol=1e-5) and net.net.batches == [6]
    net.net.batches.clear()
    again = guided(net.bind(null.cond), *guidance.composed(net.bind(null.cond), (one, 2.0), (two, -0.5)))(X, 0.5)
    assert torch.equal(out, again) and net.net.batches == [6], "bound twice, run once"
    out = guided(one, *guidance.dual(one, two, null, 7.5, 1.5))(X, 0.5)
    assert torch.allclose(out, n + 1.5 * (b - n) + 7.5 * (a - b), atol=1e-4)


def test_perturbed_and_autoguidance_compose(net):
    positive, negative, _ = branches(net)
    weak = Denoiser(Net(2), path.Flow(), "flow").bind(positive.cond)
    terms = [
        guidance.cfg(positive, negative, 3.0),
        guidance.perturbed(positive, 2.0, layers=[1]),
        guidance.autoguidance(positive, weak, 1.5),
    ]
    p, n, w = positive(X, 0.5), negative(X, 0.5), weak(X, 0.5)
    s = positive.with_cond(skip_layers=(1,))(X, 0.5)
    net.net.batches.clear()
    out = guided(positive, *terms)(X, 0.5)
    assert torch.allclose(out, p + 2 * (p - n) + 2 * (p - s) + 0.5 * (p - w), atol=1e-4)
    assert net.net.batches == [4, 2], "positive and negative together, the perturbed one apart"


def test_rescale_matches_the_positive_deviation_in_output_space(net):
    positive, negative, _ = branches(net)
    out = guided(positive, guidance.cfg(positive, negative, 8.0), post=guidance.rescale(1.0))(X, 0.5)
    y, goal = (X - out) / 0.5, net.output(X, 0.5, positive.cond)
    assert torch.allclose(y.flatten(1).std(1), goal.flatten(1).std(1), rtol=1e-4)
    same = guided(positive, guidance.cfg(positive, negative, 8.0), post=guidance.rescale(0.0))(X, 0.5)
    assert torch.allclose(same, guided(positive, guidance.cfg(positive, negative, 8.0))(X, 0.5), atol=1e-5)


def test_apg_without_its_changes_is_cfg(net):
    positive, negative, _ = branches(net)
    plain = guidance.apg(positive, negative, 6.0, momentum=0.0, norm=0.0, parallel=1.0)
    assert torch.allclose(
        guided(positive, plain)(X, 0.5), guided(positive, guidance.cfg(positive, negative, 6.0))(X, 0.5), atol=1e-5
    )


def test_apg_is_bounded_orthogonal_and_remembers(net):
    positive, negative, _ = branches(net)
    denoise = guided(positive, guidance.apg(positive, negative, 6.0, momentum=-0.5, norm=0.1))
    p = positive(X, 0.5)
    update = (denoise(X, 0.5) - p) / 5
    assert float((update * p).flatten(1).sum(1).abs().max()) < 1e-3
    assert float(update.flatten(1).norm(dim=1).max()) <= 0.1 + 1e-5
    assert not torch.allclose(
        denoise(X, 0.4), guided(positive, guidance.apg(positive, negative, 6.0, norm=0.1))(X, 0.4)
    )
    assert torch.allclose((denoise(X, 0.5) - p) / 5, update), "a new walk forgets the last"


def test_cfg_zero_in_the_output(net):
    positive, negative, _ = branches(net)
    out = guided(positive, guidance.cfg_zero(positive, negative, 4.0))(X, 0.5)
    c, u = (net.output(X, 0.5, branch.cond) for branch in (positive, negative))
    fit = ((c * u).flatten(1).sum(1) / (u * u).flatten(1).sum(1))[:, None, None, None]
    assert torch.allclose((X - out) / 0.5, fit * u + 4 * (c - fit * u), atol=1e-4)
    still = guided(positive, guidance.cfg_zero(positive, negative, 4.0), post=guidance.zero_init(0.9))
    assert torch.allclose(still(X, 0.95), X) and torch.allclose(still(X, 0.5), out)


def test_cfg_pp_keeps_the_negative_noise(net):
    """One Euler step of cfg_pp is alpha' x0_lambda + sigma' eps_negative, as its paper defines it."""
    positive, negative, _ = branches(net)
    roads, times = path.Flow(), [0.8, 0.5, 0.0]
    denoise = guided(positive, guidance.cfg_pp(positive, negative, 0.6, path=roads, times=times))
    state = next(solve.sample(denoise, X, roads, times, rule="euler"))
    n, p = negative(X, 0.8), positive(X, 0.8)
    expected = 0.5 * (n + 0.6 * (p - n)) + 0.5 * (X - 0.2 * n) / 0.8
    assert torch.allclose(state.x, expected, atol=1e-5)


def test_schedules():
    assert [guidance.linear(6.0, 2.0)(t) for t in (1.0, 0.5, 0.0)] == [6, 4, 2]
    assert [guidance.cosine(6.0, 2.0)(t) for t in (1.0, 0.5, 0.0)] == pytest.approx([6, 4, 2])


def test_the_same_in_a_batch_as_alone(net):
    """A guided walk of two samples is the two walks, with any method."""
    roads, times = path.Flow(), timing.grid(timing.Uniform(), 4, path.Flow())

    def walk(rows):
        positive, negative = (net.bind({"text": c[rows]}) for c in (TEXT, NEGATIVE))
        denoise = guided(positive, guidance.apg(positive, negative, 3.0), post=guidance.rescale())
        return solve.last(solve.sample(denoise, X[rows], roads, times, eta=1.0, noise=Keyed(seed=1, samples=rows))).x

    both = walk([0, 1])
    assert torch.allclose(both[:1], walk([0]), atol=1e-5) and torch.allclose(both[1:], walk([1]), atol=1e-5)


def test_bad_guidance_is_named(net):
    positive, negative, _ = branches(net)
    with pytest.raises(ValueError, match="'nonsense'"):
        guidance.find("nonsense")
    with pytest.raises(ValueError, match="bound"):
        guided(lambda x, t: x, Term(toward=positive, away=negative, weight=1.0), post=guidance.rescale())
    with pytest.raises(ValueError, match="lambda"):
        guidance.cfg_pp(positive, negative, 4.0, path=path.Flow(), times=[1.0, 0.0])
    with pytest.raises(ValueError, match=r"0 \.\. 1"):
        guidance.rescale(2.0)
    with pytest.raises(ValueError, match="batch"):
        positive(torch.cat((X, X[:1])), 0.5)


@pytest.mark.parametrize("method", ["cfg", "apg", "cfg_zero"])
def test_a_share_is_guidance_by_place(method, net):
    """Where it is 1 there is all of it, where it is 0 none; a network of one place sees no others."""
    positive, negative, _ = branches(net)
    share = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(1, 1, 4, 1)
    whole, nothing, local = (
        guided(positive, guidance.methods()[method](positive, negative, scale))(X, 0.7)
        for scale in (3.0, 1.0, guidance.shared(3.0, share))
    )
    assert torch.allclose(local[:, :, :2], nothing[:, :, :2], atol=1e-5)
    assert torch.allclose(local[:, :, 2:], whole[:, :, 2:], atol=1e-5)
    assert guidance.shared(1.0, share)(0.5) == 1


def test_what_is_rescaled_apart_is_as_if_it_were_alone():
    parts = torch.tensor([1, 1, 2, 0]).view(1, 1, 4, 1).expand(1, 1, 4, 4)
    guided_, positive = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 3
    out = guidance.rescale(0.7, parts=parts)(guided_, positive, 0.5)
    for rows in (slice(0, 2), slice(2, 3)):
        alone = guidance.rescale(0.7)(guided_[:, :, rows], positive[:, :, rows], 0.5)
        assert torch.allclose(out[:, :, rows], alone)
    assert torch.equal(out[:, :, 3], guided_[:, :, 3])
