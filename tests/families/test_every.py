"""What every family has: a plan before it is loaded, events, previews of each step, and metadata that replay."""

from pathlib import Path
from typing import Any

import pytest
import table
import tiny_musicgen
import torch
from tiny_all import EXAMPLES

import mediagen
from mediagen.counting import count, counted

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

SAVED = {"image": "png", "video": "mp4", "audio": "flac"}
QUICK = ("SD inpainting", "DeepFloyd IF, second stage", "Stable Video Diffusion", "AnimateDiff", "LTX-2", "Mochi")


def length(size: Any, rate: Any) -> dict[str, float]:
    """What is said of the length of an example."""
    return {"seconds": size["frames"] / rate} if "frames" in size else {k: v for k, v in size.items() if k == "seconds"}


def without_weights(folder: Path) -> Path:
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    return folder


def planned(name: str, folder: Path) -> None:
    """Parameters are those of the loaded parts, and nothing but configurations is read."""
    build, size = EXAMPLES[name]
    pipe = table.loaded(build(folder), size)
    asked = length(size, pipe.rate if pipe.model.modality != "image" else None)
    loaded = {k: sum(p.numel() for p in v.parameters()) for k, v in pipe.model.adapts.parts.items()}
    side = {"size": size["size"]} if "size" in size else {}
    made = mediagen.plan(without_weights(folder), dtype="float32", **side, **asked)
    found = {part.name: part.parameters for part in made.parts}
    assert {k: found[k] for k in loaded} == loaded and made.step.flops > 0 and made.step.peak > 0
    assert made.decoding.peak > 0 or "IF" in name  # in pixel space nothing is decoded
    assert list(made.needs()) == ["whole", "model", "group", "sequential"]


@pytest.mark.parametrize("name", QUICK)
def test_a_plan(name: str, tmp_path: Path) -> None:
    planned(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - set(QUICK)))
def test_a_plan_of_every_family(name: str, tmp_path: Path) -> None:
    planned(name, tmp_path)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_plan_of_a_model_that_writes_codes(channels: int, tmp_path: Path) -> None:
    """Its last column, with all before it in mind: counted as of the loaded model."""
    folder, seconds = tiny_musicgen.musicgen(tmp_path, channels=channels), 0.1
    pipe = mediagen.load(folder)
    network, job = pipe.model.network, pipe.job("a", seconds=seconds)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    speaker = pipe.model.begins(*pipe.said(job))
    columns = torch.zeros(1, pipe.model.spec.channels, job.grid[0] + max(pipe.model.layout.delays), dtype=torch.long)
    with counted() as found:
        speaker(columns)
        found.peak = found.flops = 0
        speaker(columns[..., :1])
    decoding = count(lambda: pipe.model.autoencoder.decode(columns[..., : job.grid[0]]))
    made = mediagen.plan(without_weights(folder), dtype="float32", seconds=seconds)
    assert {part.name: part.parameters for part in made.parts} == sizes and made.denoiser == ["decoder"]
    assert made.batch == 2 and made.step.flops == found.flops > 0
    assert made.decoding.flops > decoding.flops > 0  # the kernel of its recurrent layers is not seen on the CPU
    assert made.step.peak == pytest.approx(found.peak, rel=0.1)
    assert made.decoding.peak == pytest.approx(decoding.peak, rel=0.2)
    longer = mediagen.plan(folder, dtype="float32", seconds=0.2)
    assert longer.step.peak > made.step.peak and longer.decoding.flops > 1.9 * made.decoding.flops
    assert list(made.needs()) == ["whole"] and "0.1 s" in made.asked


def job_of(pipe: Any, size: Any, shown: Path) -> Any:
    """Two steps of an example with a preview of each; shown: where the picture is put that some must be shown."""
    asked = {k: v for k, v in size.items() if k != "frames"}
    asked |= length(size, pipe.rate if pipe.model.modality == "video" else None)
    if pipe.model.enlarges is not None or "first" in pipe.model.ends:
        table.picture(pipe).save(shown)
    begins = {"first": str(shown)} if "first" in pipe.model.ends else {}
    if pipe.model.enlarges is not None:
        asked, begins = {}, {"start": str(shown)}
    return pipe.job(table.words(pipe), steps=2, seed=1, previews=True, **asked, **begins)


def watched(name: str, folder: Path) -> None:
    """A step each, with a small picture of it; what is saved is made again."""
    build, size = EXAMPLES[name]
    pipe = table.loaded(build(folder / "model"), size)
    events = list(pipe.stream(job_of(pipe, size, folder / "shown.png")))
    assert [event.stage for event in events] == ["encode", "encode", "step", "step", "decode", "done"]
    for event in events[2:4]:
        assert event.preview.shape[:2] == (1, 3) and event.preview.ndim == (5 if pipe.model.modality == "video" else 4)
        assert bool(event.preview.isfinite().all()) and event.preview.abs().max() <= 1
    file = folder / f"made.{SAVED[pipe.model.modality]}"
    events[-1].results[0].save(file)
    again = mediagen.replay(file, model=folder / "model")
    assert again.equal and again.same_model


@pytest.mark.parametrize("name", ["LTX-2", "Stable Video Diffusion"])
def test_events_previews_and_metadata(name: str, tmp_path: Path) -> None:
    watched(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"LTX-2", "Stable Video Diffusion"}))
def test_events_previews_and_metadata_of_every_family(name: str, tmp_path: Path) -> None:
    watched(name, tmp_path)


@torch.no_grad()
def halved(name: str, folder: Path) -> None:
    """In bfloat16, which is what commands load on a CPU that multiplies it: near what float32 makes, and all of it."""
    build, size = EXAMPLES[name]
    build(folder / "model")
    made = []
    for dtype in ("float32", "bfloat16"):
        pipe = table.loaded(folder / "model", size, dtype=dtype)
        assert pipe.model.denoiser.dtype == getattr(torch, dtype)
        job = job_of(pipe, size, folder / "shown.png")
        *_, last = pipe.walk(job, pipe.asked(job), pipe.start(job))
        assert bool(pipe.decode(last.x).isfinite().all())
        made.append(last.x)
    # random networks, and guidance, multiply what rounding differs by; another picture is 1.4 away
    assert 0 < float((made[1] - made[0]).norm() / made[0].norm()) < 0.5


@pytest.mark.parametrize("name", ["Wan 2.1", "Stable Video Diffusion"])
def test_half_the_bits(name: str, tmp_path: Path) -> None:
    halved(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"Wan 2.1", "Stable Video Diffusion"}))
def test_half_the_bits_of_every_family(name: str, tmp_path: Path) -> None:
    halved(name, tmp_path)
