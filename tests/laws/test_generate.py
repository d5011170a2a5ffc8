"""Loops, windows, regions, kept places and the step cache compose: for a network that sees one position at a time, the
result is the same whichever of the first two are used."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mediagen.core import path, solve
from mediagen.core.denoiser import Denoiser
from mediagen.core.rng import Keyed
from mediagen.generators.diffusion import Asked, Start, Walk, generate


class Pixelwise(nn.Module):
    """begins: what it adds to the first position of its grid, which means something else to it than the others."""

    def __init__(self, begins: float = 0.0) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.begins = begins

    def forward(self, x: Tensor, t: Tensor, cond: dict[str, Any]) -> Tensor:
        self.calls.append(x.shape[-1])
        gain, t = cond["gain"].view(-1, 1, 1), t if t.ndim > 1 else t.view(-1, 1, 1)
        first = torch.zeros(x.shape[-1])
        first[0] = self.begins
        return torch.sin(x * (1 + gain)) + gain * t + first


def asked(mask: Tensor) -> Asked:
    conds = [{"gain": torch.tensor([value])} for value in (0.3, 0.0, 0.9)]
    return Asked(prompts=[(conds[0], 1.0)], null=conds[1], regions=[(conds[2], mask)])


def walked(net: Pixelwise, start: Start | None = None, lead: int = 0, **options: Any) -> Tensor:
    mask = torch.zeros(1, 1, 24)
    mask[..., 15:] = 1
    walk = Walk(steps=6, guidance=2.0, **options)
    keyed = Keyed(seed=1, samples=[0])
    like = torch.empty(1, 2, 24)
    what = replace(asked(mask), lead=lead)
    return solve.last(generate(Denoiser(net, path.Flow(), "flow"), what, like, keyed, walk, start)).x


@pytest.mark.parametrize("reuse", [0.0, 0.5])
@pytest.mark.parametrize("options", [{"loop": (-1,)}, {"window": (8,)}, {"loop": (-1,), "window": (8,)}], ids=str)
def test_loops_and_windows_leave_a_local_network_as_it_is(options: dict, reuse: float) -> None:
    known, keep = torch.linspace(-1, 1, 48).view(1, 2, 24), torch.zeros(1, 1, 24)
    keep[..., :5] = 1
    start = Start(known=known, keep=keep)
    plain = walked(Pixelwise(), start, reuse=reuse)
    assert torch.allclose(plain[..., :5], known[..., :5], atol=1e-6)
    for token in (None, (1,)):
        other = walked(Pixelwise(), replace(start, token=token), reuse=reuse, **options)
        assert torch.allclose(other, plain, atol=1e-5)


def test_a_loop_is_led_into_by_its_end_for_a_network_whose_first_position_is_another() -> None:
    plain, other = walked(Pixelwise(), loop=(-1,)), walked(Pixelwise(begins=0.5), loop=(-1,), lead=1)
    assert torch.allclose(plain, other, atol=1e-5)
    assert not torch.allclose(plain, walked(Pixelwise(begins=0.5), loop=(-1,)), atol=1e-3)


def test_what_is_known_in_another_space_is_projected_on() -> None:
    even = torch.arange(24) % 2 == 0
    start = Start(known=torch.zeros(1, 2, 24), project=lambda x0: torch.where(even, 0.25, x0))
    made = walked(Pixelwise(), start)
    assert torch.allclose(made[..., even], torch.tensor(0.25)) and not bool((made[..., ~even] == 0.25).any())


def test_nothing_is_led_away_from_without_a_guidance() -> None:
    """The same with and without a null condition; a guidance must have one."""
    net, like, keyed = Pixelwise(), torch.empty(1, 2, 24), Keyed(seed=1, samples=[0])
    both = asked(torch.ones(1, 1, 24))
    plain, lone = Walk(steps=3, guidance=1.0), replace(both, null=None)
    made = [
        solve.last(generate(Denoiser(net, path.Flow(), "flow"), what, like, keyed, plain)).x for what in (both, lone)
    ]
    assert torch.equal(*made)
    for wrong in (replace(plain, guidance=2.0), replace(plain, guidance_2=2.0, boundary=0.5)):
        with pytest.raises(ValueError, match="the null condition must not be None"):
            solve.last(generate(Denoiser(net, path.Flow(), "flow"), lone, like, keyed, wrong))


def test_a_window_asks_for_the_prompts_in_it_alone() -> None:
    net = Pixelwise()
    walked(net, window=(8,))
    # windows begin at 0, 4, 8, 12 and 16: two see the first prompt alone, two both, one the second alone
    assert len(net.calls) == 6 * (2 + 2 * 2 + 1) and set(net.calls) == {8}
