"""Fetching, colours, painted backdrops and folders of one's own pictures."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mediagen.data.backgrounds import PAINTERS, PLAIN, paint
from mediagen.data.colours import TARGETS, measured_colour, named_rgb, recoloured, to_oklab, to_srgb
from mediagen.data.fetch import FetchError, Package, cache_folder, fetch, sha256
from mediagen.data.folder import Folder

PACKAGE = Package(name="@scope/thing", version="1.0.0")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm that packs one small file, and counts its calls in a log."""
    archive, folder = tmp_path / "made.tgz", tmp_path / "bin"
    with tarfile.open(archive, "w:gz") as bundle:
        entry = tarfile.TarInfo("package/hello.txt")
        entry.size = 5
        bundle.addfile(entry, io.BytesIO(b"hello"))
    folder.mkdir()
    script = folder / "npm"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n/bin/cp {archive} scope-thing-1.0.0.tgz\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return tmp_path


def test_a_package_is_fetched_once_and_recorded(npm: Path) -> None:
    for _ in range(2):
        folder = fetch(PACKAGE, npm / "cache")
        assert (folder / "package" / "hello.txt").read_text() == "hello"
    assert (npm / "log").read_text().splitlines() == ["pack --loglevel=error @scope/thing@1.0.0"]
    record = json.loads((npm / "cache/packages/scope-thing-1.0.0.json").read_text())
    assert record["sha256"] == sha256(npm / "made.tgz")


