"""From a prompt to a clip and back, on a tiny model with random weights: everything but the quality is real."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange

import mediagen
from mediagen.autoencoders.base import LatentSpec, in_strides
from mediagen.core import guidance, solve
from mediagen.modalities.audio import Audio
from mediagen.modalities.image import Image
from mediagen.modalities.video import Video

SIDE = 32


@pytest.fixture(scope="module")
def pipeline(tiny_video):
    return mediagen.load(tiny_video)


@pytest.fixture(autouse=True)
def loaded(pipeline, monkeypatch) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny-video", pipeline)


@pytest.fixture(scope="module")
def ball() -> Video:
    """17 frames of a red disc that goes to the right over a gradient, with a tone."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    frames = np.empty((17, SIDE, SIDE, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[...] = np.stack([columns * 4, rows * 6, np.full_like(rows, 120)], -1)
        frame[(columns - 6 - i) ** 2 + (rows - 16) ** 2 < 30] = (230, 30, 40)
    tone = np.sin(2 * np.pi * 220 * np.arange(17000) / 8000)[None].astype(np.float32) / 4
    return Video(frames, 8.0, Audio(tone, 8000))


@pytest.fixture
def calls(pipeline) -> Iterator[list]:
    """What the network sees: (x, t, cond) of each call."""
    seen: list = []
    hook = pipeline.model.denoiser.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    yield seen
    hook.remove()


@pytest.fixture
def pixelwise(pipeline, monkeypatch) -> None:
    """A network that sees one place, its time and the prompt."""

    def forward(x: torch.Tensor, t: torch.Tensor, cond: dict) -> torch.Tensor:
        t = t if t.ndim > 1 else t.view(-1, 1, 1, 1, 1)
        gain = cond["text_pooled"].mean(1).view(-1, 1, 1, 1, 1)
        return torch.sin(x * (1 + 30 * gain)) * (1 - t)

    monkeypatch.setattr(pipeline.model.denoiser.net, "forward", forward)


