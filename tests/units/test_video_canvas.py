"""What an edit of a clip keeps, to the pixel, and what of it the model is shown."""

import numpy as np
import pytest
import torch

from mediagen.autoencoders.base import LatentSpec
from mediagen.metrics.drift import curve, drift, look, plotted
from mediagen.pipelines.video_canvas import FADE, canvas, covering, lost, placed, shown

CAUSAL = LatentSpec(channels=4, stride=(4, 8, 8), causal=True)
PLAIN = LatentSpec(channels=4, stride=(4, 8, 8))
FRAMES = torch.rand(3, 40, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("spec", [CAUSAL, PLAIN])
def test_the_least_frames_that_latents_stand_for(spec: LatentSpec) -> None:
    for count in range(1, 40):
        size = covering(spec, count)
        [latents, *_] = spec.grid((size, 8, 8))
        assert size >= count and (latents == 1 or spec.covered(0, latents - 1) < count)


@pytest.mark.parametrize("spec", [CAUSAL, PLAIN])
@pytest.mark.parametrize("ends", [(0, 1), (0, 9), (3, 0), (8, 0), (0, 30), (30, 0)])
@pytest.mark.parametrize("count", [1, 4, 5, 16, 17, 40])
def test_extending_shows_all_that_is_new_and_a_latent_ends_where_the_clip_does(spec, ends, count) -> None:
    left, right = ends
    frames, keep = placed(FRAMES[:, :count], range(left, left + count), left + count + right)
    made = canvas(frames, keep, spec, 17)
    first, last = made.shown
    assert (
        spec.grid((last - first, 8, 8))
        and first <= (left and 0) + (0 if left else count)
        and last >= (left + count + right if right else left)
    )
    border = count if right else left
    assert (border - first - spec.covered(0, 1)) % 4 == 0
    if spec.causal:
        assert right == 0 or first < count  # something that was there is seen
    assert last - first <= max(17, left + right + 8) + 8
    noise = torch.rand(3, last - first, 8, 8)
    assert torch.equal(made.joined(noise)[:, left : left + count], FRAMES[:, :count])
    if right and count > 4:
        assert made.stray(spec) is None


def test_a_last_picture_is_held_for_its_latent_or_told_another_way() -> None:
    for count, told in ((14, False), (17, True), (16, True)):
        frames, keep = placed(FRAMES[:, :2], [0, count - 1], count)
        made = canvas(frames, keep, CAUSAL, 17)
        assert made.shown == (0, 17) and (made.stray(CAUSAL) is not None) == told
        assert torch.equal(made.known[0, :, count - 1 :], FRAMES[:, 1:2].expand(-1, 18 - count, -1, -1))
    frames, keep = placed(FRAMES[:, :1], [15], 16)
    alone = canvas(frames, keep, CAUSAL, 17)  # nothing is before it, so that some may be made that is cut off
    assert alone.shown[0] == -2 and alone.stray(CAUSAL) is None


def test_what_is_between_two_frames_is_held_or_mixed() -> None:
    at, two = [1, 5], FRAMES[:, :2]
    held, keep = placed(two, at, 8)
    assert keep.flatten().tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    assert [torch.equal(held[:, i], two[:, 1]) for i in range(8)] == [False] * 4 + [True] * 4
    mixed, _ = placed(two, at, 8, blended=True)
    assert torch.allclose(mixed[:, 2], 0.75 * two[:, 0] + 0.25 * two[:, 1], atol=1e-6)
    assert torch.equal(mixed[:, 1], two[:, 0]) and torch.equal(mixed[:, 7], two[:, 1])


def test_what_a_frame_lost_fades_out_of_its_neighbours() -> None:
    made, old = torch.zeros(3, 9, 2, 2), torch.ones(3, 9, 2, 2)
    whole = torch.zeros(9, dtype=torch.bool)
    whole[[0, 6]] = True
    shares = lost(made, old, whole)[0, :, 0, 0]
    assert torch.allclose(shares, torch.tensor([1, 0.75, 0.5, 0.5, 0.5, 0.75, 1, 0.75, 0.5])) and FADE == 4
    assert lost(made, old, ~whole & whole).abs().max() == 0
    assert torch.allclose(lost(made, old, torch.arange(9) % 2 == 0), old), "never more than was lost"


def test_what_has_moved_on_leaves_no_ghost() -> None:
    made, whole = torch.full((3, 3, 16, 32), -0.5), torch.tensor([True, False, False])
    made[:, 0, :, 2:6] = made[:, 1, :, 22:26] = 0.5  # a bar that jumps to the right
    old = made + 0.1
    extra = lost(made, old, whole)
    assert torch.allclose(extra[:, 0], torch.full((3, 16, 32), 0.1), atol=1e-6)
    assert extra[:, 1, :, 2:6].abs().max() < 1e-3 and extra[:, 1, :, 22:26].abs().max() < 1e-3
    assert torch.allclose(extra[:, 1, :, 10:18], torch.full((3, 16, 8), 0.075), atol=1e-6), "what stayed is as sharp"


def test_a_mask_keeps_its_pixels_and_no_frames_to_align_are_no_error() -> None:
    keep = torch.ones(1, 17, 8, 8)
    keep[:, :, :4] = 0
    made = canvas(FRAMES[:, :17], keep, CAUSAL, 17)
    out = made.joined(torch.zeros(3, 17, 8, 8))
    assert made.shown == (0, 17) and torch.equal(out[:, :, 4:], FRAMES[:, :17, 4:]) and not out[:, :, :4].any()
    assert shown(torch.ones(9, dtype=torch.bool), CAUSAL, 17)[0] == 0


def test_drift_is_measured_in_colour_and_sharpness() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    grey = np.full((8, 16, 16, 3), 128, np.uint8)
    assert drift(look(noise), look(noise), 1.0).sharpness == 1 and drift(look(grey), look(grey), 1.0).change == 1
    points = curve(np.concatenate([noise, noise, grey]), rate=8)
    assert [point.second for point in points] == [0, 1, 2] and points[1].colour == 0 == points[2].sharpness
    darker = curve(np.concatenate([grey, grey - 20]), rate=8)[-1]
    assert darker.colour == pytest.approx(20, abs=1e-3)
    lines = plotted(points).splitlines()
    assert len(lines) == 3 and lines[1].startswith("sharpness ██▁") and "at the end 0.00" in lines[1]
    with pytest.raises(ValueError, match="no stretch"):
        plotted([])
