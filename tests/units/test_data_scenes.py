"""The scenes world: the same bytes from (seed, index) alone, true captions, held-out combinations kept apart."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mediagen.data.build import build
from mediagen.data.captions import LIMIT, article, captions
from mediagen.data.emoji import PACKAGES
from mediagen.data.scenes import BIG, SMALL, holds, scene
from mediagen.data.sprites import Sprites, load_sprites
from mediagen.data.stored import Scenes
from mediagen.data.world import World, load_world, plural, read_world

pytest.importorskip("resvg_py")
SHAPES = {"1F408": "orange", "1F34E": "red", "1F388": "blue", "1F697": "green", "2B50": "gold", "1F419": "purple"}
NAMES = ("cat", "apple", "balloon", "car", "star", "octopus")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder that holds small stand-ins for the packages, so that no network is needed."""
    folder = tmp_path_factory.mktemp("cache")
    for style, package in PACKAGES.items():
        inside = folder / "packages" / package.stem / "package"
        (inside / "assets").mkdir(parents=True)
        (_raster if style == "3d" else _vector)(inside)
        (folder / "packages" / f"{package.stem}.json").write_text(json.dumps({"sha256": package.sha256}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIAGEN_CACHE", str(folder))
        yield folder


def _raster(folder: Path) -> None:
    for code, colour in SHAPES.items():
        image = Image.new("RGBA", (256, 256))
        ImageDraw.Draw(image).ellipse((30, 60, 226, 196), fill=colour)
        image.save(folder / "assets" / f"{code.lower()}.webp", lossless=True)


def _vector(folder: Path) -> None:
    icons = {c: {"body": f'<rect x="2" y="6" width="26" height="20" fill="{colour}"/>'} for c, colour in SHAPES.items()}
    (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 32, "height": 32}))
    (folder / "chars.json").write_text(json.dumps({f"{code.lower()}-fe0f": code for code in SHAPES}))


@pytest.fixture(scope="module")
def world() -> World:
    small = load_world("small")
    said = ("named", "prefix", "suffix")
    content = {
        "name": "tiny",
        "heldout": 0.15,
        "scenes": small.scenes,
        "relations": [*small.relations, "in front of", "behind"],
        "styles": {s.name: {"weight": 1, **{k: getattr(s, k) for k in said}} for s in small.styles.values()},
        "backgrounds": {b.name: {"phrases": b.phrases} for b in small.backgrounds},
        "labels": {n: {"code": c, "recolour": n in ("balloon", "car")} for n, c in zip(NAMES, SHAPES, strict=True)},
    }  # fmt: skip
    return read_world(content)


@pytest.fixture(scope="module")
def sprites(world: World, cache: Path) -> Sprites:
    return load_sprites(world, 64)


@pytest.fixture(scope="module")
def records(world: World, sprites: Sprites) -> list[tuple[np.ndarray, dict]]:
    return [scene(world, sprites, 3, i, size=64) for i in range(300)]


def test_a_scene_is_the_same_alone_and_in_any_order(world: World, sprites: Sprites, records: list) -> None:
    for i in (211, 0, 42):
        picture, record = scene(world, sprites, 3, i, size=64)
        assert np.array_equal(picture, records[i][0]) and record == records[i][1]
    assert len({picture.tobytes() for picture, _ in records}) == len(records)
    assert not np.array_equal(scene(world, sprites, 4, 0, size=64)[0], records[0][0])


def test_train_scenes_show_no_held_out_combination_and_held_out_ones_always_do(
    world: World, sprites: Sprites, records: list
) -> None:
    def held(record: dict) -> bool:
        truth = record["truth"]
        return holds(world, [thing["label"] for thing in truth["objects"]], truth["background"])

    assert not any(held(record) for _, record in records)
    assert all(held(scene(world, sprites, 3, i, "heldout", 64)[1]) for i in range(200))


