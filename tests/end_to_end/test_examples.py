"""Every script in examples/ runs, in an empty folder: here with tiny models under the names of those that ship, which
changes what is made and not what is called; as it stands, offline, in a process of its own, by `pytest -m slow`."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from serving import served, settings, with_control, with_preview

import mediagen
from mediagen.families import _cards, native  # noqa: F401 (native takes a name from _cards, before a test changes it)
from mediagen.training import frozen

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
FETCHING = {"build_scenes.py", "build_motion.py"}  # over the network: test_data_*.py test building without it
FETCHING |= {"stable_diffusion.py", "control.py", "published_music.py"}  # need a checkpoint: tests/families has some
SERVING = {"serve_client.py"}
FEW = {"train_tiny.py": ["tiny", "12"], "train_control.py": ["led", "2"]}  # steps
RUNNING = [script for script in EXAMPLES if script.name not in FETCHING]


@pytest.fixture(scope="module")
def named(
    tiny_model: Path, tiny_audio: Path, tiny_video: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Tiny models in folders with the names of the shipped ones, and the sizes that the scripts count on."""
    folder = tmp_path_factory.mktemp("named")
    with_preview(tiny_model, folder / "mini-image")
    shutil.copytree(tiny_audio, folder / "mini-audio")
    shutil.copytree(tiny_video, folder / "mini-video")
    for place in folder.iterdir():
        card = yaml.safe_load((place / "card.yaml").read_text()) | {"name": place.name}
        card |= {"size": [128, 128]} if place.name == "mini-image" else {}
        (place / "card.yaml").write_text(yaml.safe_dump(card))
    return {place.name: place for place in folder.iterdir()}


@pytest.mark.parametrize("script", RUNNING, ids=lambda script: script.stem)
def test_example(script: Path, named: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_cards, frozen):
        monkeypatch.setattr(module, "SHIPPED", named["mini-image"].parent)
    monkeypatch.setattr(mediagen, "_loaded", {})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if script.name not in SERVING:
        ran(script, FEW.get(script.name, []), monkeypatch)
    else:
        for library in ("uvicorn", "httpx"):
            pytest.importorskip(library)
        models = {"mini-image": named["mini-image"]}
        adapters = {"control": with_control(named["mini-image"], tmp_path / "controls")}
        with served(settings(tmp_path / "served", models, adapters=adapters)) as (address, _):
            ran(script, [address], monkeypatch)
        assert (tmp_path / "here" / "fox.png").exists()
    assert any((tmp_path / "here").iterdir()) == (script.name != "core_alone.py")


def ran(script: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize(
    "script",
    [pytest.param(s, marks=() if s.stem == "text_to_image" else pytest.mark.slow, id=s.stem) for s in RUNNING],
)
def test_as_it_stands(script: Path, tmp_path: Path) -> None:
    for library in ("uvicorn", "httpx") if script.name in SERVING else ():
        pytest.importorskip(library)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
