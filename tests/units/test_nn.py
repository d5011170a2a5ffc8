"""Layers: exact inverses, identities at birth, and the same code for one, two and three axes."""

import pytest
import torch

from mediagen.nn.attention import FEW, Attention, attend
from mediagen.nn.blocks import Block
from mediagen.nn.conv import Down, ResBlock, Up, conv, fold, unfold
from mediagen.nn.embed import fourier, tokens, untokens
from mediagen.nn.norm import ChannelNorm
from mediagen.nn.rope import positions, rotate, rotation


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


GRIDS = {1: (12,), 2: (8, 12), 3: (4, 6, 8)}


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_unfold_is_the_inverse_of_fold(dims: int) -> None:
    x, factors = torch.randn(2, 3, *GRIDS[dims]), (2, 3, 4)[:dims]
    folded = fold(x, factors)
    assert folded.shape[2:] == tuple(n // f for n, f in zip(GRIDS[dims], factors, strict=True))
    assert torch.equal(unfold(folded, factors), x)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_tokens_and_back(dims: int) -> None:
    x, patch = torch.randn(2, 3, *GRIDS[dims]), (2,) * dims
    assert torch.equal(untokens(tokens(x, patch), GRIDS[dims], patch), x)


def test_tokens_refuse_a_grid_that_the_patch_does_not_divide() -> None:
    with pytest.raises(ValueError, match=r"\(7, 8\).*patch \(2, 2\)"):
        tokens(torch.zeros(1, 3, 7, 8), (2, 2))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_new_residual_block_is_the_identity(dims: int) -> None:
    x = torch.randn(2, 8, *GRIDS[dims])
    assert torch.equal(ResBlock(dims, 8)(x), x)
    assert torch.equal(ResBlock(dims, 8, embed=4)(x, torch.randn(2, 4)), x)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_down_and_up_change_the_grid(dims: int) -> None:
    x, factors = torch.randn(2, 8, *GRIDS[dims]), (2,) * dims
    small = Down(8, 16, factors)(x)
    assert small.shape == (2, 16, *(n // 2 for n in GRIDS[dims]))
    assert Up(16, 8, factors)(small).shape == x.shape


def test_a_convolution_has_one_to_three_axes() -> None:
    with pytest.raises(ValueError, match="dims is 4"):
        conv(4, 1, 1)


def test_channel_norm_looks_at_one_position() -> None:
    x = torch.randn(1, 8, 5, 5)
    norm = ChannelNorm(8)
    assert torch.allclose(norm(x)[..., 2:4, 1:3], norm(x[..., 2:4, 1:3]), atol=1e-6)


def test_masked_tokens_do_not_matter() -> None:
    attention = Attention(16, 2, context=8)
    x, text, mask = torch.randn(1, 4, 16), torch.randn(1, 6, 8), torch.arange(6)[None] < 4
    other = text.clone()
    other[:, 4:] = 100.0
    assert torch.allclose(attention(x, text, mask), attention(x, other, mask))
    assert torch.allclose(attention(x, text, mask), attention(x, text[:, :4]), atol=1e-6)


@pytest.mark.parametrize("tokens", [5, 100])
def test_attention_is_softmax_attention_with_and_without_gradients(tokens: int) -> None:
    """Written out for few tokens, fused for many: the same values, and the same gradients as in float64."""
    q, k, v = (torch.randn(2, 2, tokens, 8, requires_grad=True) for _ in range(3))
    mask = torch.rand(2, 1, 1, tokens) > 0.3
    mask[..., 0] = True
    assert (tokens * tokens <= FEW) == (tokens == 5)
    made = attend(q, k, v, mask)
    with torch.no_grad():
        assert torch.allclose(made, attend(q, k, v, mask), atol=1e-6)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    scores = (exact[0] @ exact[1].mT / 8**0.5).masked_fill(~mask, -torch.inf).softmax(-1) @ exact[2]
    assert torch.allclose(made.double(), scores, atol=1e-5)
    weight = torch.randn_like(made)
    mine = torch.autograd.grad((made * weight).sum(), (q, k, v))
    for one, other in zip(mine, torch.autograd.grad((scores * weight).sum(), exact), strict=True):
        assert torch.allclose(one.double(), other, atol=1e-5)


def test_rotation_keeps_lengths_and_sees_only_differences() -> None:
    cos, sin = rotation(positions((4, 5)), 16)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)
    a, b = rotate(q.expand(1, 1, 20, 16), cos, sin), rotate(k.expand(1, 1, 20, 16), cos, sin)
    assert torch.allclose(a.norm(dim=-1), q.norm(dim=-1).expand(1, 1, 20), atol=1e-5)
    scores = (a @ b.transpose(-1, -2))[0, 0]
    assert torch.allclose(scores[0, 6], scores[7, 13], atol=1e-4)  # one down and one right, anywhere


def test_positions_are_centred() -> None:
    assert torch.equal(positions((2, 3)).mean(0), torch.zeros(2))


def test_fourier_is_finite_and_tells_times_apart() -> None:
    features = fourier(torch.linspace(0, 1, 50), 64)
    apart = torch.cdist(features, features) + torch.eye(50) * 9
    assert features.shape == (50, 64)
    assert apart.min() > 0.1


def test_a_new_block_leaves_out_the_text() -> None:
    block = Block(16, 2, 8, 24)
    x, modulation = torch.randn(2, 6, 16), torch.randn(2, 1, Block.PARTS, 16)
    rope = rotation(positions((6,)), 8)
    mask = torch.ones(2, 3, dtype=torch.bool)
    one, other = (block(x, modulation, rope, torch.randn(2, 3, 8), mask) for _ in range(2))
    assert torch.equal(one, other)


def test_time_turns_what_space_turns_and_a_picture_not_at_all() -> None:
    grid = (5, 4, 4)
    picture, clip = rotation(positions(grid[1:]), 16), rotation(positions((1, *grid[1:])), 16, clips=True)
    assert torch.equal(picture[0], clip[0]) and torch.equal(picture[1], clip[1])
    cos, sin = rotation(positions(grid), 16, clips=True)
    places = torch.cat([cos, sin], 1)
    assert torch.cdist(places, places).fill_diagonal_(9).min() > 0.05  # no two places are alike