@pytest.mark.parametrize("name", ["small", "whole"])
def test_about_five_percent_of_the_combinations_of_a_shipped_world_are_held_out(name: str) -> None:
    shipped = load_world(name)
    labels, grounds = [x.name for x in shipped.labels], [b.name for b in shipped.backgrounds]
    single = [shipped.held_out(a, b) for a, b in itertools.product(labels, grounds)]
    pairs = [shipped.held_out(a, b) for a, b in itertools.combinations(labels[:200], 2)]
    assert 0.035 < np.mean(single) < 0.065 and 0.04 < np.mean(pairs) < 0.06
    assert all(shipped.held_out(a, b) == shipped.held_out(b, a) for a, b in itertools.combinations(labels[:30], 2))


def test_truth_agrees_with_the_picture(records: list) -> None:
    for picture, record in records:
        truth = record["truth"]
        assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
        assert truth["count"] == len(truth["objects"]) and 1 <= truth["count"] <= 4
        for thing in truth["objects"]:
            x0, y0, x1, y1 = thing["box"]
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
            extent, slack = max(x1 - x0, y1 - y0), 1 / 64
            assert thing["size"] != "small" or extent <= SMALL + slack
            assert thing["size"] != "big" or extent >= BIG - slack
        if truth["relation"]:
            assert _holds_true(truth)


def _holds_true(truth: dict) -> bool:
    one, two = (thing["box"] for thing in truth["objects"])
    return {
        "left of": one[2] <= two[0] + 0.05,
        "right of": two[2] <= one[0] + 0.05,
        "above": one[3] <= two[1] + 0.05,
        "below": two[3] <= one[1] + 0.05,
        "in front of": one[3] > two[3] and min(one[2], two[2]) > max(one[0], two[0]),
        "behind": two[3] > one[3] and min(one[2], two[2]) > max(one[0], two[0]),
    }[truth["relation"]["name"]]


def test_captions_are_short_and_name_only_what_is_there(world: World, records: list) -> None:
    colours = set(world.colours)
    for _, record in records:
        truth = record["truth"]
        labels = {thing["label"] for thing in truth["objects"]}
        grounds = {
            word for b in world.backgrounds if b.name == truth["background"] for word in " ".join(b.phrases).split()
        }
        there = {thing["color"] for thing in truth["objects"]} | grounds
        assert len(record["captions"]) == 3
        for caption in record["captions"]:
            words = set(caption.replace(",", "").split())
            assert 1 <= len(caption.split()) <= LIMIT
            assert colours & words <= there
            assert all(name in caption for name in labels)
            assert not [name for name in set(NAMES) - labels if {name, plural(name)} & (words - grounds)]


def test_a_relation_is_said_the_right_way_round(world: World) -> None:
    thing = {"color": None, "recoloured": False, "size": "medium"}
    truth = {
        "background": "white", "style": "3d", "count": 2,
        "objects": [{"label": "cat", **thing}, {"label": "apple", **thing}],
        "relation": {"subject": 0, "object": 1, "name": "right of"},
    }  # fmt: skip
    said = {text for i in range(200) for text in captions(world, truth, np.random.default_rng(i))}
    for text in said:
        cat_first = text.index("cat") < text.index("apple")
        if "on the left and" in text or "on the right and" in text:
            assert (
                ("on the left" in text.split("apple")[1].split("and")[0])
                if not cat_first
                else "cat on the right" in text
            )
        else:
            assert ("right" if cat_first else "left") in text


