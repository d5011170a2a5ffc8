"""From a prompt to sound and back, on a tiny model with random weights: everything but the quality is real."""

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

import mediagen
from mediagen.modalities.audio import Audio

RATE = 8000


@pytest.fixture(scope="module")
def pipeline(tiny_audio):
    return mediagen.load(tiny_audio)


@pytest.fixture(autouse=True)
def loaded(pipeline, monkeypatch) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny-audio", pipeline)


@pytest.fixture(scope="module")
def tune() -> Audio:
    """Three seconds of two notes that fade, on the grid of 16 bits."""
    t = np.arange(3 * RATE) / RATE
    notes = [0.4 * np.sin(2 * np.pi * f * t) * np.exp(-(t % 0.5) * 3) for f in (220.0, 331.0)]
    return Audio((np.rint(np.stack(notes) * 32768) / 32768).astype(np.float32), RATE)


@pytest.fixture
def calls(pipeline, monkeypatch) -> Iterator[list]:
    """What the network sees: (x, cond) of each call."""
    seen: list = []
    hook = pipeline.model.denoiser.net.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0], inputs[2])))
    yield seen
    hook.remove()


def jump(samples: np.ndarray, at: int) -> float:
    """How far it jumps into a sample."""
    return float(np.abs(samples[:, at] - samples[:, at - 1]).max())


def largest(samples: np.ndarray) -> float:
    return float(np.abs(np.diff(samples, axis=1)).max())


def test_the_same_seed_is_the_same_clip_alone_and_in_a_batch(pipeline) -> None:
    one, two = (pipeline.generate("a piano", seconds=1.0, seed=3) for _ in range(2))
    assert np.array_equal(one.samples, two.samples) and one.samples.shape == (2, RATE) and one.rate == RATE
    batch = pipeline.generate(["a piano", "drums"], seconds=1.0, seed=3)
    alone = pipeline.generate("drums", seconds=1.0, seed=3, sample=1)
    assert np.abs(batch[0].samples - one.samples).max() < 1e-4 and np.abs(batch[1].samples - alone.samples).max() < 1e-4
    assert np.abs(one.samples - alone.samples).max() > 0.1 * one.peak and 1e-4 < one.peak < 1


@pytest.mark.parametrize("seconds", [None, 0.5, 1.23, 5.0])
def test_lengths_are_exact(pipeline, seconds: float | None) -> None:
    clip = pipeline.generate("a piano", seconds=seconds, steps=1, seed=0)
    assert clip.samples.shape == (2, round((seconds or 2.0) * RATE))


def test_long_sound_is_seen_in_windows_that_know_their_place(pipeline, calls) -> None:
    assert pipeline.generate("a piano", seconds=16.0, steps=1, seed=0, guidance=1.0).seconds == 16.0
    assert {x.shape[-1] for x, _ in calls} == {32}  # 2 s each, whatever the length
    codes = [cond["start"][0] for _, cond in calls]
    scalar = pipeline.model.scalars[1]
    assert torch.allclose(codes[0], scalar([0.0])["start"][0])
    assert torch.allclose(codes[-1], scalar([8.0 - 32 * 0.064])["start"][0], atol=1e-3)  # 16 s are told as 8
    assert all(not torch.equal(a, b) for a, b in pairwise(codes))


def test_a_timeline_of_one_text_is_that_text_and_others_are_heard_from_their_second_on(pipeline, calls) -> None:
    plain = pipeline.generate("a piano", seconds=6.0, seed=1).samples
    count = len(calls)
    same = pipeline.generate([(0, "a piano"), (3, "a piano")], seconds=6.0, seed=1).samples
    assert np.abs(plain - same).max() < 1e-4
    assert len(calls) - count < 2 * count  # windows are asked only for what they hear
    changed = pipeline.generate([(0, "a piano"), (4.6, "loud drums")], seconds=6.0, seed=1).samples
    apart = np.abs(changed - plain).max(axis=0)
    assert apart[: 2 * RATE].max() < 1e-4 and apart[5 * RATE :].max() > 1e-3 * np.abs(plain).max()