def picture(value: int, size: int = SIDE) -> Image:
    pixels = np.full((size, size, 3), value, np.uint8)
    pixels[: size // 2, :, 1] = 200
    return Image(pixels)


def test_the_same_seed_is_the_same_clip_alone_and_in_a_batch(pipeline) -> None:
    one, two = (pipeline.generate("a cat", seed=3) for _ in range(2))
    assert np.array_equal(one.frames, two.frames) and one.frames.shape == (17, SIDE, SIDE, 3) and one.rate == 8
    batch = pipeline.generate(["a cat", "a dog"], seed=3)
    alone = pipeline.generate("a dog", seed=3, sample=1)
    for batched, single in zip(batch, (one, alone), strict=True):
        assert np.abs(batched.frames.astype(int) - single.frames).max() <= 1
    assert np.abs(one.frames.astype(int) - alone.frames).max() > 20 and one.frames.std() > 10


@pytest.mark.parametrize("seconds", [None, 0.125, 0.5, 1.23, 5.0])
def test_lengths_are_exact(pipeline, seconds: float | None) -> None:
    clip = pipeline.generate("a cat", seconds=seconds, steps=1, seed=0)
    assert clip.frames.shape == (round((seconds or 2.125) * 8), SIDE, SIDE, 3)


def test_a_size_and_a_rate_of_ones_own(pipeline) -> None:
    clip = pipeline.generate("a cat", size=(48, 16), seconds=1, fps=12, steps=1, seed=0)
    assert clip.frames.shape == (12, 16, 48, 3) and clip.rate == 12


def test_the_model_is_told_frames_a_second_and_motion(pipeline, calls) -> None:
    fps, motion = pipeline.model.scalars
    pipeline.generate("a cat", steps=1, guidance=1.0, seed=0)
    pipeline.generate("a cat", steps=1, guidance=1.0, seed=0, fps=12, motion=0.3, seconds=1)
    told = [calls[0][2], calls[-1][2]]
    assert torch.equal(told[0]["fps"], fps([8.0])["fps"]) and torch.equal(told[1]["fps"], fps([12.0])["fps"])
    assert not told[0]["motion"].any() and torch.equal(told[1]["motion"], motion([0.3])["motion"])
    pipeline.generate("a cat", steps=1, guidance=1.0, seed=0, seconds=0.125)
    assert not calls[-1][2]["fps"].any()  # a picture has no rate
    calm = type(pipeline)(replace(pipeline.model, scalars=(fps, replace(motion, high=0.8))))
    with pytest.raises(ValueError, match=r"motion must be from 0 to 0\.8, not 0\.9"):
        calm.generate("a cat", motion=0.9)


@pytest.fixture
def unshown(pipeline, monkeypatch) -> None:
    """A model that was not trained to be shown what is known."""
    monkeypatch.setattr(pipeline, "model", replace(pipeline.model, token=None))


def test_long_clips_are_seen_in_windows_and_a_local_network_makes_the_same_without(
    pipeline, calls, pixelwise, unshown
) -> None:
    whole, parts = (pipeline.generate("a cat", seconds=6.0, seed=1, window=w).frames for w in (10, 1.1))
    assert np.abs(whole.astype(int) - parts).max() <= 1
    pipeline.generate("a cat", seconds=6.0, seed=1, steps=1, guidance=1.0)
    calls.clear()
    pipeline.generate("a cat", seconds=6.0, seed=1, size=48, window=(9, 32, 32), steps=1, guidance=1.0)
    assert {x.shape[2:] for x, *_ in calls} == {(3, 4, 4)}


def test_a_timeline_of_one_text_is_that_text_and_others_are_seen_from_their_second_on(pipeline, unshown) -> None:
    plain = pipeline.generate("a cat", seconds=6.0, seed=1).frames.astype(int)
    same = pipeline.generate([(0, "a cat"), (3, "a cat")], seconds=6.0, seed=1).frames
    assert np.abs(plain - same).max() <= 1
    changed = pipeline.generate([(0, "a cat"), (4.6, "a dog on a table")], seconds=6.0, seed=1).frames
    apart = np.abs(changed - plain).max(axis=(1, 2, 3))
    assert apart[:16].max() <= 1 and apart[-6:].max() > 5


def test_pictures_begin_and_end_a_clip_and_are_shown_without_noise(pipeline, calls) -> None:
    first, last = picture(40), picture(220)
    clip = pipeline.generate("a cat", first=first, seed=1, guidance=1.0)
    assert np.array_equal(clip.frames[0], first.pixels) and clip.frames.shape[0] == 17
    x, t, _ = calls[0]
    assert t.shape == (1, 1, *x.shape[2:]) and not t[:, :, 0].any() and bool((t[:, :, 1:] == 1).all())
    own = pipeline.encode(torch.from_numpy(first.pixels).permute(2, 0, 1)[None, :, None] / 127.5 - 1)
    assert torch.allclose(x[:, :, :1], own, atol=1e-5)
    calls.clear()
    both = pipeline.between(first, last, "a cat", seed=1, guidance=1.0)
    assert both.count == 14 and [both.image(i).sha256 for i in (0, -1)] == [first.sha256, last.sha256]
    assert not calls[0][1][:, :, [0, 4]].any() and calls[0][1][:, :, 1:4].all()
    for seconds in (1.0, 2.0, 4.0):
        other = pipeline.between(first, last, "a cat", seed=1, seconds=seconds)
        assert other.count == seconds * 8
        assert [other.image(i).sha256 for i in (0, -1)] == [first.sha256, last.sha256]
    end = pipeline.generate("a cat", last=last, seconds=2, seed=1)
    assert end.count == 16 and end.image(-1).sha256 == last.sha256
    assert pipeline.generate("a cat", first=picture(9, 100), steps=1).size == (SIDE, SIDE)


def test_a_model_that_was_not_trained_so_sees_what_is_known_noised(pipeline, calls) -> None:
    other = type(pipeline)(replace(pipeline.model, token=None))
    clip = other.generate("a cat", first=picture(40), seed=1, guidance=1.0)
    assert np.array_equal(clip.frames[0], picture(40).pixels) and calls[0][1].shape == (1,)


@pytest.mark.parametrize(("left", "right"), [(0.0, 1.5), (0.4, 0.0), (1.0, 2.25), (0.0, 4.0)])
def test_extending_keeps_the_clip_exactly(pipeline, ball, left: float, right: float) -> None:
    made = pipeline.extend(ball, "a ball", left=left, right=right, seed=2)
    first = round(left * 8)
    assert made.count == first + 17 + round(right * 8)
    assert np.array_equal(made.frames[first : first + 17], ball.frames)
    silent = round(first / 8 * 8000)
    assert np.array_equal(made.sound.samples[:, silent : silent + 17000], ball.sound.samples)
    assert not made.sound.samples[:, :silent].any()


def test_a_long_clip_is_extended_from_its_end_alone(pipeline, ball, calls) -> None:
    long = Video(np.tile(ball.frames, (6, 1, 1, 1)), 8.0)
    made = pipeline.extend(long, "a ball", right=0.5, seed=2, steps=1, guidance=1.0)
    assert np.array_equal(made.frames[:102], long.frames) and made.count == 106
    assert len(calls) == 1 and calls[0][0].shape[2] == 5


def test_a_region_is_made_anew_and_all_else_stays_to_the_pixel(pipeline, ball) -> None:
    white = np.zeros((SIDE, SIDE, 3), np.uint8)
    white[8:24, 16:] = 255
    inside = white[..., 0] == 255
    made = pipeline.inpaint(ball, white, "a dog", seed=2).frames
    assert np.array_equal(made[:, ~inside], ball.frames[:, ~inside])
    assert np.abs(made[:, inside].astype(int) - ball.frames[:, inside]).max() > 20
    moving = np.zeros_like(ball.frames)
    for i in range(17):
        moving[i, :, i : i + 10] = 255
    made = pipeline.inpaint(ball, moving, "a dog", seed=2).frames
    assert np.array_equal(made[moving == 0], ball.frames[moving == 0]) and made.shape == ball.frames.shape
    part = pipeline.inpaint(ball, white, "a dog", between=(0.5, 1.0), seed=2).frames
    assert np.array_equal(np.delete(part, range(4, 8), 0), np.delete(ball.frames, range(4, 8), 0))
    assert np.array_equal(part[:, ~inside], ball.frames[:, ~inside])


@pytest.mark.parametrize("between", [(0.0, 0.5), (0.5, 1.0), (1.5, 2.125), (0.1, 2.0)])
def test_a_span_of_time_is_made_anew(pipeline, ball, between) -> None:
    made = pipeline.inpaint(ball, None, "a dog", between=between, seed=2)
    first, last = (round(second * 8) for second in between)
    kept = [i for i in range(17) if not first <= i < last]
    assert np.array_equal(made.frames[kept], ball.frames[kept]) and made.sound.samples.shape == (1, 17000)
    assert np.abs(made.frames[first:last].astype(int) - ball.frames[first:last]).max() > 20


def test_a_clip_varies_by_its_strength(pipeline, ball) -> None:
    near, far = (pipeline.vary(ball, "a dog", strength=s, seed=1, steps=10).frames for s in (0.1, 1.0))
    own = pipeline.decode(pipeline.encode(ball.tensor()[None])).clamp(-1, 1)[0]
    own = Video.from_tensor(own, 8).frames.astype(int)
    assert near.shape == ball.frames.shape and np.abs(near - own).mean() < np.abs(far - own).mean()
    assert pipeline.vary(ball, "a dog", seed=1, steps=1, fps=4, size=16).frames.shape == (9, 16, 16, 3)


@pytest.mark.parametrize("factor", [2, 4])
def test_interpolation_keeps_the_given_frames(pipeline, ball, factor: int, calls) -> None:
    made = pipeline.interpolate(ball, factor, "a ball", seed=2)
    assert made.count == 16 * factor + 1 and made.rate == 8 * factor
    assert np.array_equal(made.frames[::factor], ball.frames)
    assert torch.equal(calls[0][2]["fps"][:1], pipeline.model.scalars[0]([8.0 * factor])["fps"])
    two = pipeline.interpolate(ball, factor, "a ball", seed=2, n=2)
    assert (
        np.abs(two[0].frames.astype(int) - made.frames).max()
        <= 1
        < np.abs(two[1].frames.astype(int) - made.frames).max()
    )
    fast = pipeline.interpolate(replace(ball, rate=24.0), 4, "a ball", steps=1, seed=2)
    assert fast.rate == 96.0  # told as 60, the most that the model knows


class Folded:
    """An autoencoder that loses nothing: all values under a latent are its channels."""

    spec = LatentSpec(channels=3 * 4 * 64, stride=(4, 8, 8), causal=True)
    reach = encoder_reach = 1

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return rearrange(in_strides(x, self.spec), "b c (t i) (h j) (w k) -> b (c i j k) t h w", i=4, j=8, k=8)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return rearrange(z, "b (c i j k) t h w -> b c (t i) (h j) (w k)", c=3, i=4, j=8, k=8)[:, :, 3:]


def test_frames_that_no_latent_keeps_are_told_to_the_model(pipeline, ball) -> None:
    other = type(pipeline)(replace(pipeline.model, autoencoder=Folded()))
    job = other.job("a ball", start=ball, factor=4)
    assert job.stray.flatten()[:9].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 1] and job.keep is not None
    x0 = torch.randn(1, 768, *job.grid, generator=torch.Generator().manual_seed(0))
    made = other.decode(other._projection(job)(x0))
    assert torch.allclose(made[:, :, 4::4], ball.tensor()[None, :, 1:], atol=1e-5)
    assert torch.allclose(made[:, :, 1::4], other.decode(x0)[:, :, 1::4], atol=1e-5)
    assert other.job("a ball", first=picture(1), last=picture(2)).stray is None


