"""The motion world: the same bytes from (seed, index) alone, truth that agrees with the pixels, true captions."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from mediagen.data import chunks
from mediagen.data.captions import LIMIT
from mediagen.data.emoji import PACKAGES
from mediagen.data.motion import build as building
from mediagen.data.motion import clips as stored
from mediagen.data.motion.art import FILMS, MODELS, Art, load_art
from mediagen.data.motion.build import build_motion
from mediagen.data.motion.captions import captions, participle, verbs, wording
from mediagen.data.motion.clip import Clip, clip
from mediagen.data.motion.clips import Clips
from mediagen.data.motion.draw import draw
from mediagen.data.motion.kinds import KINDS
from mediagen.data.motion.plan import Plan, plan
from mediagen.data.motion.raster import read_mesh, render
from mediagen.data.motion.reading import load_motion, read_motion
from mediagen.data.motion.turntables import LIBRARY
from mediagen.data.motion.world import VECTORS, MotionWorld, stream
from mediagen.data.world import load_world

pytest.importorskip("resvg_py")
# Colours unlike those of the three places, so that a thing can be told from them.
SHAPES = {
    "1F408": "red",
    "1F34E": "magenta",
    "1F388": "black",
    "1F697": "purple",
    "2B50": "crimson",
    "1F419": "darkred",
}
LABELS = {"cat": "1F408", "apple": "1F34E", "balloon": "1F388", "car": "1F697", "star": "2B50", "octopus": "1F419"}
ALIVE = "1F408"  # the one that has a film
MODELLED = {"toy": "box"}  # a name of which nothing here is held out


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder that holds small stand-ins for the packages, so that no network is needed."""
    folder = tmp_path_factory.mktemp("cache")
    for package in (*PACKAGES.values(), *FILMS):
        inside = folder / "packages" / package.stem / "package"
        (inside / "assets").mkdir(parents=True)
        (folder / "packages" / f"{package.stem}.json").write_text(json.dumps({"sha256": package.sha256}))
    for code, colour in SHAPES.items():
        _shape(colour, 0).save(folder / "packages" / PACKAGES["3d"].stem / f"package/assets/{code.lower()}.webp")
    _models(folder / "packages")
    film = [_shape("red", turn) for turn in range(0, 72, 3)]
    file = folder / "packages" / FILMS[2].stem / f"package/assets/{ALIVE.lower()}.webp"
    film[0].save(file, save_all=True, append_images=film[1:], duration=42, lossless=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIAGEN_CACHE", str(folder))
        yield folder


def _models(packages: Path) -> None:
    """A library with one model: a red box, twice as wide as it is high and deep, its front textured blue."""
    file = packages / MODELS.stem / LIBRARY
    file.parent.mkdir(parents=True)
    (packages / f"{MODELS.stem}.json").write_text(json.dumps({"sha256": MODELS.sha256}))
    lines = ["mtllib box.mtl", *(f"v {x} {y} {z}" for x in (-2, 2) for y in (-1, 1) for z in (-1, 1))]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1", "usemtl front", "f 2/1 6/2 8/3 4/4", "usemtl red"]
    lines += ["f 1 3 7 5", "f 1 2 4 3", "f 5 7 8 6", "f 3 4 8 7", "f -8 -4 -3 -7"]
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "blue").save(picture, "png")
    with zipfile.ZipFile(file, "w") as library:
        library.writestr("blendswap-cc-0/box/box.obj", "\n".join(lines))
        library.writestr(
            "blendswap-cc-0/box/box.mtl", "newmtl front\nKd 1 1 1\nmap_Kd blue.png\nnewmtl red\nKd 0.9 0.1 0.1\n"
        )
        library.writestr("blendswap-cc-0/box/blue.png", picture.getvalue())


