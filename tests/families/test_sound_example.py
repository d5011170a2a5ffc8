"""The example of published sound runs on tiny checkpoints."""

import runpy
import sys
from pathlib import Path

import pytest
import tiny_musicgen
import tiny_sound
from tiny import scheduler

from mediagen.modalities import audio

pytest.importorskip("diffusers")


@pytest.mark.parametrize("name", ["stable audio", "musicgen"])
def test_published_music(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "musicgen":
        folder = tiny_musicgen.musicgen(tmp_path / "model")
    else:
        plan = scheduler("CosineDPMSolverMultistepScheduler", **tiny_sound.COSINE)
        folder = tiny_sound.stable_audio(tmp_path / "model", plan)
    monkeypatch.chdir(tmp_path)
    script = Path(__file__).parents[2] / "examples" / "published_music.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(folder), "2", "0.4"])
    runpy.run_path(str(script))
    first, longer = audio.load("published.wav"), audio.load("longer.wav")
    assert (first.samples.shape[1], longer.samples.shape[1]) == (640, 800)
    assert (tmp_path / ("calmer.wav" if name == "musicgen" else "mended.wav")).exists()
