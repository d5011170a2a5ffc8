"""Every script in examples/ runs as it stands, offline, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
FETCHING = {"build_scenes.py", "build_motion.py"}  # over the network: test_data_*.py test building without it
FETCHING |= {"stable_diffusion.py", "control.py", "published_music.py"}  # need a checkpoint: tests/families has some
SERVING = {"serve_client.py"}
VIDEO = {"video.py", "video_edits.py"}


@pytest.mark.parametrize("script", [e for e in EXAMPLES if e.name not in FETCHING], ids=lambda e: e.stem)
def test_example(script: Path, tmp_path: Path, tiny_video: Path) -> None:
    if script.name in SERVING:
        pytest.importorskip("uvicorn")
        pytest.importorskip("httpx")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(script), *([str(tiny_video)] if script.name in VIDEO else [])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
