"""The motion reader's words, targets and questions on clips made by hand; steadiness; a reader that learns."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mediagen.bench import motion_quality
from mediagen.data.motion.captions import captions
from mediagen.data.motion.reading import load_motion
from mediagen.data.motion.world import MotionWorld
from mediagen.metrics import motion_evaluate, motion_reader, motion_reader_training, motion_score
from mediagen.metrics.reader import Reader, ReaderConfig
from mediagen.metrics.steadiness import flicker, warp_error
from mediagen.modalities.video import Video
from mediagen.training.trainer import Schedule

RECIPE = motion_reader_training.MotionReaderRecipe(
    data="", batch=8, begin=False, look_widths=(16, 32), look_blocks=(1, 1), widths=(16, 24, 32),
    schedule=Schedule(steps=40, lr=0.01, warmup=5, checkpoint_every=40, ema=0.9),
)  # fmt: skip
COLOURS = {"apple": (230, 20, 20), "car": (20, 60, 230)}
PLACES = {"white": 250, "black": 20}
TOLD = {"kind": "still", "direction": None, "way": None, "path": None, "speed": None, "pace": None, "sense": None,
        "style": None}  # fmt: skip


def thing(label: str, x: float = 0.5, y: float = 0.5, **motion: str) -> dict:
    """One thing that goes a third of the frame where its motion says."""
    way = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(motion.get("direction", ""), (0, 0))
    go = np.linspace(-0.16, 0.16, 17)
    told = TOLD | ({"kind": "move", "way": "inside", "path": "straight"} if any(way) else {}) | motion
    return {"label": label, "color": {"apple": "red", "car": "blue"}[label], "recoloured": False, "motion": told,
            "x": list(x + way[0] * go), "y": list(y + way[1] * go), "size": [0.3] * 17, "wide": 1.0, "high": 0.8,
            "seen": [1.0] * 17, "sprite": "3d/1", "angle": [0.0] * 17, "animated": False}  # fmt: skip


def truth(*things: dict, background: str = "white", **camera: str) -> dict:
    kind = camera.get("kind", "pair" if len(things) > 1 else things[0]["motion"]["kind"])
    return {"kind": kind, "background": background, "style": "3d", "frames": 17, "rate": 8.0, "passes": None,
            "objects": list(things), "camera": {"kind": "still", "direction": None} | camera}  # fmt: skip


def drawn(told: dict) -> np.ndarray:
    """Boxes of one colour over a plain backdrop: uint8 [17, 64, 64, 3]."""
    frames = np.full((17, 64, 64, 3), PLACES[told["background"]], np.uint8)
    for o in told["objects"]:
        for f in range(17):
            x, y = o["x"][f] * 64, o["y"][f] * 64
            frames[f, int(y - 8) : int(y + 8), int(x - 10) : int(x + 10)] = COLOURS[o["label"]]
    return frames


DIRECTIONS = ("left", "right", "up", "down", None)


@pytest.fixture(scope="module")
def world() -> MotionWorld:
    return load_motion("small")


@pytest.fixture(scope="module")
def folder(world: MotionWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built data set of boxes that move, in the layout of the motion world."""
    root = tmp_path_factory.mktemp("boxes")
    from mediagen import config

    (root / "world.json").write_text(json.dumps({"format": "mediagen motion", "motion": config.plain(world)}))
    for split, count in (("train", 128), ("heldout", 32)):
        rng = np.random.default_rng(count)
        truths = [_drawn_truth(rng) for _ in range(count)]
        (root / split / "frames").mkdir(parents=True)
        for number in range(0, count, 64):
            np.save(
                root / split / f"frames/{number // 64:05d}.npy",
                np.stack([drawn(t) for t in truths[number : number + 64]]),
            )
        lines = [json.dumps({"captions": captions(world, t, rng), "truth": t}) for t in truths]
        (root / split / "clips.jsonl").write_text("".join(line + "\n" for line in lines))
        (root / split / "progress").write_text(f"{count}\n")
    return root