def test_an_archive_that_is_there_needs_no_client(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (npm / "cache/packages").mkdir(parents=True)
    (npm / "made.tgz").rename(npm / "cache/packages/scope-thing-1.0.0.tgz")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert (fetch(PACKAGE, npm / "cache") / "package" / "hello.txt").exists()


def test_fetching_fails_in_one_clear_line(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match=r"has sha256 .* the recipe expects 00"):
        fetch(Package(name="@scope/thing", version="1.0.0", sha256="00"), npm / "cache")
    (npm / "bin" / "npm").write_text("#!/bin/sh\necho npm ERR! network down >&2\nexit 1\n")
    with pytest.raises(FetchError, match=r"could not fetch @scope/thing 2.0.0 with npm \(npm ERR! network down\)"):
        fetch(Package(name="@scope/thing", version="2.0.0"), npm / "cache")
    assert not list((npm / "cache/packages").glob("*2.0.0*")) and not list((npm / "cache/packages").glob(".*"))
    (npm / "cache/packages/scope-thing-3.0.0.tgz").write_bytes(b"not an archive")
    with pytest.raises(FetchError, match=r"scope-thing-3.0.0.tgz is damaged"):
        fetch(Package(name="@scope/thing", version="3.0.0"), npm / "cache")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(FetchError, match="npm is needed to fetch"):
        fetch(Package(name="@scope/thing", version="4.0.0"), npm / "cache")


def test_the_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAGEN_CACHE", "/some/where")
    assert cache_folder() == Path("/some/where")
    monkeypatch.delenv("MEDIAGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/mediagen")


def test_oklab_and_back() -> None:
    rgb = np.random.default_rng(0).random((100, 3))
    assert np.allclose(to_srgb(to_oklab(rgb)), rgb, atol=1e-5)
    assert np.allclose(to_oklab(np.ones(3)), [1, 0, 0], atol=1e-4)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("start", ["red", "blue", "yellow"])
def test_a_recoloured_drawing_measures_as_the_colour_it_was_given(name: str, start: str) -> None:
    picture = np.zeros((40, 40, 4), np.uint8)
    shade = np.linspace(0.85, 1.0, 40)[:, None, None]
    picture[..., :3] = np.round(named_rgb(start) * shade * 255)
    picture[8:32, 8:32, 3] = 255
    changed = recoloured(picture, name)
    assert measured_colour(picture) == start and measured_colour(changed) == name
    assert np.array_equal(changed[..., 3], picture[..., 3])


def test_a_drawing_of_two_colours_has_no_one_colour() -> None:
    picture = np.full((20, 20, 4), 255, np.uint8)
    picture[:10, :, :3], picture[10:, :, :3] = np.round(named_rgb("red") * 255), np.round(named_rgb("blue") * 255)
    assert measured_colour(picture) is None
    changed = recoloured(picture, "green")
    assert (
        np.abs(changed[0].astype(int) - picture[0]).max() <= 1
        or np.abs(changed[-1].astype(int) - picture[-1]).max() <= 1
    )
    with pytest.raises(ValueError, match="unknown colour 'mauve'"):
        recoloured(picture, "mauve")


@pytest.mark.parametrize("name", PAINTERS)
@pytest.mark.parametrize("size", [32, 100])
def test_every_backdrop_is_painted_the_same_again(name: str, size: int) -> None:
    first, again, other = (paint(name, np.random.default_rng(seed), size) for seed in (1, 1, 2))
    assert first.shape == (size, size, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    if name in PLAIN:
        assert np.abs(first.mean((0, 1)) - PLAIN[name]).max() < 40


def test_an_unknown_backdrop_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown background 'moon base'"):
        paint("moon base", np.random.default_rng(0), 32)


def _picture(file: Path, size: tuple[int, int] = (60, 30), mode: str = "RGB", **options: object) -> Path:
    Image.new(mode, size, (200, 10, 10, 0)[: len(mode)]).save(file, **options)
    return file


def test_a_folder_with_captions_beside_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("b.png", "more/a.webp"):
        _picture(tmp_path / name).with_suffix(".txt").write_text("a red thing\nanother wording\n\n")
    data = Folder(tmp_path, 16)
    assert len(data) == 2 and data.captions(0) == ("a red thing", "another wording")
    assert data.images(0).shape == (16, 16, 3) and data.images(0).dtype == np.uint8
    assert Folder(tmp_path, (8, 24)).images(1).shape == (8, 24, 3) and data.check() == []


def test_a_folder_with_metadata(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text('file_name,text\na.png,"one, two"\n')
    assert Folder(tmp_path, 8).captions(0) == ("one, two",)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "captions": ["x", "y"]}\n')
    assert Folder(tmp_path, 8).captions(0) == ("x", "y")


def test_pictures_are_upright_opaque_and_fitted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    _picture(tmp_path / "a.jpg", exif=exif).with_suffix(".txt").write_text("tall")
    _picture(tmp_path / "b.png", mode="RGBA").with_suffix(".txt").write_text("clear")
    padded = Folder(tmp_path, 40, fit="pad").images(0)
    assert padded[0, 0].min() > 240 and padded[20, 20, 0] > 150 and padded[0, 20, 1] < 60
    assert Folder(tmp_path, 8, background=(1, 2, 3)).images(1)[0, 0].tolist() == [1, 2, 3]
    assert Folder(tmp_path, (4, 8), fit="stretch").images(0).shape == (4, 8, 3)


def test_a_wrong_folder_is_refused_with_the_file_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        Folder(tmp_path / "nowhere", 8)
    with pytest.raises(ValueError, match="holds no pictures"):
        Folder(tmp_path, 8)
    file = _picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png has no caption: a.txt is missing"):
        Folder(tmp_path, 8)
    file.with_suffix(".txt").write_text("")
    with pytest.raises(ValueError, match=r"a.txt is empty"):
        Folder(tmp_path, 8)
    file.with_suffix(".txt").write_text("cut short")
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"a.png is no readable picture"):
        Folder(tmp_path, 8).images(0)
    assert len(Folder(tmp_path, 8).check()) == 1
    with pytest.raises(ValueError, match="fit is 'zoom'"):
        Folder(tmp_path, 8, fit="zoom")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": "x"}', "entry 1 has no file_name"),
        ('{"file_name": "b.png", "text": "x"}', "names 'b.png', which is not there"),
        ('{"file_name": "a.png"}', "has no caption"),
        ("{", "line 1 is no JSON object"),
    ],
)
def test_wrong_metadata_is_refused_with_the_line_named(tmp_path: Path, row: str, message: str) -> None:
    _picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(row + "\n")
    with pytest.raises(ValueError, match=message):
        Folder(tmp_path, 8)