@pytest.mark.parametrize("between", [(1.0, 1.5), (0.0, 0.7), (2.2, 3.0), (0.2, 2.9)])
def test_inpainting_keeps_what_is_outside_exactly_and_joins_without_a_click(pipeline, tune, between) -> None:
    made = pipeline.inpaint(tune, *between, "drums", seed=2).samples
    start, end = (round(second * RATE) for second in between)
    inside = slice(start, end)
    assert np.array_equal(np.delete(made, inside, axis=1), np.delete(tune.samples, inside, axis=1))
    assert np.abs(made[:, inside] - tune.samples[:, inside]).max() > 1e-2
    borders = [at for at in (start, end) if 0 < at < made.shape[1]]
    assert max(jump(made, at) for at in borders) <= max(largest(tune.samples), largest(made[:, inside]))


@pytest.mark.parametrize(("left", "right"), [(0.0, 1.5), (0.4, 0.0), (0.5, 2.25)])
def test_extending_keeps_the_clip_exactly(pipeline, tune, left: float, right: float) -> None:
    made = pipeline.extend(tune, "drums", left=left, right=right, seed=2).samples
    first, count = round(left * RATE), tune.samples.shape[1]
    assert made.shape[1] == first + count + round(right * RATE)
    assert np.array_equal(made[:, first : first + count], tune.samples)
    borders = [at for at, there in ((first, left), (first + count, right)) if there]
    assert max(jump(made, at) for at in borders) <= largest(np.delete(made, borders, axis=1))


def test_a_long_clip_is_extended_from_its_end_alone(pipeline, tune, calls) -> None:
    long = Audio(np.tile(tune.samples, 10), RATE)
    made = pipeline.extend(long, "drums", right=0.5, seed=2, steps=1, guidance=1.0).samples
    assert (
        np.array_equal(made[:, : long.samples.shape[1]], long.samples) and made.shape[1] == long.samples.shape[1] + 4000
    )
    assert len(calls) == 1 and calls[0][0].shape[-1] == 32