def _shape(colour: str, turn: int) -> Image.Image:
    image = Image.new("RGBA", (256, 256))
    ImageDraw.Draw(image).ellipse((30 + turn, 60, 226 - turn, 196), fill=colour)
    return image


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> MotionWorld:
    """All kinds of motion of six things in three places."""
    small = load_world("small")
    places = {b.name: {"phrases": list(b.phrases)} for b in small.backgrounds if b.name in ("gray", "clouds", "meadow")}
    floats = {"balloon": {"floats": True}, "star": {"floats": True}}
    labels = {name: {"code": code, "tint": False, **floats.get(name, {})} for name, code in LABELS.items()}
    style = {"weight": 1, "named": 0.2, "prefix": ["a 3d picture of"], "suffix": ["3d style"]}
    base = {"name": "tiny", "labels": labels, "backgrounds": places, "styles": {"3d": style}, "scenes": {"single": 1}}
    file = tmp_path_factory.mktemp("worlds") / "tiny.yaml"
    file.write_text(yaml.safe_dump(base))
    whole = load_motion("whole")
    changed = {
        "base": str(file),
        "name": "tiny",
        "heldout": 0.2,
        "styles": {"3d": 1.0},
        "scenery": ("clouds", "meadow"),
    }
    kinds = dict.fromkeys(KINDS, 1.0) | {"move": 5.0}
    return replace(whole, **changed, kinds=kinds, extent=(0.36, 0.46), animated=0.2, models=MODELLED)


@pytest.fixture(scope="module")
def art(world: MotionWorld) -> Art:
    return load_art(world)


Made = tuple[Plan, Clip, np.ndarray]


@pytest.fixture(scope="module")
def made(world: MotionWorld, art: Art) -> list[Made]:
    """Plans, clips, and where each frame [F, H, W] differs from the same frame without any thing."""
    return [_made(world, art, i) for i in range(180)]


def _made(world: MotionWorld, art: Art, i: int) -> Made:
    planned, one = plan(world, art, stream(5, "train", i, "plan"), "train"), clip(world, art, 5, i)
    empty = draw(replace(planned, actors=(), depth=()), art, stream(5, "train", i, "backdrop"), world.size)
    away = np.abs(one.frames.astype(int) - empty).max(-1)
    return planned, one, away > 100  # more than a shadow


def _single(made: list[Made], *kinds: str) -> list[tuple[Clip, np.ndarray, dict]]:
    found = [(c, mask, c.truth["objects"][0]) for _, c, mask in made if c.truth["kind"] in kinds]
    assert len(found) >= 2, kinds
    return found


