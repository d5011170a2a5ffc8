"""Clips whose first frame a model of pictures draws: on tiny models with random weights."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import mediagen
from mediagen.modalities.image import fitted
from mediagen.pipelines import video_opener
from mediagen.pipelines.video_stream import drained

PROMPT = "a red ball rolls"


@pytest.fixture(scope="module")
def opened(tiny_video: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """The tiny model of video, with the tiny one of pictures as its opener."""
    folder = tmp_path_factory.mktemp("opened") / "video"
    shutil.copytree(tiny_video, folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"opener": str(tiny_model)}))
    return mediagen.load(folder)


def latents(pipeline, job) -> torch.Tensor:
    """Where the walk of a job ends."""
    job = replace(job, opening=drained(pipeline.opening(job.requests, job.requests[0].size)))
    with torch.no_grad():
        *_, last = pipeline.walk(job, pipeline.asked(job), pipeline.start(job))
    return last.x


def test_a_clip_begins_with_the_openers_picture(opened, tiny_model: Path) -> None:
    """Its first latent is that of the picture which the same words but those of motion, seed and number give."""
    job = opened.job([PROMPT, "a blue cat"], n=2, seed=5)
    x = latents(opened, job)
    pictures = mediagen.load(tiny_model).generate(["a red ball", "a blue cat"], n=2, seed=5)
    firsts = torch.stack([fitted(picture, (32, 32)) for picture in pictures])[:, :, None]
    with torch.no_grad():
        wanted = torch.cat([opened.encode(one) for one in firsts.split(1)])
    assert x.shape == (4, 4, 5, 4, 4) and torch.allclose(x[:, :, :1], wanted, atol=1e-5)
    assert (x[:, :, 1:] - wanted).abs().mean() > 0.1 and not torch.equal(x[0], x[1])


def test_the_same_seed_is_the_same_clip_alone_and_in_a_batch(opened) -> None:
    prompts = [PROMPT, "a blue cat jumps over the green hill in the evening"]
    both, alone = opened.generate(prompts, seed=3), opened.generate(prompts[1], seed=3, sample=1)
    assert np.array_equal(both[1].frames, alone.frames)
    one, two = opened.job(PROMPT, seed=3), opened.job("a red cat", seed=9)
    made = opened.run(opened.together([one, two]))
    assert np.array_equal(made[1].frames, opened.run(two)[0].frames)


def test_only_new_clips_are_opened(opened, tiny_video: Path) -> None:
    clip = opened.generate(PROMPT, seed=1)
    picture = clip.image(0)
    kept = (
        {"first": picture},
        {"last": picture},
        {"loop": True, "first": picture},
        {"start": clip, "right": 0.5},
        {"seconds": 0.125},
    )
    assert (
        opened.job(PROMPT, seed=1).opened
        and opened.job(PROMPT, loop=True).opened
        and not any(opened.job(PROMPT, **k).opened for k in kept)
    )
    assert not opened.job(PROMPT, noise=torch.Generator().manual_seed(0)).opened
    without = mediagen.load(tiny_video)
    assert not without.job(PROMPT, seed=1).opened and without.model.hash != opened.model.hash
    assert not np.array_equal(without.generate(PROMPT, seed=1).frames, clip.frames)


def test_the_openers_steps_are_seen_on_the_way(opened) -> None:
    events = list(opened.stream(opened.job(PROMPT, seed=1, steps=3)))
    stages = [event.stage for event in events]
    assert stages == ["encode"] * 6 + ["step"] * 3 + ["decode", "done"]
    assert [event.step for event in events[:4]] == [1, 2, 3, 4] and events[0].total == 4
    six = list(opened.stream(opened.job([PROMPT, "a blue cat"], n=3, seed=1)))
    assert [event.total for event in six].count(4) == 4, "six pictures are one batch"


def test_the_opener_makes_its_own_size_where_the_clip_has_its_own(opened) -> None:
    assert video_opener.sides(opened.opener, (32, 32), 32) == (64, 64)
    assert video_opener.sides(opened.opener, (48, 32), 32) == (96, 64)
    wide = opened.generate(PROMPT, seed=1, size=(48, 32))
    assert wide.size == (48, 32)


def test_a_stream_begins_with_the_openers_picture(opened, tiny_model: Path) -> None:
    first = next(iter(opened.live(PROMPT, seconds=4, seed=2)))
    request = opened.live(PROMPT, seconds=4, seed=2).request
    picture = mediagen.load(tiny_model).generate("a red ball", seed=2, sample=request.sample)
    frame = ((fitted(picture, (32, 32)).permute(1, 2, 0) + 1) * 127.5).round().numpy()
    assert np.abs(first.frames[0] - frame).max() <= 1


def test_an_opener_that_is_not_there_is_named(tiny_video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "video"
    shutil.copytree(tiny_video, folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"opener": "../missing"}))
    with pytest.raises(ValueError, match="missing holds no readable model card"):
        mediagen.load(folder)