def test_a_clip_varies_by_its_strength_and_comes_at_any_rate(pipeline, tune) -> None:
    near, far = (pipeline.vary(tune, "drums", strength=s, seed=1, steps=10).samples for s in (0.1, 1.0))
    own = pipeline.decode(pipeline.encode(torch.tensor(np.pad(tune.samples, ((0, 0), (0, 64))))[None]))[
        0, :, : 3 * RATE
    ]
    errors = [np.abs(made - own.numpy()).mean() for made in (near, far)]
    assert near.shape == tune.samples.shape and errors[0] < errors[1]
    mono = (tune.samples[:1], RATE // 2)
    assert pipeline.vary(mono, "drums", seed=1, steps=1).samples.shape == (2, 2 * tune.samples.shape[1])


def test_an_accompaniment_hears_the_clip_and_leaves_it_as_it_is(pipeline, tune) -> None:
    quiet = Audio(0.2 * tune.samples, RATE)
    both, part = (pipeline.accompany(quiet, "drums only", seed=2, alone=alone).samples for alone in (False, True))
    assert both.shape == part.shape == tune.samples.shape and 1e-4 < np.abs(part).max() < 0.8
    assert np.allclose(both - part, quiet.samples, atol=1e-6)
    other = pipeline.accompany(Audio(quiet.samples[:, ::-1].copy(), RATE), "drums only", seed=2, alone=True).samples
    plain = pipeline.generate("drums only", seconds=3.0, seed=2).samples
    assert min(np.abs(part - other).max(), np.abs(part - plain).max()) > 1e-3 * np.abs(part).max()


def test_each_window_of_an_accompaniment_hears_its_own_part_of_the_clip(pipeline, tune, calls) -> None:
    pipeline.accompany(tune, "drums only", seed=2, steps=1, guidance=2.0, window=1.0)
    own = pipeline.encode(torch.from_numpy(np.pad(tune.samples, ((0, 0), (0, 64))))[None])
    places = []
    for x, cond in calls:
        assert cond["context"].shape == x.shape and torch.equal(cond["context"][0], cond["context"][-1])
        fits = [torch.equal(own[0, :, k : k + x.shape[-1]], cond["context"][0]) for k in range(own.shape[-1])]
        places.append(fits.index(True))
    assert places == sorted(set(places)) and len(places) > 3


def test_a_model_that_learned_no_stems_does_not_accompany(pipeline, tune) -> None:
    from dataclasses import replace

    deaf = type(pipeline)(replace(pipeline.model, signals={}))
    with pytest.raises(ValueError, match="tiny-audio was not trained to accompany"):
        deaf.accompany(tune, "drums only")
    with pytest.raises(ValueError, match="tiny-audio was not trained with bpm: say it in the prompt"):
        deaf.generate("drums", bpm=100)


STEP = 512 / RATE  # seconds of a latent


def beat_of(cond: dict) -> np.ndarray:
    """[B, T]: the place in its beat of each latent that the network is shown, 0 .. 1."""
    sines, cosines = (cond["beats"][:, k].double() for k in (3, 9))  # one turn a beat
    return (torch.atan2(sines, cosines) / (2 * torch.pi) % 1).numpy()


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """How far two places in the beat differ at most, the short way round."""
    return float(np.abs((one - other + 0.5) % 1 - 0.5).max())


def places(count: int, bpm: float, begin: float = 0.0) -> np.ndarray:
    """The middle of each latent, in beats."""
    return (begin + (np.arange(count) + 0.5) * STEP) * bpm / 60


def test_the_beats_of_a_prompt_are_shown_and_each_of_a_batch_has_its_own(pipeline, calls) -> None:
    pipeline.generate(["a piano, 90 bpm", "drums", "house at 120 Beats per minute"], seconds=1.5, seed=0, steps=1)
    shown = calls[-1][1]["beats"][-3:]
    seen = beat_of({"beats": shown})
    assert apart(seen[0], places(seen.shape[1], 90)) < 1e-5 and apart(seen[2], places(seen.shape[1], 120)) < 1e-5
    assert not shown[1].any()
    pipeline.generate("a piano, 90 bpm", bpm=100, seconds=1.0, steps=1)
    assert apart(beat_of(calls[-1][1])[0], places(calls[-1][0].shape[-1], 100)) < 1e-5
    pipeline.generate("a piano", seconds=1.0, steps=1)
    assert "beats" not in calls[-1][1]


def test_windows_see_their_own_beats_and_a_timeline_changes_the_tempo_without_losing_one(pipeline, calls) -> None:
    timeline = [(0, "a piano, 90 bpm"), (2, "drums"), (3, "drums, 150 bpm")]
    pipeline.generate(timeline, seconds=5.0, steps=1, window=1.0)
    at = (np.arange(79) + 0.5) * STEP
    whole = np.where(at < 3, at * 1.5, 4.5 + (at - 3) * 2.5)
    found = []
    for x, cond in calls:
        [first] = {tuple(row) for row in np.round(beat_of(cond), 5)}
        fits = [apart(np.array(first), whole[k : k + x.shape[-1]]) for k in range(len(whole) - x.shape[-1] + 1)]
        found.append(int(np.argmin(fits)))
        assert min(fits) < 1e-4
    assert len(set(found)) > 3


def test_beats_of_a_clip_count_from_its_first_sample_and_only_if_they_are_told(pipeline, tune, calls) -> None:
    pipeline.extend(tune, "drums, 120 bpm", left=0.5, steps=1)
    assert "beats" not in calls[-1][1]
    pipeline.extend(tune, "drums", left=0.5, bpm=120, steps=1)
    assert apart(beat_of(calls[-1][1])[0], places(calls[-1][0].shape[-1], 120, begin=-0.5)) < 1e-5


def test_a_loop_has_whole_bars_and_the_tempo_of_its_prompt(pipeline, calls) -> None:
    loop = pipeline.loop("house, 150 bpm", bars=1, steps=1, seed=0, window=5.0)
    assert loop.samples.shape[1] == RATE * 4 * 60 // 150
    x, seen = calls[-1][0], beat_of(calls[-1][1])[0]
    count = round(loop.seconds / STEP)
    around = (x.shape[-1] - count) // 2
    own = (np.arange(x.shape[-1]) + 0.5 - around) * 4 / count
    assert around == count and apart(seen, own) < 1e-5 and torch.equal(x[..., :count], x[..., -count:])


@pytest.mark.parametrize(("measure", "count"), [((2, 120.0, 4), 32000), ((1, 97.0, 4), 19794), ((1, 240.0, 3), 6000)])
def test_a_loop_is_exact_and_its_seam_is_as_smooth_as_its_inside(pipeline, measure, count: int) -> None:
    bars, bpm, beats = measure
    clip = pipeline.loop("drums", bars=bars, bpm=bpm, beats=beats, seed=0)
    assert clip.samples.shape == (2, count)
    seam = float(np.abs(clip.samples[:, 0] - clip.samples[:, -1]).max())
    steps = np.abs(np.diff(clip.samples, axis=1)).max(axis=0)
    assert seam <= steps.max() and seam < 3 * np.sqrt((steps**2).mean())
    plain = pipeline.generate("drums", seconds=count / RATE, seed=0)
    assert not np.array_equal(clip.samples, plain.samples)


def test_a_loop_decodes_alike_wherever_it_is_cut(pipeline) -> None:
    for count in (5, 20, 300):  # shorter than the decoder's reach, longer, and in tiles
        z = torch.randn(1, 4, count, generator=torch.Generator().manual_seed(0))
        rolled = pipeline.decode(z.roll(3, -1), loop=(-1,))
        assert torch.allclose(rolled, pipeline.decode(z, loop=(-1,)).roll(3 * 512, -1), atol=1e-4)


def test_loudness_is_as_asked_for(pipeline) -> None:
    for options in ({"seconds": 2.0}, {"bars": 1}):
        clip = pipeline.generate("drums", seed=0, lufs=-20.0, **options)
        assert abs(clip.loudness() + 20) < (0.1 if "seconds" in options else 0.5)


def test_a_stream_is_one_whole_without_clicks(pipeline) -> None:
    stream = pipeline.live("a piano", seconds=7.0, seed=4)
    clips = list(stream)
    whole = np.concatenate([clip.samples for clip in clips], axis=1)
    assert whole.shape == (2, 7 * RATE) and len(clips) >= 2 and stream.made == pytest.approx(7.0)
    again = pipeline.live("a piano", seconds=7.0, seed=4)
    z = torch.cat(list(torch.no_grad()(lambda: list(again._latents()))()), dim=-1)
    assert np.abs(pipeline.decode(z)[0, :, : 7 * RATE].clamp(-1, 1).numpy() - whole).max() < 1e-4
    assert stream.real_time_factor > 0


def test_a_stream_goes_on_and_follows_its_prompt(pipeline) -> None:
    plain = list(islice(pipeline.live("a piano", seed=4), 4))
    stream = pipeline.live("a piano", seed=4)
    clips = list(islice(stream, 1))
    stream.prompt, stream.guidance = "loud drums", 3.0
    with pytest.raises(ValueError, match="prompt"):
        stream.prompt = "  "
    clips += islice(stream, 3)
    assert np.array_equal(clips[0].samples, plain[0].samples)
    assert not np.array_equal(clips[-1].samples, plain[-1].samples)
    assert [prompts[0][0] for _, prompts, _ in stream.changes] == ["a piano", "loud drums"]
    assert stream.prompt == "loud drums" and stream.changes[1][0] > stream.changes[0][0] == 0


def test_every_task_replays_from_its_file(pipeline, tune, tmp_path) -> None:
    source = tune.save(tmp_path / "tune.wav")
    made = {
        "plain": pipeline.generate("a piano", seconds=1.1, sample=1, seed=5, solver="heun", negative="noise"),
        "composed": pipeline.generate([("a piano", 1.0), ("drums", 0.5)], seconds=1.0, seed=5),
        "timeline": pipeline.generate([(0, "a piano"), (1.5, "drums")], seconds=3.0, seed=5, window=1.0),
        "loop": pipeline.loop("drums", bars=1, bpm=97, seed=5),
        "varied": pipeline.vary(source, "drums", seed=5, lufs=-20),
        "mended": pipeline.inpaint(source, 1, 2, "drums", seed=5),
        "extended": pipeline.extend(source, "drums", right=1, seed=5),
        "accompanied": pipeline.accompany(source, "drums", seed=5),
        "part": pipeline.accompany(source, "drums", seed=5, alone=True),
    }
    for name, clip in made.items():
        result = mediagen.replay(clip.save(tmp_path / f"{name}.flac"))
        assert result.equal and result.difference == 0 and result.same_model, name
        assert result.request.seconds == clip.seconds
    lossy = mediagen.replay(made["plain"].save(tmp_path / "plain.mp3"))
    assert lossy.equal and lossy.difference > 0
    made["plain"].save(source)
    with pytest.raises(ValueError, match="has changed"):
        mediagen.replay(tmp_path / "mended.flac")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0}, "seconds must be from 0.5 to 600, not 0"),
        ({"seconds": 1e9}, "seconds must be from 0.5 to 600"),
        ({"seconds": float("nan")}, "seconds must be from 0.5"),
        ({"seconds": "long"}, "seconds must be from 0.5"),
        ({"bars": 0}, "bars must be"),
        ({"bars": 4, "bpm": 0}, "bpm must be"),
        ({"bars": 300}, "bars must be"),
        ({"bars": 4, "seconds": 3}, "leave out seconds"),
        ({"beats": 3}, "how many bars"),
        ({"lufs": 3.0}, "lufs must be from -60 to -5"),
        ({"window": 0.01}, "window must be"),
        ({"between": (1, 2)}, "clip that is there"),
        ({"right": 2.0}, "clip that is there"),
        ({"loop": (-2,)}, "loop must be"),
        ({"size": 64}, "unknown option 'size'"),
        ({"steps": 0}, "steps"),
        ({"n": 0}, "n must be"),
    ],
)
def test_bad_options_are_refused_by_name(pipeline, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pipeline.generate("a piano", **options)


def test_bad_edits_are_refused_by_name(pipeline, tune) -> None:
    for edit, words in (
        (lambda: pipeline.inpaint(tune, 2, 1, "drums"), "start < end <= 3 s, not 2 to 1"),
        (lambda: pipeline.inpaint(tune, 1, 4, "drums"), "not 1 to 4"),
        (lambda: pipeline.inpaint(tune, -1, 1, "drums"), "not -1 to 1"),
        (lambda: pipeline.extend(tune, "drums"), "both 0"),
        (lambda: pipeline.extend(tune, "drums", left=-1.0), "left must be from 0"),
        (lambda: pipeline.extend(tune, "drums", right=1.0, lufs=-20), "leave out lufs"),
        (lambda: pipeline.vary(tune, "drums", strength=0), "strength"),
        (lambda: pipeline.accompany(tune, "drums", strength=0.5), "strength is of a clip that is varied"),
        (lambda: pipeline.accompany(tune, "drums", right=1.0), "one after the other"),
        (lambda: pipeline.accompany(tune, "drums", loop=True), "its own length"),
        (lambda: pipeline.generate("drums", alone=True), "alone is of a clip that is there"),
        (lambda: pipeline.vary("nothing.wav", "drums"), "nothing.wav"),
        (lambda: pipeline.vary(tune, "drums", seconds=2), "its own length"),
        (lambda: pipeline.generate([(1, "a"), (2, "b")]), "rise from 0"),
        (lambda: pipeline.generate([(0, "a"), (0, "b")]), "rise from 0"),
        (lambda: pipeline.generate([(0, "a"), (9, "b")], seconds=5), "below 5"),
        (lambda: pipeline.live(["a", "b"]), "one prompt"),
        (lambda: pipeline.live("a", loop=True), "no loop"),
        (lambda: mediagen.image("a cat", model="tiny-audio"), "makes audio, not image"),
    ):
        with pytest.raises(ValueError, match=words):
            edit()


def test_what_a_model_of_sound_can_do_is_told(tiny_audio) -> None:
    from mediagen.capabilities import capabilities, size
    from mediagen.families.native import read_card

    able = capabilities(tiny_audio)
    assert {"extend", "loop", "stream", "timeline", "accompany"} <= set(able) and not any(able.values())
    assert size(read_card(tiny_audio)) == "2 s at 8000 Hz"


def test_the_demo_makes_a_clip_its_picture_and_a_loop(pipeline, tmp_path, monkeypatch) -> None:
    from mediagen import demo

    monkeypatch.setitem(mediagen._loaded, demo.MUSIC, pipeline)
    made = [file.name for file, event in demo.music(tmp_path, 0) if event is None]
    assert made == ["12-music.flac", "12-music.png", "13-loop.flac"]
    assert all((tmp_path / name).stat().st_size > 1000 for name in made)


def test_the_tempo_of_a_stream_changes_where_it_is_and_no_beat_is_lost(pipeline, calls) -> None:
    live = pipeline.live("house, 90 bpm", seed=0, steps=1, window=2.0)
    next(live)
    before = len(calls)
    live.bpm = 150
    for _ in islice(live, 2):
        pass
    count, tail = calls[0][0].shape[-1], calls[0][0].shape[-1] // 4
    first, *_ = (beat_of(cond)[0] for _, cond in calls)
    assert apart(first, places(count, 90)) < 1e-5
    seen = beat_of(calls[before][1])[0]
    second = (len({id(x) for x, _ in calls[:before]}) * (count - tail) + tail) * STEP
    new = second * 1.5 + (np.arange(count - tail) + 0.5) * STEP * 2.5
    assert (
        apart(seen[tail:], new) < 1e-4 and apart(seen[:tail], new[0] - (np.arange(tail)[::-1] + 1) * STEP * 1.5) < 0.1
    )
    with pytest.raises(ValueError, match="bpm must be from 20 to 400, not 0"):
        live.bpm = 0
    assert live.bpm == 150
