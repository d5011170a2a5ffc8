"""Continuation window by window: what is made is one whole, in order, at constant size."""

import pytest
import torch

from mediagen.pipelines.rollout import Window, rollout


def counted(seen: list[Window], axis: int = -1):
    """A maker that numbers positions, and checks that what it is shown is what it made before."""

    def make(window: Window) -> torch.Tensor:
        seen.append(window)
        z = torch.arange(window.begin, window.begin + window.length).float()
        if window.known is not None:
            assert torch.equal(window.known.flatten(), z[: window.overlap(axis)])
        return z.view(1, 1, -1) if axis == -1 else z.view(1, 1, -1, 1, 1)

    return make


@pytest.mark.parametrize("total", [1, 9, 10, 11, 18, 37, 64])
def test_the_parts_are_the_whole(total: int) -> None:
    seen: list[Window] = []
    parts = list(rollout(counted(seen), size=10, overlap=3, total=total))
    assert torch.equal(torch.cat(parts, -1).flatten(), torch.arange(total).float())
    assert {w.length for w in seen} == {min(10, total)} and [w.number for w in seen] == list(range(len(seen)))
    assert seen[-1].begin + seen[-1].length == total


def test_without_an_end_it_goes_on_and_video_goes_along_its_first_axis() -> None:
    seen: list[Window] = []
    parts = rollout(counted(seen, axis=2), size=8, overlap=2, axis=2)
    got = torch.cat([next(parts) for _ in range(5)], 2)
    assert torch.equal(got.flatten(), torch.arange(8 + 4 * 6).float())


@pytest.mark.parametrize("overlap", [-1, 8, 9])
def test_an_overlap_that_cannot_be_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        next(rollout(counted([]), size=8, overlap=overlap))