@pytest.mark.parametrize("seconds", [None, 0.5, 1.2, 5.0])
def test_a_loop_has_no_seam(pipeline, seconds) -> None:
    clip = pipeline.loop("a wheel", seconds=seconds, seed=0)
    assert clip.count == {None: 16, 0.5: 4, 1.2: 8, 5.0: 40}[seconds]
    frames = clip.frames.astype(float)
    seam = np.abs(frames[0] - frames[-1]).mean()
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert seam <= steps.max() * 1.2 and seam < 3 * steps.mean()
    plain = pipeline.generate("a wheel", seconds=clip.seconds, seed=0)
    assert not np.array_equal(clip.frames, plain.frames)


def test_a_loop_is_led_into_by_its_own_end(pipeline, calls, pixelwise) -> None:
    pipeline.loop("a wheel", seconds=2, seed=0, guidance=1.0, steps=1)
    x = calls[0][0]
    assert x.shape[2] == 5 and torch.equal(x[:, :, 0], x[:, :, -1])


def test_a_loop_of_a_picture_sees_it_in_front_in_every_step(pipeline, calls) -> None:
    """Without noise, at t = 0, and so do both samples of a batch; it has no seam either, and replays from its file."""
    first = picture(40)
    clip, other = pipeline.loop("a wheel", first=first, seconds=2, seed=0, guidance=1.0, steps=3, n=2)
    wanted = pipeline.encode(torch.from_numpy(first.pixels / 127.5 - 1).float().permute(2, 0, 1)[None, :, None])
    for x, t, _ in calls:
        assert x.shape[2] == 5 and torch.allclose(x[:, :, :1], wanted, atol=1e-5)
        assert bool((t[:, :, 0] == 0).all()) and bool((t[:, :, 1:] > 0).all())
    assert clip.count == 16 and not np.array_equal(clip.frames, other.frames)
    plain = pipeline.loop("a wheel", seconds=2, seed=0, guidance=1.0, steps=3)
    assert np.abs(plain.frames.astype(float) - clip.frames).mean() > 0.3
    steps = np.abs(np.diff(np.concatenate([clip.frames, clip.frames[:1]]).astype(float), axis=0)).mean((1, 2, 3))
    assert steps[-1] <= steps[:-1].max() * 1.2


