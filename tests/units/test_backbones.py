"""Backbones: any number of axes and any grid, each sample and each text token for itself."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mediagen.backbones import build
from mediagen.nn.inflate import inflated

GRIDS = {1: (8,), 2: (4, 12), 3: (2, 4, 6)}


def network(name: str, dims: int = 2) -> nn.Module:
    """Small, and with random weights where training would begin from zero."""
    torch.manual_seed(0)
    dit = {"channels": 3, "patch": [2] * dims, "width": 24, "depth": 3, "heads": 2, "hidden": 32, "text": 8}
    unet = {"dims": dims, "channels": 3, "widths": [8, 16], "depth": 1, "attention": [1], "head": 8, "text": 8}
    numbers = {"scalars": {"seconds": 6, "start": 4}}
    variants = {"dit-own": dit | {"modulation": 4}, "dit-numbers": dit | numbers, "unet-numbers": unet | numbers}
    variants |= {"dit-factorised": dit | {"attention": "factorised"}, "unet-clips": unet | {"clips": True}}
    variants |= {"dit-context": dit | {"signals": {"context": 5}}, "unet-context": unet | {"signals": {"context": 5}}}
    net = build(name.split("-")[0], ({"dit": dit, "unet": unet} | variants)[name])
    for p in net.parameters():
        nn.init.normal_(p, std=0.2)
    return net


def condition(batch: int, length: int = 5) -> dict[str, Any]:
    mask = torch.arange(length) < torch.arange(batch)[:, None] % length + 2
    numbers = {"seconds": torch.randn(batch, 6), "start": torch.randn(batch, 4)}  # only some networks ask for them
    return {"text": torch.randn(batch, length, 8), "text_mask": mask, "text_pooled": torch.randn(batch, 8)} | numbers


def row(cond: dict[str, Any], i: int) -> dict[str, Any]:
    return {k: v[i : i + 1] for k, v in cond.items()}


both = pytest.mark.parametrize("name", ["dit", "dit-own", "unet"])
numbered = pytest.mark.parametrize("name", ["dit-numbers", "unet-numbers"])


@both
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_any_number_of_axes(name: str, dims: int) -> None:
    x = torch.randn(2, 3, *GRIDS[dims])
    assert network(name, dims)(x, torch.tensor([0.1, 0.9]), condition(2)).shape == x.shape


@both
@pytest.mark.parametrize("grid", [(2, 2), (2, 14), (16, 4)])
def test_any_size_and_aspect_ratio(name: str, grid: tuple[int, int]) -> None:
    assert network(name)(torch.randn(1, 3, *grid), torch.tensor([0.5]), condition(1)).shape == (1, 3, *grid)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", ["dit-context", "unet-context"])
def test_a_context_acts_in_its_place_and_zeros_say_nothing(name: str, dims: int) -> None:
    """A new network ignores it; without one it is what it is with zeros; other samples do not hear it."""
    net, x, cond, t = network(name, dims), torch.randn(2, 3, *GRIDS[dims]), condition(2), torch.rand(2)
    seen = torch.randn(2, 5, *GRIDS[dims])
    plain, silent = net(x, t, cond), net(x, t, cond | {"context": torch.zeros_like(seen)})
    assert torch.allclose(plain, silent, atol=1e-5)
    one = seen.clone()
    one[0] += 1
    apart = (net(x, t, cond | {"context": one}) - net(x, t, cond | {"context": seen})).abs().flatten(1).amax(1)
    assert apart[0] > 1e-3 and apart[1] < 1e-5
    for p in net.signal_embed["context"].parameters():
        nn.init.zeros_(p)
    assert torch.equal(net(x, t, cond | {"context": seen}), net(x, t, cond))


@numbered
def test_numbers_act_each_for_itself_and_zeros_say_nothing(name: str) -> None:
    net, x, cond, t = network(name, 1), torch.randn(2, 3, 8), condition(2), torch.rand(2)
    for number in ("seconds", "start"):
        other = cond[number].clone()
        other[0] += 1
        changed = (net(x, t, cond | {number: other}) - net(x, t, cond)).abs().amax((1, 2))
        assert changed[0] > 1e-3 and changed[1] < 1e-4
    null = {number: torch.zeros_like(cond[number]) for number in ("seconds", "start")}
    bare = build(name.split("-")[0], {k: v for k, v in vars(net.config).items() if k != "scalars"})
    bare.load_state_dict(
        {k: v for k, v in net.state_dict().items() if "scalar_embed" not in k}
    )  # all the rest is equal
    assert torch.equal(net(x, t, cond | null), bare(x, t, cond))
    with pytest.raises(ValueError, match="the condition lacks start"):
        net(x, t, {k: v for k, v in cond.items() if k != "start"})


@both
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_one_time_for_each_place_that_is_the_same_everywhere_is_one_time(name: str, dims: int) -> None:
    net, x, cond, t = network(name, dims), torch.randn(2, 3, *GRIDS[dims]), condition(2), torch.tensor([0.3, 0.8])
    everywhere = t.view(2, 1, *(1,) * dims).expand(2, 1, *GRIDS[dims])
    assert torch.allclose(net(x, everywhere, cond), net(x, t, cond), atol=1e-4)


@both
def test_times_of_places_act(name: str) -> None:
    net, x, cond = network(name), torch.randn(1, 3, 4, 8), condition(1)
    t = torch.full((1, 1, 4, 8), 0.5)
    mixed = t.clone()
    mixed[..., :4] = 0.0
    assert not torch.allclose(net(x, t, cond), net(x, mixed, cond), atol=1e-3)


@pytest.mark.parametrize("name", ["dit", "dit-own", "dit-numbers", "unet", "unet-numbers"])
def test_a_sample_alone_is_the_sample_in_a_batch(name: str) -> None:
    net, x, cond, t = network(name), torch.randn(4, 3, 4, 8), condition(4), torch.rand(4)
    whole = net(x, t, cond)
    for i in range(4):
        assert torch.allclose(net(x[i : i + 1], t[i : i + 1], row(cond, i)), whole[i : i + 1], rtol=1e-5, atol=1e-4)


@both
def test_padding_of_the_text_does_not_matter(name: str) -> None:
    net, x, cond, t = network(name), torch.randn(2, 3, 4, 8), condition(2), torch.rand(2)
    padded = cond | {
        "text": torch.cat([cond["text"], torch.full((2, 3, 8), 7.0)], 1),
        "text_mask": torch.cat([cond["text_mask"], torch.zeros(2, 3, dtype=torch.bool)], 1),
    }
    assert torch.allclose(net(x, t, padded), net(x, t, cond), atol=1e-4)


@both
def test_leaving_out_layers_acts(name: str) -> None:
    net, x, cond, t = network(name), torch.randn(1, 3, 4, 8), condition(1), torch.rand(1)
    assert torch.equal(net(x, t, cond | {"skip_layers": ()}), net(x, t, cond))
    assert not torch.allclose(net(x, t, cond | {"skip_layers": (1,)}), net(x, t, cond), atol=1e-3)


@pytest.mark.parametrize("name", ["dit", "dit-own", "dit-numbers", "unet", "unet-numbers"])
def test_every_parameter_feels_the_loss(name: str) -> None:
    net = network(name)
    net(torch.randn(2, 3, 4, 8), torch.rand(2), condition(2)).square().mean().backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@both
def test_a_new_network_says_nothing(name: str) -> None:
    dit = {"channels": 3, "width": 24, "heads": 2, "depth": 1}
    sizes = {"dit": dit, "dit-own": dit | {"modulation": 4}, "unet": {"channels": 3, "widths": [64, 128]}}
    net = build(name.split("-")[0], sizes[name] | {"text": 8})
    assert torch.equal(net(torch.randn(1, 3, 4, 4), torch.rand(1), condition(1)), torch.zeros(1, 3, 4, 4))


@both
def test_a_grid_off_the_multiple_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="multiple"):
        network(name)(torch.zeros(1, 3, 5, 4), torch.rand(1), condition(1))


def test_an_unknown_backbone_and_an_unknown_size_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown backbone 'vit'; known: dit, unet"):
        build("vit", {})
    with pytest.raises(ValueError, match="unknown key 'layers'"):
        build("dit", {"layers": 3})
    with pytest.raises(ValueError, match="even multiple of heads"):
        build("dit", {"width": 30, "heads": 4})


def test_the_order_of_text_states_is_theirs_alone() -> None:
    """Cross-attention has no positions of its own: order is in the encoder's states, so equal sets say the same."""
    net, x, cond, t = network("dit"), torch.randn(1, 3, 4, 4), condition(1), torch.rand(1)
    cond["text_mask"][:] = True
    turned: dict[str, Tensor] = cond | {"text": cond["text"].flip(1)}
    assert torch.allclose(net(x, t, cond), net(x, t, turned), atol=1e-4)