def _drawn_truth(rng: np.random.Generator) -> dict:
    direction = DIRECTIONS[rng.integers(5)]
    moves = {"direction": direction} if direction else {}
    x, y = rng.uniform(0.35, 0.65, 2)
    return truth(
        thing(("apple", "car")[rng.integers(2)], x, y, **moves), background=("white", "black")[rng.integers(2)]
    )


def reading(**changed: object) -> motion_reader.Reading:
    seen = {"labels": ("car", "apple"), "colours": ("blue", "red"), "first": "car", "last": "car", "style": "3d",
            "background": "white", "kind": "move", "direction": "left"}  # fmt: skip
    return motion_reader.Reading(**{**seen, **changed})  # type: ignore[arg-type]


def test_questions_about_one_thing() -> None:
    asked = motion_score.all_of(truth(thing("car", direction="left")))
    right = {"object": True, "object_single": True, "colour": True, "kind": True, "direction": True, "move": True,
             "identity": True, "background": True, "style": True}  # fmt: skip
    assert dict(motion_score.judge(reading(), asked)) == right
    wrong = dict(motion_score.judge(reading(labels=("apple", "car"), direction="right", last="apple"), asked))
    assert {key for key, good in wrong.items() if not good} == {
        "object",
        "object_single",
        "direction",
        "move",
        "identity",
    }


def test_pairs_have_no_heading_and_need_both_labels() -> None:
    asked = motion_score.all_of(truth(thing("car", direction="left"), thing("apple")))
    seen = dict(motion_score.judge(reading(kind="pair"), asked))
    assert seen["object_pair"] and "direction" not in seen and "identity" not in seen


def test_headings() -> None:
    heading = motion_reader_training.heading
    assert heading(truth(thing("car"))) == "none" and heading(truth(thing("car", direction="up"))) == "up"
    assert heading(truth(thing("car", kind="spin", sense="clockwise"))) == "clockwise"
    assert heading(truth(thing("car"), kind="zoom", direction="in")) == "in"
    mirrored = motion_reader_training.mirrored
    assert mirrored("left") == "right" and mirrored("up and to the left") == "up and to the right"
    assert mirrored("clockwise") == "counterclockwise" and mirrored("none") == "none" and mirrored("in") == "in"


def test_only_what_a_caption_says_is_asked(world: MotionWorld) -> None:
    spins = truth(thing("car", kind="spin", sense="clockwise"), background="meadow")
    silent = motion_score.told(spins, "a car spins around", world)
    assert silent["heading"] is None and silent["background"] is None and silent["objects"][0]["color"] is None
    said = motion_score.told(spins, "a blue car spins clockwise on the grass", world)
    assert (said["heading"], said["background"], said["objects"][0]["color"]) == ("clockwise", "meadow", "blue")
    rolls = truth(thing("apple", direction="left"), background="meadow")
    assert motion_score.told(rolls, "an apple rolls left over the grass", world)["background"] == "meadow"


def test_a_mirrored_clip_has_the_mirrored_truth() -> None:
    one = truth(thing("car", 0.42, direction="left"))
    names = motion_reader_training.words([one, truth(thing("apple", direction="up"))], RECIPE, 64)
    assert names.directions == ("none", "left", "right", "up")
    table = motion_reader_training.tabulate([one] * 8, names)
    x = torch.from_numpy(drawn(one)).float().div(127.5).sub(1).permute(3, 0, 1, 2)[None].repeat(8, 1, 1, 1, 1)
    plain = motion_reader_training.Augment(shift=0.05, zoom=1.1, blur=63, noise=0, light=0)
    moved, other = motion_reader_training.augmented(x, table, names.directions, plain, np.random.default_rng(0))
    left = names.directions.index("left")
    assert {left, names.directions.index("right")} == set(other.direction.tolist())
    frames = np.linspace(0, 16, names.looks).round().astype(int)
    for i in range(8):
        for n, f in enumerate(frames):
            blue = (moved[i, 2, f] - moved[i, 0, f]).clamp_min(0).numpy()
            middle = (blue.sum(0) @ (np.arange(64) + 0.5)) / blue.sum() / 64
            x0, _, x1, _ = other.boxes[i, n, 0]
            assert abs(middle - (x0 + x1) / 2) < 0.02
        gone = other.boxes[i, -1, 0, 0] - other.boxes[i, 0, 0, 0]
        assert (gone < 0) == (other.direction[i] == left)