def test_a_loop_of_a_picture_is_refused_by_what_is_not_shown_one(pipeline, unshown) -> None:
    with pytest.raises(ValueError, match="a loop has no first frame"):
        pipeline.loop("a wheel", first=picture(40))


def test_a_loop_decodes_alike_wherever_it_is_cut(pipeline) -> None:
    for count in (1, 4, 20):  # shorter than the decoder's reach, longer, and in tiles
        z = torch.randn(1, 4, count, 4, 4, generator=torch.Generator().manual_seed(0))
        rolled = pipeline.decode(z.roll(3, 2), loop=(-3,))
        assert rolled.shape[2] == 4 * count
        assert torch.allclose(rolled, pipeline.decode(z, loop=(-3,)).roll(12, 2), atol=1e-4)


def test_sound_is_put_to_a_clip_and_stays_with_it(pipeline, ball, tmp_path) -> None:
    tone = ball.sound.samples
    clip = pipeline.generate("a cat", seconds=1, sound=(tone, 8000), seed=0)
    assert np.array_equal(clip.sound.samples, tone[:, :8000]) and clip.sound.rate == 8000
    for made in (pipeline.vary(clip, "a dog", seed=0), pipeline.interpolate(clip, 2, "a dog", seed=0, steps=1)):
        assert np.array_equal(made.sound.samples, clip.sound.samples[:, : round(made.seconds * 8000)])
    assert pipeline.vary(clip, "a dog", seed=0, steps=1, sound=(-tone, 8000)).sound.samples[0, 9] == -tone[0, 9]


