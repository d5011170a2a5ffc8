"""Low-rank adapters: beside a layer, in its weights and joined they are one and the same."""

import pytest
import torch
from torch import Tensor, nn

from mediagen.nn import lora

LAYERS = {
    "linear": (lambda: nn.Linear(6, 8), (2, 5, 6), ()),
    "conv1": (lambda: nn.Conv1d(6, 8, 3, padding=1), (2, 6, 9), (3,)),
    "conv2": (lambda: nn.Conv2d(6, 8, 3, stride=2, padding=1), (2, 6, 8, 8), (3, 3)),
    "conv3": (lambda: nn.Conv3d(6, 8, (1, 3, 3), padding=(0, 1, 1)), (2, 6, 3, 4, 4), (1, 3, 3)),
    "point": (lambda: nn.Conv2d(6, 8, 1, stride=2), (2, 6, 8, 8), (1, 1)),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def made(layer: nn.Module, kernel: tuple[int, ...], rank: int = 4, mid: bool = False, scale: float = 0.5):
    ones = (1,) * len(kernel)
    first = torch.randn(rank, 6, *(ones if mid else kernel))
    middle = torch.randn(rank, rank, *kernel) if mid else None
    return lora.LowRank(layer, first, torch.randn(8, rank, *ones), middle, scale)


@torch.no_grad()
def answer(layer: nn.Module, x: Tensor, low) -> Tensor:
    with lora.attached({layer: low}):
        return layer(x)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_beside_a_layer_joined_and_in_its_weights(name: str) -> None:
    build, shape, kernel = LAYERS[name]
    layer, x = build(), torch.randn(shape)
    plain, weight = layer(x), layer.weight.clone()
    parts = [(made(layer, kernel), 0.7), (made(layer, kernel, rank=2, scale=2.0), -1.3)]
    beside = answer(layer, x, lora.joined(layer, parts))
    apart = plain + sum(low(x) * share for low, share in parts)
    before = lora.fuse({layer: parts})
    assert torch.allclose(beside, apart, atol=1e-5) and torch.allclose(layer(x), apart, atol=1e-4)
    assert (apart - plain).abs().max() > 0.1 and not torch.equal(layer.weight, weight)
    lora.restore(before)
    assert torch.equal(layer.weight, weight) and torch.equal(layer(x), plain)


@torch.no_grad()
def test_split_three_ways_and_where_the_kernel_is() -> None:
    layer, x = nn.Conv2d(6, 8, 3, padding=1), torch.randn(2, 6, 8, 8)
    three = made(layer, (3, 3), mid=True)
    late = lora.LowRank(layer, torch.randn(4, 6, 1, 1), torch.randn(8, 4, 3, 3))
    for low in (three, late):
        wanted = torch.nn.functional.conv2d(x, low.delta(), padding=1)
        assert torch.allclose(low(x), wanted, atol=1e-4)
    both = lora.joined(layer, [(three, 0.5), (late, 2.0)])
    assert torch.allclose(both(x), three(x) * 0.5 + late(x) * 2, atol=1e-4)


def test_linear_layers_that_were_convolutions() -> None:
    layer, down, up = nn.Linear(6, 8), torch.randn(4, 6), torch.randn(8, 4)
    low = lora.LowRank(layer, down[..., None, None], up[..., None, None])
    x = torch.randn(3, 6)
    assert torch.allclose(low(x), x @ down.T @ up.T, atol=1e-5)


def test_a_fresh_one_changes_nothing_and_learns() -> None:
    layer = nn.Linear(6, 8)
    low = lora.LowRank.fresh(layer, 4, 4.0, torch.Generator().manual_seed(0))
    x = torch.randn(3, 6)
    with lora.attached({layer: low}):
        y = layer(x)
    assert torch.equal(y, layer(x)) and low.rank == 4
    y.square().mean().backward()
    assert low.factors[1].grad.abs().max() > 0 and low.factors[0].grad.abs().max() == 0


@torch.no_grad()
def test_half_precision_and_weights_that_are_not_there() -> None:
    layer, x = nn.Linear(6, 8).bfloat16(), torch.randn(2, 6).bfloat16()
    low = made(layer, ())
    assert answer(layer, x, lora.joined(layer, [(low, 0.5)])).dtype == torch.bfloat16
    assert lora.joined(layer, [(low, 0.5)]).factors[0].dtype == torch.bfloat16
    away = nn.Linear(6, 8, device="meta")
    assert lora.joined(away, [(made(away, ()), 1.0)]).factors[0].device.type == "cpu"
    with pytest.raises(ValueError, match="are quantised or offloaded: adapters stay beside them"):
        lora.fuse({away: [(low, 1.0)]})


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\[4, 5\] and \[8, 4\] do not fit a layer of \[8, 6\]"):
        lora.LowRank(nn.Linear(6, 8), torch.randn(4, 5), torch.randn(8, 4))
    with pytest.raises(ValueError, match="do not fit a layer"):
        lora.LowRank(nn.Conv2d(6, 8, 3), torch.randn(4, 6, 1, 1), torch.randn(8, 4, 1, 1))
    with pytest.raises(ValueError, match="Conv2d takes no low-rank adapter"):
        lora.LowRank(nn.Conv2d(6, 8, 3, groups=2), torch.randn(4, 6, 3, 3), torch.randn(8, 4, 1, 1))
    inner = nn.MultiheadAttention(8, 2).out_proj
    assert not lora.fits(inner) and not lora.fits(nn.Embedding(3, 3)) and lora.fits(nn.Linear(1, 1))