# Clips


def test_a_clip_of_one_frame_is_what_the_network_of_images_makes_of_it() -> None:
    """The U-Net of clips begun with the weights of images; and a still clip, while its layers over time are new."""
    image = network("unet")
    clips = build("unet", {**vars(image.config), "dims": 3, "clips": True})
    clips.load_state_dict(inflated(image.state_dict(), clips))
    x, cond, t = torch.randn(2, 3, 4, 8), condition(2), torch.tensor([0.3, 0.8])
    picture = image(x, t, cond)
    assert torch.allclose(clips(x[:, :, None], t, cond)[:, :, 0], picture, atol=1e-4)
    still = clips(x[:, :, None].expand(-1, -1, 3, -1, -1), t, cond)
    assert torch.allclose(still, picture[:, :, None].expand_as(still), atol=1e-4)


def test_a_transformer_of_images_is_a_start_for_one_of_clips() -> None:
    """On a clip of one frame it is that transformer, factorised attention included where it looks at space alone."""
    image = network("dit")
    x, cond, t = torch.randn(2, 3, 4, 8), condition(2), torch.tensor([0.3, 0.8])
    sizes = vars(image.config) | {"patch": [1, 2, 2]}
    clips = build("dit", sizes | {"clips": True})
    clips.load_state_dict(image.state_dict())
    assert torch.allclose(clips(x[:, :, None], t, cond)[:, :, 0], image(x, t, cond), atol=1e-4)
    moving = torch.randn(2, 3, 5, 4, 8)
    assert not torch.allclose(clips(moving, t, cond), clips(moving.flip(2), t, cond).flip(2), atol=1e-2)
    other = build("dit", sizes)
    other.load_state_dict(image.state_dict())
    assert not torch.allclose(other(x[:, :, None], t, cond)[:, :, 0], image(x, t, cond), atol=1e-3)
    with pytest.raises(ValueError, match="clips have 3 axes, a side of the patch for each, not 2"):
        build("dit", sizes | {"clips": True, "patch": [2, 2]})