@pytest.mark.parametrize("solver", solve.rules())
def test_every_solver_animates(pipeline, solver: str) -> None:
    clip = pipeline.generate("a cat", first=picture(40), seed=0, solver=solver, steps=3)
    assert np.array_equal(clip.frames[0], picture(40).pixels) and clip.frames[1:].std() > 1


@pytest.mark.parametrize("method", guidance.methods())
def test_every_guidance_method_animates(pipeline, method: str) -> None:
    options = {"guidance": 0.6} if method == "cfg_pp" else {"guidance": 3.0, "rescale": 0.5, "interval": (0.2, 0.9)}
    clip = pipeline.generate("a cat", first=picture(40), seed=0, method=method, steps=3, seconds=4, **options)
    assert np.array_equal(clip.frames[0], picture(40).pixels) and clip.frames[1:].std() > 1


def test_edits_compose(pipeline, ball) -> None:
    options = {"reuse": 0.2, "window": 1.1, "eta": 0.5, "skip_layers": (1,), "skip_scale": 1.0, "steps": 3, "seed": 0}
    made = pipeline.extend(ball, [(0, "a ball"), (3, "a dog")], right=2, **options)
    assert np.array_equal(made.frames[:17], ball.frames)
    weighed = pipeline.between(picture(10), picture(90), [("a cat", 1.0), ("a dog", 0.5)], seed=0)
    assert np.array_equal(weighed.frames[-1], picture(90).pixels)
    assert pipeline.loop([(0, "a cat"), (1, "a dog")], seconds=4, window=1.1, seed=0).count == 32


def test_it_goes_on_window_after_window(pipeline, calls) -> None:
    stream = pipeline.live([(0, "a cat"), (3, "a dog")], seconds=6, first=picture(40), seed=4)
    clips = list(stream)
    whole = np.concatenate([clip.frames for clip in clips])
    assert len(whole) == 48 and np.array_equal(whole[0], picture(40).pixels) and stream.made == pytest.approx(6)
    assert {x.shape[2] for x, *_ in calls} == {5} and [prompts[0][0] for _, prompts, _ in stream.changes][1] == "a dog"
    assert len(stream.drift) == len(clips) and stream.drift[0].colour == 0 and stream.real_time_factor > 0
    steps = np.abs(np.diff(whole.astype(float), axis=0)).mean(axis=(1, 2, 3))
    meets = np.cumsum([len(clip.frames) for clip in clips])[:-1] - 1
    assert steps[meets].max() <= 1.5 * steps.max() and np.delete(steps, meets).max() > 0
    endless = pipeline.live("a cat", seed=4)
    more = [next(endless).count for _ in range(3)]
    assert more == [17, 12, 12]


def test_leaving_the_loop_cancels_and_events_come_in_order(pipeline, calls) -> None:
    job = pipeline.job("a cat", steps=5, seed=0, guidance=1.0)
    for event in pipeline.stream(job):
        if event.stage == "step" and event.step == 2:
            break
    assert len(calls) == 2
    seen = type(pipeline)(replace(pipeline.model, preview=lambda x0: 9 * x0[:, :3]))
    shown = [event.preview for event in seen.stream(replace(job, previews=True)) if event.stage == "step"]
    assert len(shown) == 5 and all(p.shape == (1, 3, 5, 4, 4) and p.abs().max() <= 1 for p in shown)
    stages = [event.stage for event in pipeline.stream(job)]
    assert stages == ["encode"] * 2 + ["step"] * 5 + ["decode", "done"]