@pytest.mark.parametrize("workers", [1, 2])
def test_a_build_is_the_scenes_in_order_whatever_interrupts_it(
    world: World, sprites: Sprites, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediagen.data.build.CHUNK", 20)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "train" and done >= 40:
            raise KeyboardInterrupt

    arguments = {"size": 64, "train": 90, "heldout": 10, "seed": 3, "workers": workers}
    with pytest.raises(KeyboardInterrupt):
        build(world, tmp_path / "out", progress=stop, **arguments)
    assert not (tmp_path / "out" / "READY").exists() and len(Scenes(tmp_path / "out" / "train")) >= 40
    with (tmp_path / "out" / "train" / "scenes.jsonl").open("a") as stream:
        stream.write('{"captions": ["half a li')  # what a kill in the middle of a write leaves
    build(world, tmp_path / "out", **arguments)
    made = Scenes(tmp_path / "out" / "train")
    assert len(made) == 90 and (tmp_path / "out" / "READY").exists()
    for i in range(90):
        picture, record = scene(world, sprites, 3, i, size=64)
        assert np.array_equal(made.images(i), picture) and made.record(i) == json.loads(json.dumps(record))
    assert made.captions(5) == tuple(made.record(5)["captions"]) and made.truth(5)["count"] >= 1


def test_a_full_disk_is_noticed_before_the_work(
    world: World, sprites: Sprites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediagen.data.chunks.shutil.disk_usage", lambda folder: SimpleNamespace(free=5))
    with pytest.raises(ValueError, match=r"images.npy needs .* GB more and 0.0 GB are free"):
        build(world, tmp_path / "out", size=64, train=3, heldout=2)


def test_world_json_carries_sources_and_licences(world: World, sprites: Sprites, tmp_path: Path) -> None:
    build(world, tmp_path / "out", size=64, train=3, heldout=0)
    content = json.loads((tmp_path / "out" / "world.json").read_text())
    assert {s["licence"] for s in content["sources"]} == {"MIT", "Apache-2.0", "CC-BY-4.0"}
    assert any("Twitter" in s["notice"] for s in content["sources"]) and set(content["labels"]) == set(NAMES)
    with pytest.raises(ValueError, match=r"another recipe .*seed"):
        build(world, tmp_path / "out", size=64, train=3, heldout=0, seed=1)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(ValueError, match="not empty"):
        build(world, tmp_path / "out", size=64, train=3, heldout=0)


def test_sprites_are_trimmed_and_stickers_have_a_white_rim(world: World, sprites: Sprites) -> None:
    for sprite in sprites.rows:
        cut = sprites.cut(sprite)
        assert max(cut.shape[:2]) <= sprites.pixels.shape[1] and cut[..., 3].max() == 255
    rim = sprites.cut(sprites.plain["apple", "sticker"])
    assert rim[rim.shape[0] // 2, 1, :3].min() > 240
    assert {s.color for s in sprites.changed["balloon", "3d"]} == set(world.colours) - {
        sprites.plain["balloon", "3d"].color
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"cat": {"code": "1F408", "wings": 2}}}, "label 'cat': unknown key 'wings'"),
        ({"labels": {"cat": "1F408", "kitty": "1F408"}}, "used by two labels"),
        ({"colours": ["mauve"]}, "unknown colour 'mauve'"),
        ({"backgrounds": {"moon base": {"phrases": ["on a moon base"]}}}, "unknown background 'moon base'"),
        ({"relations": ["beside"]}, "unknown relation 'beside'"),
        ({"heldout": 0.9}, "heldout is 0.9"),
        ({"speed": 3}, "world: unknown key 'speed'"),
    ],
)
def test_a_wrong_world_is_refused_in_one_line(change: dict, message: str) -> None:
    content = {
        "name": "w", "scenes": {"single": 1.0},
        "labels": {"cat": "1F408"}, "backgrounds": {"white": {"phrases": ["on white"]}},
        "styles": {"3d": {"weight": 1, "named": 0, "prefix": ["a"], "suffix": ["b"]}},
    }  # fmt: skip
    assert read_world(content).labels[0].code == "1F408"
    with pytest.raises(ValueError, match=message):
        read_world(content | change)


def test_wrong_arguments_are_refused(world: World, sprites: Sprites, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown world 'huge'; known are small, whole"):
        load_world("huge")
    with pytest.raises(ValueError, match="split is 'test'"):
        scene(world, sprites, 0, 0, "test")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must not be negative"):
        scene(world, sprites, 0, -1)
    with pytest.raises(ValueError, match="size is 8; it must be at least 32"):
        build(world, tmp_path / "out", size=8)
    with pytest.raises(ValueError, match="no split of a built data set"):
        Scenes(tmp_path)


def test_words() -> None:
    assert [plural(word) for word in ("cat", "bus", "box", "cherry", "key", "torch")] == [
        "cats", "buses", "boxes", "cherries", "keys", "torches",
    ]  # fmt: skip
    assert [article(word) for word in ("cat", "apple", "unicorn", "hourglass")] == [
        "a cat", "an apple", "a unicorn", "an hourglass",
    ]  # fmt: skip
