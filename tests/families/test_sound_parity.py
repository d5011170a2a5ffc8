"""Published checkpoints of sound through our loop give what diffusers' own pipelines give, from the same noise.

Latents within 1e-5 relative, decoded sound within 1e-4, at two step counts. The noise is drawn by both sides from
generators of one seed, in the published order; that of Stable Audio's steps from torchsde's Brownian path.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_sound
import torch
from einops import rearrange
from tiny import scheduler

import mediagen

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("torchsde")

PROMPT, SECONDS = "a red cat of the dog", 0.15
COSINE, TABLE = tiny_sound.COSINE, tiny_sound.TABLE

CASES: dict[str, tuple[Callable[..., Path], Callable[[], Any]]] = {
    "stable audio": (tiny_sound.stable_audio, lambda: scheduler("CosineDPMSolverMultistepScheduler", **COSINE)),
    "stable audio, karras": (
        tiny_sound.stable_audio,
        lambda: scheduler("CosineDPMSolverMultistepScheduler", **COSINE, sigma_schedule="karras", solver_type="heun"),
    ),
    "stable audio, first order": (
        tiny_sound.stable_audio,
        lambda: scheduler("CosineDPMSolverMultistepScheduler", **(COSINE | {"solver_order": 1})),
    ),
    "audioldm2": (tiny_sound.audioldm2, lambda: scheduler("DDIMScheduler", **tiny_sound.DDIM)),
    "audioldm2, dpm": (tiny_sound.audioldm2, lambda: scheduler("DPMSolverMultistepScheduler", **TABLE)),
    "audioldm2, pndm": (
        tiny_sound.audioldm2,
        lambda: scheduler("PNDMScheduler", **TABLE, skip_prk_steps=True, steps_offset=1),
    ),
    "musicldm": (tiny_sound.musicldm, lambda: scheduler("DDIMScheduler", **tiny_sound.DDIM)),
    "musicldm, unipc": (tiny_sound.musicldm, lambda: scheduler("UniPCMultistepScheduler", **TABLE)),
    "musicldm, euler": (tiny_sound.musicldm, lambda: scheduler("EulerDiscreteScheduler", **TABLE)),
}
if hasattr(diffusers, "StableAudio3Pipeline"):
    FLOW = {"num_train_timesteps": 1, "shift": 1.0}
    CASES |= {
        "stable audio 3": (
            tiny_sound.stable_audio_3,
            lambda: scheduler("FlowMatchEulerDiscreteScheduler", **FLOW, stochastic_sampling=True),
        ),
        "stable audio 3, base": (
            tiny_sound.stable_audio_3,
            lambda: scheduler("FlowMatchEulerDiscreteScheduler", **FLOW),
        ),
    }
ANGLES = {"prediction_type": "v_prediction", "sigma_min": 0.3, "sigma_max": 500.0}
MORE: dict[str, tuple[Callable[..., Path], Callable[[], Any]]] = {
    "stable audio, edm dpm": (
        tiny_sound.stable_audio,
        lambda: scheduler("EDMDPMSolverMultistepScheduler", **ANGLES, sigma_data=1.0),
    ),
    "stable audio, euler": (
        tiny_sound.stable_audio,
        lambda: scheduler("EulerDiscreteScheduler", **ANGLES, timestep_type="continuous", use_karras_sigmas=True),
    ),
}
if hasattr(diffusers, "StableAudio3Pipeline"):
    MORE["stable audio 3, lcm"] = (tiny_sound.stable_audio_3, lambda: scheduler("FlowMatchLCMScheduler", **FLOW))
NEGATIVE = ("stable audio", "stable audio 3, base", "audioldm2", "musicldm")
TOLD = {
    "stable audio": {"text", "seconds", "seconds_fact", "start", "start_fact"},
    "stable audio 3, base": {"text", "text_mask", "seconds"},
    "audioldm2": {"text", "text_mask", "said"},
    "musicldm": {"heard"},
}


LENGTHS = {"StableAudioPipeline": "audio_end_in_s", "StableAudio3Pipeline": "duration"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """name of a case -> its folder, built once."""
    made: dict[str, Path] = {}

    def checkpoint(name: str) -> Path:
        if name not in made:
            build, plan = (CASES | MORE)[name]
            made[name] = build(tmp_path_factory.mktemp("checkpoint"), plan())
        return made[name]

    return checkpoint


def published(folder: Path) -> Any:
    """diffusers' own pipeline. MusicLDM's, no longer kept up, calls CLAP as transformers 4 had it."""
    absent = {"feature_extractor": None} if (folder / "vocoder").is_dir() else {}
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, **absent)
    pipe.set_progress_bar_config(disable=True)
    if isinstance(pipe, diffusers.MusicLDMPipeline):
        plain = pipe.text_encoder.get_text_features

        def features(*args: Any, **options: Any) -> Any:
            given = plain(*args, **options)
            return getattr(given, "pooler_output", given)

        pipe.text_encoder.get_text_features = features
    return pipe


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(11)


@pytest.mark.filterwarnings("ignore:Should have:UserWarning")  # of its Brownian path, whose ends are rounded
def theirs(pipe: Any, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(latents [B, C, positions], sound [B, C, samples])."""
    seen: dict[str, torch.Tensor] = {}
    length = LENGTHS.get(type(pipe).__name__, "audio_length_in_s")

    def keep(_: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.update(given)
        return given

    watch = (
        {"callback_on_step_end": keep}
        if length == "duration"
        else {"callback": lambda step, t, z: seen.update(latents=z)}
    )
    watch |= {"output_type": "pt", length: SECONDS}
    made = pipe(PROMPT, num_inference_steps=steps, generator=drawn(), **watch, **options).audios
    z = seen["latents"]
    return (rearrange(z, "b c t r -> b (c r) t"), made[:, None]) if z.ndim == 4 else (z, made)


@torch.no_grad()
def ours(pipe: Any, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    job = pipe.job(PROMPT, seconds=SECONDS, steps=steps, noise=drawn(), **options)
    *_, last = pipe.walk(job, pipe.asked(job))
    return last.x, pipe.decode(last.x)[..., : job.samples]


def same(mine: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert float((mine[0] - other[0]).norm() / other[0].norm()) < 1e-5
    assert mine[1].shape == other[1].shape
    assert float((mine[1] - other[1]).abs().max()) < 1e-4 and float(other[1].std()) > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_as_published_with_other_schedulers(name: str, checkpoints: Callable[[str], Path]) -> None:
    pipe, other = mediagen.load(checkpoints(name)), published(checkpoints(name))
    for steps in (2, 5):
        same(ours(pipe, steps), theirs(other, steps))


@pytest.mark.filterwarnings("ignore:Should have:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_as_published(name: str, checkpoints: Callable[[str], Path]) -> None:
    pipe, other = mediagen.load(checkpoints(name)), published(checkpoints(name))
    for steps in (2, 5):
        same(ours(pipe, steps), theirs(other, steps))
    if name in NEGATIVE:
        mine = ours(pipe, 3, negative="the blue", guidance=3.0)
        same(mine, theirs(other, 3, negative_prompt="the blue", guidance_scale=3.0))


@pytest.mark.parametrize("name", [name for name in NEGATIVE if name in CASES])
@torch.no_grad()
def test_each_condition_matters(name: str, checkpoints: Callable[[str], Path]) -> None:
    """What the network is told changes what is made, far above the tolerance of the tests above."""
    pipe = mediagen.load(checkpoints(name))
    job = pipe.job(PROMPT, steps=2, seconds=SECONDS, seed=1)
    asked = replace(pipe.asked(job), told=None)  # windows are told nothing else
    [(cond, _)] = asked.prompts
    *_, plain = pipe.walk(job, asked)
    for told in cond:
        value = cond[told]
        first = torch.arange(value.shape[1]) < 1
        swapped = value * first if told == "text_mask" else value.roll(1, -1) + 0.5
        asked.prompts[0] = (cond | {told: swapped.to(value.dtype)}, 1.0)
        *_, changed = pipe.walk(job, asked)
        assert float((changed.x - plain.x).norm() / plain.x.norm()) > 1e-3, told
    assert set(cond) == TOLD[name]


def clip_of(pipe: Any, seconds: float) -> Any:
    """Noise at half the loudness that there is."""
    channels = pipe.model.spec.media_channels
    samples = torch.rand(channels, round(seconds * pipe.rate), generator=drawn()) - 0.5
    return mediagen.modalities.audio.Audio.from_tensor(samples, pipe.rate)


def test_one_length_is_made_and_longer_pieces_in_windows(checkpoints: Callable[[str], Path]) -> None:
    """Stable Audio's state is as long as it was trained; each window is told its own place in the piece."""
    pipe = mediagen.load(checkpoints("stable audio"))
    whole = tiny_sound.LATENTS * pipe.stride / pipe.rate
    assert pipe.job(PROMPT, seconds=SECONDS).grid == (tiny_sound.LATENTS,)
    job = pipe.job(PROMPT, seconds=1.5 * whole, steps=2, seed=3)
    assert job.grid == (2 * tiny_sound.LATENTS,)
    told = pipe.asked(job).told
    starts = [told((slice(begin, begin + tiny_sound.LATENTS),))["start"] for begin in (0, tiny_sound.LATENTS)]
    assert not torch.allclose(*starts)
    [clip] = pipe.run(job)
    assert clip.samples.shape == (2, round(1.5 * whole * pipe.rate))


@pytest.mark.parametrize("name", ["stable audio", "audioldm2"])
def test_edits(name: str, checkpoints: Callable[[str], Path]) -> None:
    """What is not asked to be changed stays, to the sample; a loop has no seam in its latents."""
    pipe = mediagen.load(checkpoints(name))
    if name == "audioldm2":
        with pytest.raises(ValueError, match="only make new sound"):
            pipe.vary(clip_of(pipe, 0.12), PROMPT, steps=2)
    else:
        clip = clip_of(pipe, 0.14)
        varied = pipe.vary(clip, PROMPT, strength=0.5, steps=4, seed=2)
        assert varied.samples.shape == clip.samples.shape
        mended = pipe.inpaint(clip, 0.04, 0.08, PROMPT, steps=2, seed=2)
        kept = [slice(0, round(0.04 * pipe.rate)), slice(round(0.08 * pipe.rate), None)]
        assert all((mended.samples[:, part] == clip.samples[:, part]).all() for part in kept)
        assert (mended.samples != clip.samples).any()
        longer = pipe.extend(clip, PROMPT, right=0.1, steps=2, seed=2)
        assert (longer.samples[:, : clip.samples.shape[1]] == clip.samples).all()
        assert longer.samples.shape[1] == round(0.24 * pipe.rate)
    looped = pipe.loop(PROMPT, bars=1, beats=1, bpm=400, steps=3, seed=2)
    assert looped.samples.shape[1] == round(60 / 400 * pipe.rate)


def test_a_loop_of_a_model_of_one_length_is_shown_going_round(checkpoints: Callable[[str], Path]) -> None:
    """Shorter than the model's length, it is repeated up to that; the network never sees an end of it."""
    pipe = mediagen.load(checkpoints("stable audio"))
    lengths = []
    call = pipe.model.denoiser.net.call
    pipe.model.denoiser.net.call = lambda net, x, t, cond: (lengths.append(x.shape[-1]), call(net, x, t, cond))[1]
    job = pipe.job(PROMPT, bars=1, beats=1, bpm=400, steps=2, seed=2, timing={"name": "Uniform"}, eta=0.0)
    assert job.grid[0] < tiny_sound.LATENTS / 3
    pipe.run(job)
    assert set(lengths) <= {tiny_sound.LATENTS, tiny_sound.LATENTS - 1}


@torch.no_grad()
def test_oobleck_in_chunks_is_the_whole() -> None:
    """Within 1e-4, in chunks far smaller than it sees; with a margin one latent smaller it is not."""
    from mediagen.autoencoders import tiling
    from mediagen.families._sound import oobleck

    coder, strides = tiny_sound.oobleck(3, downsampling_ratios=[2, 4, 2], channel_multiples=[1, 2, 2]), 16
    z = torch.randn(1, 4, 90, generator=drawn())
    whole = coder.decode(z).sample
    sound = torch.rand(1, 2, 90 * strides, generator=drawn()) - 0.5
    means = coder.encode(sound).latent_dist.mode()
    vae = oobleck(coder, chunk=17, piece=5)
    assert float((vae.decode(z) - whole).abs().max()) < 1e-4 * float(whole.abs().max())
    assert float((vae.encode(sound) - means).abs().max()) < 1e-4 * float(means.abs().max())
    short = tiling.decode_tiled(oobleck(coder, chunk=200), z, tile=7, margin=vae.reach // 4)
    assert float((short - whole).abs().max()) > 1e-4 * float(whole.abs().max())


@torch.no_grad()
def test_same_in_chunks_is_the_whole() -> None:
    """The autoencoder of Stable Audio 3, whose attention looks a window's width."""
    pytest.importorskip("diffusers.models.autoencoders.autoencoder_same")
    from mediagen.families._sound import same as chunked

    coder = tiny_sound.same(3)
    vae = chunked(coder, chunk=7)
    z = torch.randn(1, 4, 40, generator=drawn())
    whole = coder.decode(z).sample
    assert float((vae.decode(z) - whole).abs().max()) < 1e-4 * float(whole.abs().max())
    sound = torch.rand(1, 2, 40 * 16, generator=drawn()) - 0.5
    coded = coder.encode(sound).latents
    assert float((vae.encode(sound) - coded).abs().max()) < 1e-4 * float(coded.abs().max())


def test_mel_filters_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    from mediagen.families._sound import slaney

    other = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=64, fmin=0, fmax=8000)
    assert float((slaney(16_000, 1024, 64) - torch.from_numpy(other)).abs().max()) < 1e-7


@torch.no_grad()
def test_edits_of_mel_pictures(tmp_path: Path) -> None:
    """At the rate that AudioLDM was trained at, a clip becomes a picture, and what is kept of it stays."""
    published = {"sampling_rate": 16_000, "upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 8, 4, 4]}
    voice = published | {"upsample_initial_channel": 32}
    folder = tiny_sound.musicldm(tmp_path, scheduler("DDIMScheduler", **tiny_sound.DDIM), **voice)
    pipe = mediagen.load(folder)
    clip = clip_of(pipe, 0.5)
    mended = pipe.inpaint(clip, 0.1, 0.3, PROMPT, steps=2, seed=2)
    assert (mended.samples[:, :1600] == clip.samples[:, :1600]).all()
    assert (mended.samples[:, 4800:] == clip.samples[:, 4800:]).all()
    assert (mended.samples != clip.samples).any()
    with pytest.raises(ValueError, match="weights no words"):
        pipe.generate("a (red:1.3) cat", steps=2)