def _middle(mask: np.ndarray) -> np.ndarray:
    """x and y of the centre of a mask, in frame units."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / len(mask)


def test_a_clip_is_the_same_alone_and_in_any_order(world: MotionWorld, art: Art, made: list[Made]) -> None:
    for i in (111, 0, 42):
        again = clip(world, art, 5, i)
        assert np.array_equal(again.frames, made[i][1].frames)
        assert (again.truth, again.captions) == (made[i][1].truth, made[i][1].captions)
    assert made[0][1].frames.shape == (17, 64, 64, 3) and made[0][1].frames.dtype == np.uint8
    assert not np.array_equal(clip(world, art, 6, 0).frames, made[0][1].frames)
    with pytest.raises(ValueError, match="split is 'test'"):
        clip(world, art, 5, 0, "test")  # type: ignore[arg-type]


def test_things_are_where_the_truth_says(made: list[Made]) -> None:
    asked = 0
    for _, one, mask in made:
        things = one.truth["objects"]
        if len(things) > 1 or one.truth["kind"] in ("alive", "orbit", "disappear", "appear"):
            continue
        x, y, size = (np.array(things[0][k]) for k in ("x", "y", "size"))
        inside = (np.abs(x - 0.5) < 0.5 - size / 2) & (np.abs(y - 0.5) < 0.5 - size / 2)
        for frame in np.flatnonzero(inside):
            assert np.abs(_middle(mask[frame]) - (x[frame], y[frame])).max() < 0.02, one.captions
            asked += 1
    assert asked > 1000


def test_what_goes_somewhere_goes_there_evenly(made: list[Made]) -> None:
    for one, mask, thing in _single(made, "move"):
        told = thing["motion"]
        if told["way"] != "inside" or told["path"] != "straight" or thing["animated"]:
            continue
        places = np.stack([_middle(frame) for frame in mask])
        vector = np.array(VECTORS[told["direction"]])
        steps = np.diff(places, axis=0) @ vector
        assert steps.min() > 0 and steps.std() < 0.15 / 64, one.captions  # a seventh of a pixel: between the pixels
        assert abs(steps.sum() / 2 - told["speed"]) < 0.01
        assert (told["pace"] == "slow") == (told["speed"] <= 0.14) and (told["pace"] == "fast") == (
            told["speed"] >= 0.24
        )


def test_what_leaves_or_enters_is_gone_or_not_there_yet(made: list[Made]) -> None:
    ways = {"out": -1, "in": 0}
    seen = set()
    for _, mask, thing in _single(made, "move"):
        if thing["motion"]["way"] in ways:
            seen.add(thing["motion"]["way"])
            end = ways[thing["motion"]["way"]]
            assert not mask[end].any() and mask[-1 - end].sum() > 100
    assert seen == {"in", "out"}
    for one, mask, _ in _single(made, "appear", "disappear"):
        first, last = (0, -1) if one.truth["kind"] == "appear" else (-1, 0)
        assert not mask[first].any() and mask[last].sum() > 100


def test_nothing_moves_in_a_still_clip_and_all_else_moves(made: list[Made]) -> None:
    for one, _, thing in _single(made, "still"):
        assert thing["animated"] or all(np.array_equal(one.frames[0], frame) for frame in one.frames)
    for _, one, _ in made:
        if one.truth["kind"] != "still":
            assert len({frame.tobytes() for frame in one.frames}) > 2, one.captions


def test_growing_shrinking_and_zooming_change_the_size_as_told(made: list[Made]) -> None:
    for one, mask, thing in _single(made, "grow", "shrink", "zoom"):
        size = thing["size"]
        whole = [f for f in (0, 8, 16) if not (mask[f][[0, -1]].any() or mask[f][:, [0, -1]].any())]
        for a, b in itertools.pairwise(whole):
            ratio = np.sqrt(mask[b].sum() / mask[a].sum())
            assert abs(np.log(ratio * size[a] / size[b])) < 0.08, one.captions
        larger = size[-1] > 1.5 * size[0]
        assert larger == (one.truth["kind"] == "grow" or one.truth["camera"]["direction"] == "in")


def test_what_spins_turns_by_the_angle_and_the_way_told(made: list[Made]) -> None:
    for one, mask, thing in _single(made, "spin"):
        turned = np.diff(np.unwrap([_axis(frame) for frame in mask], period=np.pi))
        asked = np.diff(np.radians(thing["angle"]))
        assert np.abs(turned - asked).max() < 0.12, one.captions
        assert (asked[0] > 0) == (thing["motion"]["sense"] == "counterclockwise")


def _axis(mask: np.ndarray) -> float:
    """Direction of the long axis of a mask, radians counterclockwise."""
    rows, columns = np.nonzero(mask)
    (xx, xy), (_, yy) = np.cov(columns, -rows)
    return float(np.arctan2(2 * xy, xx - yy) / 2)


def test_a_camera_moves_the_backdrop_with_the_thing(world: MotionWorld, art: Art, made: list[Made]) -> None:
    for planned, one, mask in made:
        if one.truth["kind"] != "pan":
            continue
        camera, thing = one.truth["camera"], one.truth["objects"][0]
        assert (camera["x"][-1] > camera["x"][0]) == (camera["direction"] == "right")
        moved = np.array(thing["x"]) + camera["x"]
        assert np.allclose(moved, moved[0], atol=2e-4) and mask[0].any()
        empty = draw(replace(planned, actors=(), depth=()), art, stream(5, "train", 0, "backdrop"), world.size)
        shift = round(16 * 4 * abs(camera["x"][8] - camera["x"][0]))
        one_way = np.abs(empty[0][:, shift:].astype(int) - empty[8][:, : 64 - shift]).mean()
        other = np.abs(empty[0][:, : 64 - shift].astype(int) - empty[8][:, shift:]).mean()
        assert (one_way < other) == (camera["direction"] == "right")


def test_of_two_that_cross_the_nearer_one_is_whole(world: MotionWorld, art: Art, made: list[Made]) -> None:
    for planned, one, _ in made:
        if one.truth["passes"]:
            near = planned.depth[-1]
            assert one.truth["passes"] == ("behind" if near == 0 else "in front of")
            alone = draw(replace(planned, depth=(near,)), art, stream(5, "train", 0, "backdrop"), world.size)
            both = draw(planned, art, stream(5, "train", 0, "backdrop"), world.size)
            x, y = (round(64 * one.truth["objects"][near][k][8]) for k in ("x", "y"))
            middle = (8, slice(y - 3, y + 3), slice(x - 3, x + 3))
            assert np.abs(alone[middle].astype(int) - both[middle]).max() <= 2  # a resampled drawing is 99.6 % opaque


def test_films_play_at_the_rate_of_the_world(art: Art, made: list[Made]) -> None:
    assert art.length(art.animated["cat"]) == 8  # 24 frames at 24 a second are a second
    for one, _, thing in _single(made, "alive"):
        assert thing["animated"] and thing["label"] == "cat"
        assert np.array_equal(one.frames[0], one.frames[8]) and not np.array_equal(one.frames[0], one.frames[2])


def test_a_turntable_shows_all_sides(art: Art, made: list[Made]) -> None:
    film = art.films["model/toy"].frames
    assert len(film) == 32 and art.models["toy"].label == "toy"
    blue = (film[..., 2].astype(int) - film[..., 0] > 60).sum((1, 2))
    wide = (film[..., 3] > 128).any(1).sum(1)
    assert blue.argmax() in (0, 1, 31) and blue[12:21].max() == 0  # the front is blue, the back is not
    assert wide[0] > 1.5 * wide[8] and wide[16] > 1.5 * wide[24]  # seen from the side it is half as wide
    for one, _, thing in _single(made, "orbit"):
        turns = thing["motion"]["speed"]
        assert thing["label"] in MODELLED and turns in (0.25, 0.5) and one.truth["background"] == "gray"
        assert turns == 0.25 or np.array_equal(one.frames[0], one.frames[16])  # two seconds are a whole turn


def test_the_nearer_triangle_is_seen_and_lamps_brighten_what_faces_them() -> None:
    files = {
        "two.obj": b"mtllib two.mtl\nv -1 -1 0\nv 1 -1 0\nv 0 1 0\nv -1 -1 0.5\nv 1 -1 0.5\nv 0 0 0.5\n"
        b"usemtl far\nf 1 2 3\nusemtl near\nf 4 5 6\n",
        "two.mtl": b"newmtl far\nKd 1 0 0\nnewmtl near\nKd 0 1 0\n",
    }
    mesh = read_mesh("two.obj", files.__getitem__)
    front, back = (render(mesh, yaw, 0, 64).astype(int) for yaw in (0, 180))
    assert (front[..., 1] > front[..., 0]).sum() > 300 and (front[..., 0] > front[..., 1]).sum() > 300
    assert (back[..., 1] > back[..., 0]).sum() == 0  # from behind the larger one hides the other
    turned = render(mesh, 50, 0, 64)
    assert turned[..., :3].max() < front[..., :3].max()
    with pytest.raises(ValueError, match="has no face"):
        read_mesh("empty.obj", lambda name: b"v 0 0 0")


TO_LEFT, TO_RIGHT = r"\bto (the )?left\b|\bleft\b(?! to right)", r"\bto (the )?right\b|\bright\b(?! to left)"


def test_captions_say_only_what_is_true(world: MotionWorld, made: list[Made]) -> None:
    assert {one.truth["kind"] for _, one, _ in made} == set(KINDS)
    for _, one, _ in made:
        truth = one.truth
        motions = [thing["motion"] for thing in truth["objects"]]
        ways = {m["direction"] for m in motions} | {truth["camera"]["direction"]}
        paces = {m["pace"] for m in motions}
        for caption in one.captions:
            text = re.sub(r"from the (left|right)|from (left to right|right to left)", r"<\1\2>", caption)
            assert 2 <= len(caption.split()) <= LIMIT and "{" not in caption and "None" not in caption, caption
            assert any(thing["label"] in caption for thing in truth["objects"]) or "kitty" in caption
            for side in ("left", "right"):
                if re.search(rf"\b{side}\b", text.replace(f"<{side}>", "")) and f"<{side}" not in text:
                    assert any(side in str(way).split() for way in ways), caption
            for other, own in (("left to right", "right"), ("right to left", "left")):
                assert f"<{other}>" not in text or own in ways, caption
            if re.search(
                r"\b(up|upwards)\b", text.replace("up and down", "").replace("pop", "").replace("pops up", "")
            ):
                assert any("up" in str(way) for way in ways) or truth["kind"] == "appear", caption
            assert "slowly" not in text or "slow" in paces or any(m["style"] == "fade" for m in motions), caption
            assert not re.search(r"\bfast|quickly", text) or "fast" in paces, caption
            for sense in ("clockwise", "counterclockwise"):
                assert not re.search(rf"\b{sense}\b", text) or any(m["sense"] == sense for m in motions), caption
            filmed = "camera" in text or "zooming" in text or "panning" in text
            assert filmed == (truth["camera"]["kind"] != "still") or truth["kind"] == "orbit", caption


@pytest.mark.parametrize("name", ["small", "whole"])
def test_captions_of_the_shipped_worlds_are_english(name: str) -> None:
    """Grammar of many captions, of truths that need no drawing: every label, in every motion (a fifth of whole)."""
    shipped = load_motion(name)
    for number, truth in itertools.islice(enumerate(_truths(shipped)), 0, None, 1 if name == "small" else 5):
        for caption in captions(shipped, truth, np.random.default_rng(number)):
            assert not re.search(r"\ba [aei]|\ba o(?!ne)|\ban [^aeiouhx]|  |\b(\w+) \1\b(?<!round)", caption), caption
            assert not re.search(r"\bnot (?!\w+ing)\w+s\b", caption), caption
            assert caption[-1].isalnum() and caption[0].isalnum() and len(caption.split()) <= LIMIT, caption


def _truths(world: MotionWorld) -> Iterator[dict]:
    """Every label in every kind of motion, in pairs and crossings with another, and before every camera."""
    lots = [("move", d, w) for d in ("left", "up", "down") for w in ("inside", "out", "in")]
    kinds = [k for k in KINDS if k not in ("move", "pan", "zoom", "pair", "cross")]
    places, labels = list(world.backdrops), [label.name for label in world.spoken.labels]
    for number, label in enumerate(labels):
        base = {"background": places[number % len(places)], "style": "3d", "passes": None}
        rests = {"camera": {"kind": "still", "direction": None}}
        for kind, direction, way in [*lots, *((kind, None, None) for kind in kinds)]:
            yield base | rests | {"kind": kind, "objects": [_thing(label, kind, direction, way)]}
        for passes in (None, "behind"):
            other = _thing(labels[number - 1], "move", "right", "inside")
            both = [_thing(label, "still" if passes else "move", None if passes else "left", "inside"), other]
            yield base | rests | {"kind": "cross" if passes else "pair", "objects": both, "passes": passes}
        for kind, direction in (("pan", "left"), ("zoom", "in"), ("zoom", "out")):
            still = [_thing(label, "still", None, None)]
            yield base | {"kind": kind, "objects": still, "camera": {"kind": kind, "direction": direction}}


def _thing(label: str, kind: str, direction: str | None, way: str | None) -> dict:
    told = {"kind": kind, "direction": direction, "way": way, "path": None, "speed": None, "sense": "clockwise"}
    told["style"] = "fade" if kind in ("appear", "disappear") else None
    told["pace"] = "slow" if kind in ("move", "circle", "spin") else None
    return {"label": label, "color": "green", "recoloured": True, "motion": told}


def test_verbs_become_participles() -> None:
    said = {
        "slowly flies up": "slowly flying up",
        "does not move": "not moving",
        "stays where it is": "staying where it is",
        "moves but stays where it is": "moving but staying where it is",
        "swims away": "swimming away",
        "passes behind a tree": "passing behind a tree",
        "goes down": "going down",
        "gets bigger": "getting bigger",
        "vanishes": "vanishing",
        "rises quickly": "rising quickly",
        "drives to the left": "driving to the left",
    }
    assert {verb: participle(verb) for verb in said} == said
    assert all("{" in phrase or participle(phrase).split()[-1] for phrases in wording().values() for phrase in phrases)


@pytest.mark.parametrize("name", ["small", "whole"])
def test_a_shipped_world_says_how_its_things_move(name: str) -> None:
    shipped = load_motion(name)
    known = {label.name for other in ("small", "whole") for label in load_world(other).labels}
    named = [label for manner in shipped.manners.values() for label in manner.labels]
    assert set(named) | set(shipped.round) | set(shipped.headings) | set(shipped.faces["left"]) <= known
    assert len(set(named)) == len(named)
    if name == "small":
        assert 100 <= len(shipped.scenes.labels) <= 200
        assert verbs(shipped, "rocket", "up") == ("flies", "flies", "rises") and verbs(shipped, "car", "left") == (
            "drives",
        )
        assert verbs(shipped, "car", "up") == ("moves", "goes") and "rolls" in verbs(shipped, "soccer ball", "right")
        assert "falls" in verbs(shipped, "snowflake", "down") and "swims" in verbs(shipped, "fish", "left")
        combinations = [shipped.held_out(a.name, b) for a in shipped.scenes.labels for b in shipped.backdrops]
        assert 0.03 < np.mean(combinations) < 0.07


def test_train_clips_show_no_held_out_combination_and_held_out_ones_always_do(world: MotionWorld, art: Art) -> None:
    def held(truth: dict) -> bool:
        camera = truth["camera"]
        names = [(o["label"], n) for o in truth["objects"] for n in (truth["background"], _name(o["motion"]))]
        if camera["kind"] != "still":
            names = [(o["label"], n) for o in truth["objects"] for n in (truth["background"], _name(camera))]
        return any(world.held_out(label, name) for label, name in names)

    world = replace(
        world, kinds={**world.kinds, "alive": 0.0, "orbit": 0.0}
    )  # of one label each, perhaps nothing held out
    for index in range(120):
        for split in ("train", "heldout"):
            planned = plan(world, art, stream(1, split, index, "plan"), split)
            truth = building_truth(planned, world)
            assert held(truth) == (split == "heldout")
    with pytest.raises(ValueError, match="holds nothing out"):
        plan(replace(world, heldout=0.0), art, stream(1, "heldout", 0, "plan"), "heldout")


def building_truth(planned: Plan, world: MotionWorld) -> dict:
    from mediagen.data.motion.describe import describe

    return describe(planned, world)


def _name(motion: dict) -> str:
    return f"{motion['kind']} {motion['direction']}" if motion["direction"] else motion["kind"]


def test_a_build_is_the_same_in_other_chunks_and_after_a_kill(
    world: MotionWorld, art: Art, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Clips(build_motion(world, tmp_path / "a", train=7, heldout=2) / "train")
    for module in (building, stored):
        monkeypatch.setattr(module, "CHUNK", 3)
    build_motion(world, tmp_path / "b", train=7, heldout=2)
    chunks.replace(tmp_path / "b/train/progress", "3\n")
    shutil.rmtree(tmp_path / "b/train/frames")
    (tmp_path / "b/train/frames").mkdir()
    again = Clips(build_motion(world, tmp_path / "b", train=7, heldout=2) / "train")
    assert (len(first), len(again), first.rate) == (7, 7, 8.0)
    for i in range(3, 7):
        assert np.array_equal(again[i], clip(world, art, 0, i).frames)
    monkeypatch.undo()
    assert np.array_equal(first[5], clip(world, art, 0, 5).frames) and first.truth(5) == clip(world, art, 0, 5).truth
    assert first.captions(6) == tuple(clip(world, art, 0, 6).captions) and first[0].shape == (17, 64, 64, 3)
    assert (tmp_path / "a/train/clips.jsonl").read_bytes() == (tmp_path / "b/train/clips.jsonl").read_bytes()
    notices = json.loads((tmp_path / "a/world.json").read_text())["sources"]
    assert {package["licence"] for package in notices} == {"MIT", "CC0-1.0"}
    assert all(package["notice"] and package["sha256"] for package in notices)
    with pytest.raises(IndexError):
        first[7]


def test_other_sizes_and_rates(world: MotionWorld, cache: Path) -> None:
    other = replace(world, size=96, rate=12.0, frames=25, kinds={"move": 1.0}, animated=0.0)
    one = clip(other, load_art(other), 0, 1)
    assert one.frames.shape == (25, 96, 96, 3) and len(one.truth["objects"][0]["x"]) == 25


def test_what_is_wrong_is_named(world: MotionWorld, tmp_path: Path) -> None:
    content = yaml.safe_load((Path(building.__file__).parent / "small.yaml").read_text())
    manners = yaml.safe_load((Path(building.__file__).parent / "manners.yaml").read_text())
    for change, said in (
        ({"kinds": {"dance": 1}}, "unknown kind of motion 'dance'"),
        ({"directions": {"north": 1}}, "unknown direction 'north'"),
        ({"labels": ["cat", "gryphon"]}, "'gryphon' is not in the image world"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"size": 8}, "size is 8; it must be 32 or more"),
        ({"extent": [0.5, 0.3]}, "two rising shares"),
        ({"heldout": 0.9}, "heldout is 0.9"),
        ({"kinds": {"orbit": 1}}, "'orbit' need models"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            read_motion({**manners, **content, **change})
    with pytest.raises(ValueError, match="unknown motion world 'big'; known are small, whole"):
        load_motion("big")
    with pytest.raises(ValueError, match="workers is 0"):
        build_motion(world, tmp_path / "x", workers=0)
    with pytest.raises(ValueError, match="no split of a built motion world"):
        Clips(tmp_path)