def test_steadiness_of_known_clips() -> None:
    rng = torch.Generator().manual_seed(0)
    picture = torch.rand(3, 64, 64, generator=rng)
    still = picture[:, None].expand(3, 6, 64, 64)[None]
    assert flicker(still).item() == 0 and warp_error(still).item() == 0
    brighter = still + torch.arange(6.0)[None, None, :, None, None] / 10
    assert flicker(brighter).item() == pytest.approx(0, abs=1e-6)
    blinking = still + 0.5 * (torch.arange(6)[None, None, :, None, None] % 2)
    assert flicker(blinking).item() == pytest.approx(1.0, abs=1e-5)
    wide = torch.rand(3, 64, 84, generator=rng)
    moved = torch.stack([wide[:, :, 3 * f : 3 * f + 64] for f in range(6)], dim=1)[None]
    noise = torch.rand(1, 3, 6, 64, 64, generator=rng)
    assert warp_error(moved).item() < 0.2 * warp_error(noise).item()
    inside = warp_error(moved[..., 8:-8, :48])
    assert inside.item() < warp_error(noise).item()
    with pytest.raises(ValueError, match="three frames"):
        flicker(still[:, :, :2])


def test_the_reader_begins_with_what_another_knows() -> None:
    sizes = {"colours": ("red",), "backgrounds": ("white",), "styles": ("3d",), "widths": (16, 32), "blocks": (1, 1)}
    mine, other = (Reader(ReaderConfig(labels=labels, **sizes)) for labels in (("car", "cat"), ("apple", "car", "cat")))
    motion_reader_training.borrow(mine, other)
    assert torch.equal(mine.embed.weight, other.embed.weight)
    assert torch.equal(mine.cells_head.weight[[0, 1, 2]], other.cells_head.weight[[0, 2, 3]])


def test_a_reader_learns_boxes_and_judges_them(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    recipe = dataclasses.replace(RECIPE, data=str(folder))
    losses = [step.losses["reader/loss"] for step in motion_reader_training.run(recipe, tmp_path)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    reader = motion_reader.load(tmp_path / "reader.safetensors")
    known = motion_evaluate.examine(folder, 32, reader)
    assert known["background"] > 0.9 and known["move"] > 0.6 and known["object"] > 0.7
    clips = motion_evaluate.Clips(folder / "heldout")

    def cheat(prompts: list[str], seed: int) -> list[np.ndarray]:
        by_caption = {clips.captions(i)[0]: np.array(clips[i]) for i in range(len(clips))}
        return [by_caption[prompt] for prompt in prompts]

    found = motion_evaluate.evaluate(cheat, folder, count=16, reader=reader)
    assert found.model["object"] == pytest.approx(found.real["object"], abs=0.2)
    assert found.model["flicker"] == pytest.approx(found.real["flicker"], rel=0.3)
    assert "Frechet video distance" in motion_evaluate.table(found) and found.report()["cases"] == 16
    pipeline = SimpleNamespace(rate=8.0, generate=lambda p, seed: [Video(clip, 8.0) for clip in cheat(p, seed)])
    monkeypatch.setattr(motion_quality, "load", lambda name: pipeline)
    rows = motion_quality.table(folder, count=16, clips=tmp_path / "seen", reader=reader)
    assert rows == motion_evaluate.table(found)
    names = [*(f"{i}.mp4" for i in range(1, 17)), "prompts.txt", "sheet.png"]
    assert sorted(f.name for f in (tmp_path / "seen").iterdir()) == sorted(names)
    with pytest.raises(ValueError, match="count is 17"):
        motion_evaluate.evaluate(cheat, folder, count=17, reader=reader)
    with pytest.raises(ValueError, match="needs"):
        motion_reader.watched(reader, torch.zeros(1, 3, 9, 64, 64))
    with pytest.raises(ValueError, match="not a motion_reader"):
        motion_reader.load(motion_reader.SHIPPED.parents[1] / "reader-scenes" / "reader.safetensors")
