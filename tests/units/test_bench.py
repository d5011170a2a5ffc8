"""The benches run and measure what they say, with tiny settings; what the numbers are is for `mediagen bench`."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from mediagen.bench import audio, beside, document, fresh, image, loop, stages, video
from mediagen.pipelines.opening import load


@pytest.fixture(scope="module")
def rig() -> loop.Rig:
    pytest.importorskip("diffusers")
    return loop.rig()


@pytest.mark.parametrize("case", [*loop.CASES[:2], loop.CASES[3]], ids=str)
def test_the_loop_and_diffusers_pipeline_agree(rig: loop.Rig, case: loop.Case) -> None:
    assert beside.apart(loop.pair(rig, case), steps=5) < 1e-5


def test_loop_costs(rig: loop.Rig) -> None:
    mine, other = beside.overhead(loop.pair(rig, loop.CASES[2]), steps=25, repeats=3)
    assert 0 < mine.step < other.step and 0 < mine.whole < other.whole
    assert "forward" not in vars(rig.unet)


def test_the_networks_time_is_not_the_loops() -> None:
    network = torch.nn.Identity()
    network.forward = lambda x: time.sleep(0.01) or x

    def call(steps: int) -> list[torch.Tensor]:
        return [network(torch.ones(1)) for _ in range(steps)]

    pair = beside.Pair(mine=call, theirs=call, networks={"unet": network})
    run, echoed = (beside.overhead(pair, 6, repeats=2, echo=echo)[0] for echo in (False, True))
    assert max(run.step, run.call, echoed.whole) < 0.005 and run.whole > 0.06


def test_different_latents_are_refused(rig: loop.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TOLERANCE", 1e-12)
    with pytest.raises(ValueError, match="nothing to compare"):
        loop.table(steps=2, repeats=1)


@pytest.mark.slow
def test_image_bench(tiny_model: Path) -> None:
    text = image.table(str(tiny_model), steps=2, batch=4, repeats=1)
    assert "fresh process" in text and "batch of 4" in text and "Model tiny, 64x64" in text
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))


@pytest.fixture
def here(command: Callable[..., int]) -> Callable[[Sequence[str], int], fresh.Command]:
    """In place of `fresh.repeated`, which the bench of pictures runs: the command in this process."""

    def run(asked: Sequence[str], repeats: int) -> fresh.Command:
        assert command(*asked) == 0 and repeats == 1
        return fresh.Command(seconds=1.0, peak=10**9)

    return run


def test_video_bench(tiny_video: Path, here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "repeated", here)
    text = video.table(str(tiny_video), repeats=1)
    assert "fresh process" in text and "by continuation" in text and "Model tiny-video, 32x32 at 8 frames" in text
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))


def test_peak_is_the_commands_own(tiny_model: Path) -> None:
    ballast = torch.ones(400_000_000, dtype=torch.uint8)
    peak = fresh._launched([sys.executable, "-c", "pass"])["peak"]
    assert 1e6 < peak < 1e8 < ballast.numel()


def test_seconds_add_up(tiny_model: Path) -> None:
    pipeline = load(tiny_model)
    found = stages.stages(pipeline, pipeline.job("a cat", steps=2, n=2, seed=0), repeats=1)
    assert min(found.sampling, found.decoding) > 0 and found.sampling + found.decoding < found.whole


def test_a_failing_command_says_why() -> None:
    with pytest.raises(ValueError, match="unknown model 'nothing-like-it'"):
        image.command("nothing-like-it", repeats=0)


def test_tables_are_put_between_their_markers() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "benchmarks.md").read_text()
    once = document.put(page, "loop", "| a |")
    assert document.put(once, "loop", "| a |") == once and "<!-- loop: begin -->\n| a |\n<!-- loop: end -->" in once
    assert document.put(page, "image", "") != page
    with pytest.raises(ValueError, match="<!-- other: begin -->"):
        document.put(page, "other", "")


def test_audio_bench(tiny_audio: Path, here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "repeated", here)
    monkeypatch.setattr(audio, "STREAMED", 4.0)
    text = audio.table(str(tiny_audio), repeats=1)
    assert "fresh process" in text and "a stream of 4 s" in text and "Model tiny" in text and "8000 Hz" in text
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))


def test_a_target_is_a_ceiling_or_a_floor() -> None:
    assert fresh.limited("a", 1.0, 2.0, "s") == "| a | 1.00 s | under 2.00 s | reached |"
    assert fresh.limited("a", 1.0, 2.0, "times", least=True) == "| a | 1.00 times | at least 2.00 times | missed |"
