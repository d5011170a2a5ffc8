"""Clips that are longer than a window of a model that is shown what is known: each window goes on from the last."""

import numpy as np
import pytest

import mediagen
from mediagen.modalities.image import Image
from mediagen.pipelines.video_continued import during

TIMELINE = ((0.0, "a"), (1.0, "b"), (3.0, "c"))


@pytest.fixture(scope="module")
def pipeline(tiny_video):
    return mediagen.load(tiny_video)


@pytest.fixture
def calls(pipeline):
    """What the network sees: (x, t, cond) of each call."""
    seen: list = []
    hook = pipeline.model.denoiser.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    yield seen
    hook.remove()


@pytest.mark.parametrize("first", [None, Image(np.full((32, 32, 3), 90, np.uint8))])
def test_a_long_clip_begins_as_a_short_one_and_each_window_sees_the_end_of_the_last(pipeline, calls, first) -> None:
    """33 frames are windows of 0 .. 17, 12 .. 29 and 16 .. 33; what a window is shown has the time 0."""
    clip = pipeline.generate("a cat", seconds=33 / 8, first=first, seed=1, steps=2, guidance=1.0)
    short = pipeline.generate("a cat", first=first, seed=1, steps=2, guidance=1.0)
    assert clip.count == 33 and np.array_equal(clip.frames[:17], short.frames)
    assert len(calls) == 8 and {x.shape[2] for x, *_ in calls} == {5}
    clean = [int((t.reshape(t.shape[0], 5, -1) == 0).all(-1).sum()) if t.ndim > 1 else 0 for _, t, _ in calls[:6]]
    alone = 0 if first is None else 1
    assert clean == [alone] * 2 + [2] * 2 + [4] * 2
    assert len({frame.tobytes() for frame in clip.frames}) == 33


def test_a_sample_is_the_same_alone_and_in_a_batch_and_replays(pipeline, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny-video", pipeline)
    asked = [(0, "a cat"), (2.5, "a dog")]
    both = pipeline.generate(asked, seconds=4, n=2, seed=3, steps=2)
    alone = pipeline.generate(asked, seconds=4, seed=3, sample=1, steps=2)
    assert both[0].count == 32 and np.abs(both[1].frames.astype(int) - alone.frames).max() <= 1
    assert np.abs(both[0].frames.astype(int) - both[1].frames).mean() > 5
    assert mediagen.replay(alone.save(tmp_path / "long.mkv")).equal


def test_a_timeline_is_told_from_its_second_on(pipeline) -> None:
    plain = pipeline.generate("a cat", seconds=4, seed=1, steps=2).frames.astype(int)
    changed = pipeline.generate([(0, "a cat"), (2.5, "a dog on a table")], seconds=4, seed=1, steps=2).frames
    apart = np.abs(changed - plain).max(axis=(1, 2, 3))
    assert apart[:17].max() == 0 and apart[-8:].max() > 5


@pytest.mark.parametrize(
    ("span", "held"),
    [
        ((0, 0, 0.9), ((0.0, "a"),)),
        ((0, 0, 2), ((0.0, "a"), (1.0, "b"))),
        ((0.5, 1.0, 3.5), ((0.0, "b"), (2.5, "c"))),
        ((2, 3, 5), ((0.0, "c"),)),
    ],
)
def test_a_window_is_told_what_holds_in_its_new_part(span, held) -> None:
    assert during(TIMELINE, *span) == held and during((), *span) == ()


def test_progress_counts_all_windows_and_previews_are_those_of_a_window(pipeline) -> None:
    job = pipeline.job("a cat", seconds=4, steps=2, seed=0)
    events = list(pipeline.stream(job))
    assert [event.step for event in events[:-1]] == list(range(1, 7)) and {e.total for e in events[:-1]} == {6}
    assert events[-1].stage == "done" and events[-1].results[0].count == 32


def test_what_ends_with_a_picture_is_made_at_once(pipeline) -> None:
    picture = Image(np.full((32, 32, 3), 90, np.uint8))
    assert pipeline.job("a cat", seconds=4).continued and pipeline.job("a cat", seconds=4, first=picture).continued
    rest = {"last": picture}, {"loop": True}, {"window": 10}, {"window": (9, 32, 32)}, {"seconds": 2.0}
    assert not any(pipeline.job("a cat", **{"seconds": 4} | options).continued for options in rest)