def test_a_unet_of_clips_takes_any_number_of_frames_and_looks_along_time() -> None:
    net, x, cond, t = network("unet-clips", 3), torch.randn(1, 3, 5, 4, 8), condition(1), torch.tensor([0.5])
    assert net(x, t, cond).shape == x.shape
    other = x.clone()
    other[:, :, 4] += 1
    assert (net(other, t, cond) - net(x, t, cond))[:, :, 0].abs().max() > 1e-3
    places = torch.full((1, 1, 5, 4, 8), 0.5)
    assert torch.allclose(net(x, places, cond), net(x, t, cond), atol=1e-4)
    with pytest.raises(ValueError, match=r"\(5, 4, 7\) is not a multiple of 2"):
        net(x[..., :7], t, cond)
    with pytest.raises(ValueError, match="clips have 3 axes"):
        build("unet", {"dims": 2, "clips": True})


def test_factorised_blocks_look_in_turn_at_a_moment_and_along_time() -> None:
    """With the weights of full attention; on a single moment the blocks over space are the same."""
    net, x, cond, t = network("dit-factorised", 3), torch.randn(1, 3, 4, 4, 4), condition(1), torch.tensor([0.5])
    full = build("dit", {**vars(net.config), "attention": "full"})
    full.load_state_dict(net.state_dict())
    assert not torch.allclose(net(x, t, cond), full(x, t, cond), atol=1e-3)
    near = x.clone()
    near[..., 0, 0, 0] += 1
    space = net(x, t, cond | {"skip_layers": (1,)})  # blocks 0 and 2 alone: over space
    assert (net(near, t, cond | {"skip_layers": (1,)}) - space)[:, :, 2:].abs().max() < 1e-5
    assert (net(near, t, cond | {"skip_layers": (1,)}) - space)[:, :, :2, 2:, 2:].abs().max() > 1e-4
    along = net(x, t, cond | {"skip_layers": (0, 2)})  # block 1 alone: along time
    assert (net(near, t, cond | {"skip_layers": (0, 2)}) - along)[..., 2:, 2:].abs().max() < 1e-5
    assert (net(near, t, cond | {"skip_layers": (0, 2)}) - along)[:, :, 2:, :2, :2].abs().max() > 1e-4
    one = x[:, :, :2]  # a single moment of tokens
    skipped = cond | {"skip_layers": (1,)}
    assert torch.allclose(net(one, t, skipped), full(one, t, skipped), atol=1e-4)
    with pytest.raises(ValueError, match="attention 'local' must be 'full' or"):
        build("dit", {"attention": "local"})