def test_every_task_replays_from_its_file(pipeline, ball, tmp_path) -> None:
    source = ball.save(tmp_path / "ball.mkv")
    first, last = (picture(v).save(tmp_path / f"{v}.png") for v in (40, 220))
    black = picture(0).save(tmp_path / "mask.png")
    tone = ball.sound.save(tmp_path / "tone.wav")
    made = {
        "plain": pipeline.generate("a cat", seconds=1.1, sample=1, seed=5, solver="heun", negative="noise", motion=0.5),
        "timeline": pipeline.generate([(0, "a cat"), (1.5, "a dog")], seconds=3.0, seed=5, window=1.0, size=48),
        "animated": pipeline.generate("a cat", first=first, seed=5, fps=12, sound=tone),
        "between": pipeline.between(first, last, "a cat", seed=5),
        "loop": pipeline.loop("a cat", seconds=1.4, seed=5),
        "loop of a picture": pipeline.loop("a cat", first=first, seconds=1.4, seed=5),
        "varied": pipeline.vary(source, "a dog", seed=5),
        "smaller": pipeline.vary(source, "a dog", seed=5, size=16, fps=4),
        "mended": pipeline.inpaint(source, black, "a dog", between=(0.5, 1.5), seed=5),
        "extended": pipeline.extend(source, "a dog", left=0.5, right=1, seed=5),
        "refined": pipeline.interpolate(source, 2, "a dog", seed=5),
    }
    for name, clip in made.items():
        result = mediagen.replay(clip.save(tmp_path / f"{name}.mkv"))
        assert result.equal and result.difference == 0 and result.same_model and result.unit == "pixel", name
        assert result.request.seconds == pytest.approx(clip.seconds) and result.result.rate == clip.rate
    lossy = mediagen.replay(made["plain"].save(tmp_path / "plain.mp4"))
    assert lossy.equal and lossy.difference > 0
    made["plain"].save(source)
    with pytest.raises(ValueError, match="has changed"):
        mediagen.replay(tmp_path / "mended.mkv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0}, "seconds must be from 0.125 to 600, not 0"),
        ({"seconds": 1e9}, "seconds must be from 0.125 to 600"),
        ({"seconds": float("nan")}, "seconds must be from"),
        ({"seconds": 600, "fps": 60}, "fewer seconds"),
        ({"size": 33}, "size 33x33 must be multiples of 16"),
        ({"size": (32, 8000)}, "from 16 to 4096"),
        ({"size": "big"}, "size big must be"),
        ({"fps": 0}, "fps must be from 1 to 60"),
        ({"fps": 100}, "fps must be from 1 to 60"),
        ({"motion": 1.5}, "motion must be from 0 to 1"),
        ({"window": 0.01}, "window must be"),
        ({"window": (9, 33, 33)}, "multiples of 16"),
        ({"loop": (-1,)}, "loop must be True"),
        ({"loop": True, "last": picture(1)}, "a loop has no last"),
        ({"first": picture(1), "last": picture(2, 64)}, "first picture is 32x32, the last one 64x64"),
        ({"first": picture(1), "last": picture(2), "seconds": 0.25}, "make it longer"),
        ({"first": picture(1), "seconds": 0.125}, "make it longer"),
        ({"first": "nothing.png"}, "nothing.png"),
        ({"between": (1, 2)}, "clip that is there"),
        ({"right": 2.0}, "clip that is there"),
        ({"factor": 2}, "clip that is there"),
        ({"sound": "nothing.wav"}, "nothing.wav"),
        ({"steps": 0}, "steps"),
        ({"regions": ()}, "unknown option 'regions'"),
        ({"n": 0}, "n must be"),
    ],
)
def test_bad_options_are_refused_by_name(pipeline, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pipeline.generate("a cat", **options)


def test_bad_edits_are_refused_by_name(pipeline, ball) -> None:
    odd = Video(np.zeros((3, 30, 20, 3), np.uint8), 8.0)
    for edit, words in (
        (lambda: pipeline.inpaint(ball, None, "a dog"), "needs a mask"),
        (lambda: pipeline.inpaint(ball, None, "a dog", between=(2, 1)), "not 2 to 1"),
        (lambda: pipeline.inpaint(ball, picture(0, 64), "a dog"), "mask is 64x64, the clip 32x32"),
        (lambda: pipeline.inpaint(ball, ball.frames[:5], "a dog"), "mask has 5 frames, the clip 17"),
        (lambda: pipeline.extend(ball, "a dog"), "both 0"),
        (lambda: pipeline.extend(ball, "a dog", left=-1.0), "left must be from 0"),
        (lambda: pipeline.extend(ball, "a dog", right=1, between=(0, 1)), "one after the other"),
        (lambda: pipeline.interpolate(ball, 3, "a dog"), "factor must be 2 or 4"),
        (lambda: pipeline.interpolate(Video(ball.frames[:1], 8.0), 2, "a dog"), "one frame"),
        (lambda: pipeline.vary(ball, "a dog", strength=0), "strength"),
        (lambda: pipeline.vary(odd, "a dog"), "size 20x30 must be multiples of 16"),
        (lambda: pipeline.vary(replace(ball, rate=90.0), "a dog"), "fps must be from 1 to 60"),
        (lambda: pipeline.vary("nothing.mp4", "a dog"), "nothing.mp4"),
        (lambda: pipeline.vary(ball, "a dog", seconds=2), "its own length"),
        (lambda: pipeline.vary(ball, "a dog", first=picture(1)), "its own length"),
        (lambda: pipeline.generate([(1, "a"), (2, "b")]), "rise from 0"),
        (lambda: pipeline.generate([(0, "a"), (9, "b")], seconds=5), "below 5"),
        (lambda: pipeline.live("a", loop=True), "no loop"),
        (lambda: pipeline.live(["a", "b"]), "one prompt"),
        (lambda: pipeline.live("a", sound="x.wav"), "unknown option 'sound'"),
        (lambda: mediagen.audio("a cat", model="tiny-video"), "makes video, not audio"),
    ):
        with pytest.raises(ValueError, match=words):
            edit()


def test_a_model_that_is_told_nothing_refuses_what_it_cannot_be_told(pipeline, ball) -> None:
    deaf = type(pipeline)(replace(pipeline.model, scalars=()))
    with pytest.raises(ValueError, match="makes 8 frames a second, not 12: leave out fps"):
        deaf.generate("a cat", fps=12)
    with pytest.raises(ValueError, match="not 12: bring the clip to them by fps=8"):
        deaf.vary(replace(ball, rate=12.0), "a cat")
    with pytest.raises(ValueError, match="not trained to be told motion: leave it out"):
        deaf.generate("a cat", motion=0.5)


def test_what_a_model_of_video_can_do_is_told(tiny_video) -> None:
    from mediagen.capabilities import capabilities, size
    from mediagen.families.native import read_card

    able = capabilities(tiny_video)
    assert {"animate", "extend", "interpolate", "loop", "continue", "fps", "motion"} <= set(able)
    assert not any(able.values()) and size(read_card(tiny_video)) == "2.125 s of 32x32 at 8 frames a second"


def test_the_demo_makes_clips_and_a_film_with_sound(pipeline, ball, tmp_path, monkeypatch) -> None:
    from mediagen import demo
    from mediagen.modalities import video

    monkeypatch.setitem(mediagen._loaded, demo.FILM, pipeline)
    made = [file.name for file, event in demo.film(tmp_path, 0, ball.image(0), ball.sound) if event is None]
    clips = [f"{number}-video.mp4" for number in range(14, 19)]
    assert made == [*clips, "19-animated.gif", "19-video.png", "20-film.mp4"]
    film = video.load(tmp_path / "20-film.mp4")
    assert film.size == demo.SCREEN and film.count == 5 * 17
    assert film.sound.seconds == pytest.approx(min(ball.sound.seconds, film.seconds), abs=0.2)


def test_no_more_is_encoded_than_stays(pipeline, ball, monkeypatch) -> None:
    """Of causal time: what is known of a clip is encoded up to where it ends, as it would be in all of it. What is
    varied, and what stays at the end, is encoded whole."""
    encoded: list[int] = []
    encode = pipeline.encode
    monkeypatch.setattr(pipeline, "encode", lambda media: encoded.append(media.shape[2]) or encode(media))
    varied = {"start": ball, "strength": 0.5}
    first, long = {"first": Image(ball.frames[0]), "seconds": 17 / 8}, {"start": ball, "right": 2.0}
    for given, fewer in ((first, True), (long, True), ({"start": ball, "left": 2.0}, False), (varied, False)):
        job = pipeline.job("a red ball", size=SIDE, **given)
        begins = pipeline.start(job)
        seen, whole = encoded.pop(), encode(job.known)
        assert seen < job.known.shape[2] if fewer else seen == job.known.shape[2]
        assert seen == 1 or given is not first
        keep = torch.ones_like(whole[:, :1]) if begins.keep is None else begins.keep
        assert begins.known.shape == whole.shape and bool(keep.any())
        assert torch.allclose(begins.known * (keep > 0), whole * (keep > 0), atol=1e-5)
