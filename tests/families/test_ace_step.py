"""ACE-Step through our loop gives what diffusers' own pipeline gives, from the same generator; see
`test_sound_parity`. Its pipeline brings the loudest sample to -1 dB; that is done to ours before it is compared."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_ace
import torch
from tiny import scheduler

import mediagen
from mediagen.modalities.audio import Audio

diffusers = pytest.importorskip("diffusers")
if not hasattr(diffusers, "AceStepPipeline"):
    pytest.skip("this diffusers has no ACE-Step", allow_module_level=True)

PROMPT, LYRICS, SECONDS = "a red cat of the dog", "[verse]\nblue dog", 1.0


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    made: dict[bool, Path] = {}

    def checkpoint(turbo: bool) -> Path:
        if turbo not in made:
            plan = scheduler("FlowMatchEulerDiscreteScheduler", **tiny_ace.PLAN)
            made[turbo] = tiny_ace.ace_step(tmp_path_factory.mktemp("ace"), plan, turbo=turbo)
        return made[turbo]

    return checkpoint


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def theirs(folder: Path, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    pipe = diffusers.AceStepPipeline.from_pretrained(
        folder, local_files_only=True, audio_tokenizer=None, audio_token_detokenizer=None
    )
    pipe.set_progress_bar_config(disable=True)
    seen: dict[str, torch.Tensor] = {}
    watch = {"callback": lambda step, t, z: seen.update(latents=z), "output_type": "pt"}
    length = {} if "src_audio" in options else {"audio_duration": SECONDS}
    made = pipe(PROMPT, lyrics=LYRICS, num_inference_steps=steps, generator=drawn(), **length, **watch, **options)
    return seen["latents"].mT, made.audios


@torch.no_grad()
def ours(pipe: Any, job: Any) -> tuple[torch.Tensor, torch.Tensor]:
    *_, last = pipe.walk(job, pipe.asked(job), pipe.start(job))
    sound = pipe.decode(last.x)
    return last.x, sound * (10 ** (-1 / 20) / sound.abs().amax())


def same(mine: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert float((mine[0] - other[0]).norm() / other[0].norm()) < 1e-5
    assert float((mine[1] - other[1]).abs().max()) < 1e-4 and float(other[1].std()) > 0.02


@pytest.mark.parametrize("turbo", [True, False])
def test_as_published(turbo: bool, checkpoints: Callable[[bool], Path]) -> None:
    """Turbo without guidance, the others led by APG."""
    pipe = mediagen.load(checkpoints(turbo))
    assert pipe.model.defaults["steps"] == 8
    for steps, more in ((3, {}), (8, {"bpm": 90})):
        job = pipe.job(PROMPT, lyrics=LYRICS, seconds=SECONDS, steps=steps, noise=drawn(), **more)
        same(ours(pipe, job), theirs(checkpoints(turbo), steps, **more))


def test_repainted_as_published(checkpoints: Callable[[bool], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown what stays and where it is to play. Ours codes by the mean, so theirs does here."""
    kind = diffusers.models.autoencoders.autoencoder_oobleck.OobleckDiagonalGaussianDistribution
    monkeypatch.setattr(kind, "sample", lambda self, generator=None: self.mean)
    folder = checkpoints(True)
    pipe = mediagen.load(folder)
    sound = torch.rand(2, 1000, generator=drawn()) - 0.5
    span = {"repainting_start": 0.2, "repainting_end": 0.6}
    other = theirs(folder, 4, task_type="repaint", src_audio=sound, audio_duration=1.0, **span)
    clip = Audio.from_tensor(sound, pipe.rate)
    noise = torch.randn(1, 25, 4, generator=drawn()).mT
    job = pipe.job(PROMPT, lyrics=LYRICS, start=clip, between=(0.2, 0.6), steps=4, noise=noise)
    same(ours(pipe, job), other)
    [mended] = pipe.run(job)
    assert (mended.samples[:, :200] == clip.samples[:, :200]).all()
    assert (mended.samples[:, 600:] == clip.samples[:, 600:]).all()


@torch.no_grad()
def test_each_condition_matters(checkpoints: Callable[[bool], Path]) -> None:
    pipe = mediagen.load(checkpoints(False))
    common = {"seconds": SECONDS, "steps": 2, "seed": 1}
    job = pipe.job(PROMPT, lyrics=LYRICS, **common)
    *_, plain = pipe.walk(job, pipe.asked(job))
    for changed in ({"lyrics": "red"}, {"bpm": 80}, {"guidance": 2.0}):
        other = pipe.job(PROMPT, **(common | {"lyrics": LYRICS} | changed))
        *_, last = pipe.walk(other, pipe.asked(other))
        assert float((last.x - plain.x).norm() / plain.x.norm()) > 1e-3, changed
    asked = replace(pipe.asked(job), told=None)
    [(cond, _)] = asked.prompts
    assert set(cond) == {"text", "context"}
    for told in cond:
        asked.prompts[0] = (cond | {told: cond[told].roll(1, -1) + 0.5}, 1.0)
        *_, changed = pipe.walk(job, asked)
        assert float((changed.x - plain.x).norm() / plain.x.norm()) > 1e-3, told


def test_refusals(checkpoints: Callable[[bool], Path], tmp_path: Path) -> None:
    base, turbo = mediagen.load(checkpoints(False)), mediagen.load(checkpoints(True))
    with pytest.raises(ValueError, match="takes no negative prompt"):
        turbo.job(PROMPT, negative="blue")
    with pytest.raises(ValueError, match="takes no negative prompt"):
        base.generate(PROMPT, negative="blue", seconds=SECONDS, steps=1)
    with pytest.raises(ValueError, match="weights no words"):
        base.generate("a (red:1.2) cat", seconds=SECONDS, steps=1)
    with pytest.raises(ValueError, match="makes no loops"):
        base.job(PROMPT, bars=1, bpm=90)


def test_lyrics_are_in_the_file(checkpoints: Callable[[bool], Path], tmp_path: Path) -> None:
    folder = checkpoints(True)
    clip = mediagen.load(folder).generate(PROMPT, lyrics=LYRICS, seconds=SECONDS, steps=2, seed=1)
    clip.save(tmp_path / "a.wav")
    again = mediagen.replay(tmp_path / "a.wav", model=folder)
    assert again.equal and again.request.lyrics == LYRICS
