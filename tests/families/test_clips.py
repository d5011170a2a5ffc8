"""Published checkpoints of video through our loop give what diffusers' own pipelines give, from the same noise.

Latents within 1e-5 relative, decoded frames within 1e-4 of 0 .. 1, at two step counts. A generator is drawn from in the
published order: what a picture is noised by first, then the clip in the layout it was published in.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_clips
import torch
from PIL import Image
from tiny import scheduler
from tiny_image import renamed

import mediagen

diffusers = pytest.importorskip("diffusers")
wan_i2v = pytest.importorskip("diffusers.pipelines.wan.pipeline_wan_i2v")

PROMPT, SIDE, FRAMES = 'a red cat of the "dog"', 16, 9


@dataclass(frozen=True, kw_only=True)
class Case:
    """build, plan: of the checkpoint. layout: plain latents [B, C, F, h, w] <-> those of the published pipeline.
    picture: whether a clip begins with one. words: whether it reads any. ours, theirs: what else each is told.
    later: latents that the published pipeline puts in their places after its last step, where it is not seen. cut:
    frames that it leaves out at the beginning."""

    build: Callable[..., Path]
    plan: Callable[[], Any]
    layout: tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]
    picture: bool = False
    words: bool = True
    steps: tuple[int, ...] = (2, 5)
    frames: int = FRAMES
    later: int = 0
    cut: int = 0
    ours: tuple[tuple[str, Any], ...] = ()
    theirs: tuple[tuple[str, Any], ...] = ()


def picture(seed: int = 5) -> Image.Image:
    pixels = torch.randint(0, 256, (SIDE, SIDE, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(pixels.to(torch.uint8).numpy())


def swapped(z: torch.Tensor) -> torch.Tensor:
    return z.transpose(1, 2)


def paired(z: torch.Tensor) -> torch.Tensor:
    """[B, 2 C, F, h, w] -> [B, 2 F, C, h, w]."""
    return z.unflatten(1, (2, -1)).permute(0, 3, 1, 2, 4, 5).flatten(1, 2)


def unpaired(z: torch.Tensor) -> torch.Tensor:
    return z.unflatten(1, (-1, 2)).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def plan(name: str, **config: Any) -> Callable[[], Any]:
    return partial(scheduler, name, **config)


def same(z: torch.Tensor) -> torch.Tensor:
    return z


FIRST, SAME = (swapped, swapped), (same, same)
COG, COG_I2V = tiny_clips.cogvideox, partial(tiny_clips.cogvideox, picture=True)
COG_DDIM = plan("CogVideoXDDIMScheduler", **tiny_clips.COGVIDEOX)
COG_DPM = plan("CogVideoXDPMScheduler", **tiny_clips.COGVIDEOX_5B)

WAN = plan("UniPCMultistepScheduler", **tiny_clips.WAN)
MULTISTEP = {name: value for name, value in tiny_clips.ANIMATED.items() if name != "clip_sample"}
TABLE = tiny_clips.SVD | {"use_karras_sigmas": False}
flow = partial(plan, "FlowMatchEulerDiscreteScheduler")

CASES = {
    "cogvideox": Case(build=COG, plan=COG_DDIM, layout=FIRST, steps=(2, 7)),
    "cogvideox, dpm": Case(build=COG, plan=COG_DPM, layout=FIRST),
    "cogvideox 1.5": Case(build=partial(COG, paired=True), plan=COG_DPM, layout=(paired, unpaired), steps=(3,)),
    "cogvideox, picture": Case(build=COG_I2V, plan=COG_DPM, layout=FIRST, picture=True),
    "cogvideox 1.5, picture": Case(
        build=partial(COG_I2V, paired=True), plan=COG_DDIM, layout=(paired, unpaired), picture=True, steps=(3,)
    ),
    "hunyuan video": Case(build=tiny_clips.hunyuan_video, plan=flow(**tiny_clips.HUNYUAN), layout=SAME),
    "hunyuan video, picture": Case(
        build=tiny_clips.hunyuan_video_i2v,
        plan=flow(**tiny_clips.HUNYUAN),
        layout=SAME,
        picture=True,
        ours=(("guidance", 6.0),),
        theirs=(("guidance_scale", 6.0),),
    ),
    "hunyuan video, picture beside": Case(
        build=partial(tiny_clips.hunyuan_video_i2v, beside=True),
        plan=flow(**tiny_clips.HUNYUAN),
        layout=SAME,
        picture=True,
        cut=4,
        ours=(("guidance", 3.0), ("negative", "a dog")),
        theirs=(("true_cfg_scale", 3.0), ("negative_prompt", "a dog")),
    ),
    "hunyuan video 1.5": Case(
        build=tiny_clips.hunyuan_video15, plan=flow(**tiny_clips.HUNYUAN), layout=SAME, steps=(2,)
    ),
    "hunyuan video 1.5, picture": Case(
        build=partial(tiny_clips.hunyuan_video15, picture=True),
        plan=flow(**tiny_clips.HUNYUAN),
        layout=SAME,
        picture=True,
        steps=(2, 5),
    ),
    "mochi": Case(build=tiny_clips.mochi, plan=flow(**tiny_clips.MOCHI), layout=SAME, frames=7),
    "wan, picture": Case(build=tiny_clips.wan_i2v, plan=WAN, layout=SAME, picture=True),
    "wan, two pictures": Case(
        build=partial(tiny_clips.wan_i2v, looks=2),
        plan=WAN,
        layout=SAME,
        picture=True,
        ours=(("last", picture(6)),),
        theirs=(("last_image", picture(6)),),
        steps=(3,),
    ),
    "wan 2.2, picture": Case(
        build=partial(tiny_clips.wan_i2v, looks=0, experts=2),
        plan=WAN,
        layout=SAME,
        picture=True,
        ours=(("guidance_2", 2.0),),
        theirs=(("guidance_scale_2", 2.0),),
    ),
    "wan 5b, picture": Case(
        build=partial(tiny_clips.wan_i2v, looks=0, told=4), plan=WAN, layout=SAME, picture=True, steps=(3,), later=1
    ),
    "svd": Case(
        build=tiny_clips.svd,
        plan=plan("EulerDiscreteScheduler", **tiny_clips.SVD),
        layout=FIRST,
        picture=True,
        words=False,
        steps=(5, 8),  # in two, diffusers' own state of 700 sigma loses 3e-5 to rounding
        ours=(("motion", 127 / 255),),
    ),
    "animatediff": Case(
        build=tiny_clips.animatediff,
        plan=plan("DDIMScheduler", **tiny_clips.ANIMATED, **tiny_clips.LINSPACE),
        layout=SAME,
        steps=(2, 7),
    ),
}


TRAILING = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TRAILING |= {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
EDM = {"sigma_min": 0.002, "sigma_max": 700.0, "sigma_data": 1.0, "prediction_type": "v_prediction"}
MOVING = Case(build=tiny_clips.animatediff, plan=COG_DDIM, layout=SAME)
LOOKING = Case(build=tiny_clips.wan_i2v, plan=WAN, layout=SAME, picture=True)
MORE = {
    "animatediff, euler": replace(MOVING, plan=plan("EulerDiscreteScheduler", **MULTISTEP)),
    "animatediff, dpm": replace(MOVING, plan=plan("DPMSolverMultistepScheduler", **MULTISTEP)),
    "wan, picture, euler": replace(LOOKING, plan=flow(num_train_timesteps=1000, shift=5.0)),
    "wan, picture, dpm": replace(LOOKING, plan=plan("DPMSolverMultistepScheduler", **tiny_clips.WAN)),
    "hunyuan video, unipc": replace(CASES["hunyuan video"], plan=plan("UniPCMultistepScheduler", **tiny_clips.WAN)),
    "hunyuan video, karras": replace(CASES["hunyuan video"], plan=flow(**tiny_clips.HUNYUAN, use_karras_sigmas=True)),
    "hunyuan video 1.5, unipc": replace(
        CASES["hunyuan video 1.5"], plan=plan("UniPCMultistepScheduler", **tiny_clips.WAN)
    ),
    "hunyuan video 1.5, exponential": replace(
        CASES["hunyuan video 1.5"], plan=flow(**tiny_clips.HUNYUAN, use_exponential_sigmas=True)
    ),
    "cogvideox, 30 steps": replace(CASES["cogvideox"], steps=(30,)),
    "cogvideox, dpm++": replace(CASES["cogvideox"], plan=plan("DPMSolverMultistepScheduler", **TRAILING), steps=(2, 5)),
    "cogvideox, unipc": replace(CASES["cogvideox"], plan=plan("UniPCMultistepScheduler", **TRAILING), steps=(2, 5)),
    "svd, edm": replace(CASES["svd"], plan=plan("EDMEulerScheduler", **EDM)),
    "svd, edm dpm": replace(CASES["svd"], plan=plan("EDMDPMSolverMultistepScheduler", **EDM)),
    "svd, table": replace(CASES["svd"], plan=plan("EulerDiscreteScheduler", **TABLE)),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """name of a case -> its folder, built once."""
    made: dict[str, Path] = {}

    def checkpoint(name: str) -> Path:
        if name not in made:
            case = (CASES | MORE)[name]
            made[name] = case.build(tmp_path_factory.mktemp("checkpoint"), case.plan())
        return made[name]

    return checkpoint


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def theirs(case: Case, folder: Path, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(latents in our layout, frames [B, 3, F, H, W] in 0 .. 1) by diffusers' own pipeline."""
    pipe = tiny.published(folder)
    seen = {}

    def keep(_: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.update(given)
        return given

    wan_i2v.__dict__.setdefault("ftfy", SimpleNamespace(fix_text=str))  # which it does not ask for
    pipe.check_inputs = lambda *_, **__: None  # some want sides of multiples that no tiny autoencoder has
    given = {"height": SIDE, "width": SIDE, "num_frames": case.frames, "num_inference_steps": steps}
    given |= dict(case.theirs) | ({"prompt": PROMPT} if case.words else {})
    given |= {"image": picture()} if case.picture else {}
    asked = inspect.signature(pipe.__call__).parameters
    given = {name: value for name, value in given.items() if name in asked} | options
    if "callback_on_step_end" in asked:
        made = pipe(**given, generator=drawn(), output_type="pt", callback_on_step_end=keep).frames
    else:
        seen["latents"] = pipe(**given, generator=drawn(), output_type="latent").frames
        made = pipe(**given, generator=drawn(), output_type="pt").frames
    return case.layout[1](seen["latents"]), made.transpose(1, 2)


def job_of(case: Case, pipe: Any, steps: int, **options: Any) -> Any:
    given = {"first": picture()} if case.picture else {}
    size = {"size": SIDE, "seconds": case.frames / pipe.rate}
    return pipe.job(PROMPT if case.words else "", steps=steps, **size, **given, **dict(case.ours), **options)


@torch.no_grad()
def ours(case: Case, pipe: Any, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    job = job_of(case, pipe, steps, **options)
    *_, last = pipe.walk(job, pipe.asked(job), pipe.start(job))
    return last.x, (pipe.decode(last.x) / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("name", CASES)
def test_as_published(name: str, checkpoints: Callable[[str], Path]) -> None:
    check(CASES[name], checkpoints(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_as_published_with_other_schedulers(name: str, checkpoints: Callable[[str], Path]) -> None:
    check(MORE[name], checkpoints(name))


def check(case: Case, folder: Path) -> None:
    pipe = mediagen.load(folder)
    for steps in case.steps:
        mine, other = ours(case, pipe, steps, noise=drawn()), theirs(case, folder, steps)
        same_made((mine[0][:, :, case.later :], mine[1][:, :, case.cut :]), (other[0][:, :, case.later :], other[1]))


def same_made(mine: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert float((mine[0] - other[0]).norm() / other[0].norm()) < 1e-5
    assert float((mine[1] - other[1]).abs().max()) < 1e-4 and float(other[1].std()) > 0.02


def test_ltx_begins_with_a_picture(tmp_path: Path) -> None:
    """It stays at t = 0. The published pipeline draws its latents, ours take their mean: both are given the mean."""
    folder = renamed(tiny.ltx(tmp_path, flow(**tiny.LTX)()), "LTXImageToVideoPipeline")
    pipe, case = mediagen.load(folder), Case(build=tiny.ltx, plan=WAN, layout=SAME, picture=True)
    eps = torch.randn(1, 4, 3, SIDE // 4, SIDE // 4, generator=drawn())
    first = pipe.encode(job_of(case, pipe, 2, seed=1).known[:, :, :1])
    begun = torch.cat((first, eps[:, :, 1:]), 2).flatten(2).transpose(1, 2)
    unpack = replace(case, layout=(same, unpacked))
    for steps in (2, 5):
        same_made(ours(case, pipe, steps, noise=eps), theirs(unpack, folder, steps, latents=begun))


def test_later_ltx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another schedule, and other places of its positions. A picture's latents are drawn by the published pipeline, and
    noised at each step: both are switched off."""
    folder = renamed(tiny.ltx(tmp_path, flow(num_train_timesteps=1000, shift=1.0)()), "LTXConditionPipeline")
    coder = json.loads((folder / "vae" / "config.json").read_text())  # it forgets the scale where it codes a picture
    (folder / "vae" / "config.json").write_text(json.dumps(coder | {"scaling_factor": 1.0}))
    pipe, case = mediagen.load(folder), Case(build=tiny.ltx, plan=WAN, layout=(same, unpacked))
    for steps in (2, 5):
        same_made(ours(case, pipe, steps, noise=drawn()), theirs(case, folder, steps))
    published = "diffusers.pipelines.ltx.pipeline_ltx_condition.retrieve_latents"
    monkeypatch.setattr(published, lambda coded, generator=None: coded.latent_dist.mode())
    case = replace(case, picture=True)
    same_made(ours(case, pipe, 3, noise=drawn()), theirs(case, folder, 3, image_cond_noise_scale=0.0))


def unpacked(z: torch.Tensor) -> torch.Tensor:
    return z.transpose(1, 2).unflatten(2, (3, SIDE // 4, SIDE // 4))


@pytest.fixture(scope="module")
def ltx2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ltx2")
    return tiny_clips.ltx2(folder, scheduler("FlowMatchEulerDiscreteScheduler", **tiny.LTX))


LENGTH = {"seconds": FRAMES / 24, "size": SIDE, "skip_layers": (0,)}


@torch.no_grad()
def sounding(pipe: Any, kind: str, folder: Path, steps: int, **options: Any) -> None:
    """The same clip and sound as the published pipeline of this class makes. options: what both are told."""
    other = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True)
    other.set_progress_bar_config(disable=True)
    other.check_inputs = lambda *_, **__: None
    size = {"height": SIDE, "width": SIDE, "num_frames": FRAMES, "frame_rate": 24.0, "num_inference_steps": steps}
    given = {"first": "image", "rescale": "guidance_rescale"}
    size |= {given[name]: value for name, value in options.items()} | {"spatio_temporal_guidance_blocks": [0]}
    size |= {"image_crf": 0, "audio_guidance_rescale": 0.0} if "first" in options else {}
    latents = other(prompt=PROMPT, **size, generator=drawn(), output_type="latent")
    theirs = other(prompt=PROMPT, **size, generator=drawn(), output_type="pt")
    job = pipe.job(PROMPT, steps=steps, noise=drawn(), **LENGTH, **options)
    *_, last = pipe.walk(job, pipe.asked(job), pipe.start(job))
    clip, sound = pipe.model.spec.parted(last.x)
    stats = [getattr(other.vae, name).view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std")]
    raw = sound * other.audio_vae.latents_std + other.audio_vae.latents_mean
    heard = latents.audio.transpose(1, 2).flatten(2)
    for mine, published in ((clip * stats[1] + stats[0], latents.frames), (raw, heard)):
        assert float((mine - published).norm() / published.norm()) < 1e-5
    pixels = (pipe.decode(last.x) / 2 + 0.5).clamp(0, 1)
    assert float((pixels - theirs.frames.transpose(1, 2)).abs().max()) < 1e-4 and float(pixels.std()) > 0.02
    [played] = pipe.model.hears(last.x)
    assert float((torch.from_numpy(played.samples) - theirs.audio[0].clamp(-1, 1)).abs().max()) < 1e-4
    assert float(theirs.audio.std()) > 1e-3


def test_ltx2_makes_a_clip_with_its_sound(ltx2: Path) -> None:
    """Two modalities in one walk, guided each in its own way."""
    pipe = mediagen.load(ltx2)
    for steps in (2, 5):
        sounding(pipe, "LTX2Pipeline", ltx2, steps)
    matter(pipe, pipe.job(PROMPT, steps=2, seed=1, **LENGTH), {"text", "sound_text", "text_mask"})


def test_ltx2_begins_with_a_picture(ltx2: Path) -> None:
    """Without rescaled guidance: theirs counts what is predicted where the picture is, and then thrown away."""
    pipe = mediagen.load(ltx2)
    sounding(pipe, "LTX2ImageToVideoPipeline", ltx2, 3, first=picture(), rescale=0.0)
    made = pipe.generate(PROMPT, steps=2, seed=1, first=picture(), **LENGTH)
    assert made.sound.seconds == pytest.approx(made.seconds, abs=0.06) and made.count == FRAMES
    assert pipe.generate(PROMPT, steps=2, seed=1, sound=False, **LENGTH).sound is None
    with pytest.raises(ValueError, match="at once"):
        pipe.generate(PROMPT, steps=2, window=0.1, **LENGTH)
    with pytest.raises(ValueError, match="weights no words"):
        pipe.generate("a (cat:1.3)", steps=2, **LENGTH)
    with pytest.raises(ValueError, match="at once"):
        pipe.live(PROMPT, size=SIDE)


def test_what_a_model_of_pictures_refuses(checkpoints: Callable[[str], Path]) -> None:
    pipe = mediagen.load(checkpoints("svd"))
    with pytest.raises(ValueError, match="from a picture: give first"):
        pipe.job("", size=SIDE)
    with pytest.raises(ValueError, match="from a picture: give first"):
        pipe.live("", size=SIDE)
    with pytest.raises(ValueError, match="reads no words"):
        pipe.check(pipe.job("a cat", size=SIDE, first=picture()))
    with pytest.raises(ValueError, match="loop"):
        pipe.job("", size=SIDE, first=picture(), loop=True)
    clip = pipe.generate("", size=SIDE, first=picture(), steps=2, seed=1, seconds=4 / pipe.rate)
    assert (
        clip.count == 4
        and (clip.frames[0] == torch.tensor(list(picture().getdata())).view(SIDE, SIDE, 3).numpy()).all()
    )
    with pytest.raises(ValueError, match="the first frame that it sees must stay"):
        pipe.job("", start=clip, left=0.5)
    longer = pipe.live("", size=SIDE, first=picture(), steps=2, seed=1, window=4 / pipe.rate, seconds=6 / pipe.rate)
    assert sum(part.count for part in longer) == 6
    with pytest.raises(ValueError, match="motion"):
        pipe.job("", size=SIDE, first=picture(), motion=2.0)
    for name in ("hunyuan video, picture", "wan, picture"):  # what is shown at t = 0, and beside the noise
        pipe = mediagen.load(checkpoints(name))
        with pytest.raises(ValueError, match="a loop has no first frame: leave out first, or loop"):
            pipe.job(PROMPT, size=SIDE, first=picture(), loop=True)
    with pytest.raises(ValueError, match=r"weights no words: leave the weights out of 'a \(cat:1.2\)'"):
        mediagen.load(checkpoints("hunyuan video, picture")).live("a (cat:1.2)", size=SIDE, first=picture())


def test_hunyuan_goes_on_from_a_picture(checkpoints: Callable[[str], Path]) -> None:
    """Each window begins with frames that stay; a stream, whose words are read with the picture, is the same."""
    pipe = mediagen.load(checkpoints("hunyuan video, picture"))
    about = {"size": SIDE, "first": picture(), "steps": 1, "seed": 1, "window": 9 / 24, "seconds": 14 / 24}
    clip, parts = pipe.generate(PROMPT, **about), [*pipe.live(PROMPT, **about)]
    assert clip.count == 14 and [part.count for part in parts] == [9, 4, 1]
    assert (clip.frames[:9] == parts[0].frames).all() and (
        clip.frames[0] == torch.tensor(list(picture().getdata())).view(SIDE, SIDE, 3).numpy()
    ).all()
    with pytest.raises(ValueError, match="the window is 1 frames; those of a clip that goes on must be 5 or more"):
        pipe.job(PROMPT, **about | {"window": 1 / 24})
    with pytest.raises(ValueError, match="the window is 1 frames"):
        pipe.live(PROMPT, **about | {"window": 1 / 24})


CONDITIONS = {
    "cogvideox": {"text"},
    "svd": {"image", "latents", "ids"},
    "animatediff": {"text"},
    "hunyuan video": {"text", "text_mask", "pooled", "scale"},
    "hunyuan video, picture": {"text", "text_mask", "pooled", "scale"},
    "hunyuan video, picture beside": {"text", "text_mask", "pooled", "shown"},
    "hunyuan video 1.5, picture": {"text", "text_mask", "quoted", "quoted_mask", "shown", "image"},
    "mochi": {"text", "text_mask"},
    "wan, two pictures": {"text", "shown", "image"},
    "cogvideox 1.5, picture": {"text", "image"},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_condition_matters(name: str, checkpoints: Callable[[str], Path]) -> None:
    pipe, case = mediagen.load(checkpoints(name)), CASES[name]
    matter(pipe, job_of(case, pipe, 2, seed=1), CONDITIONS[name])


@torch.no_grad()
def matter(pipe: Any, job: Any, expected: set[str]) -> None:
    """What the network is told changes what is made, far above the tolerance of the tests above."""
    asked = replace(pipe.asked(job), told=None)
    [(cond, _)] = asked.prompts
    assert set(cond) == expected
    *_, plain = pipe.walk(job, asked)
    for told, value in cond.items():
        changed = value.roll(1, -1) + 0.5
        if told.endswith("_mask"):  # every other place is turned over
            changed = (value == 0) ^ (torch.arange(value.shape[-1]) % 2 == 0)
        asked.prompts[0] = (cond | {told: changed.to(value.dtype)}, 1.0)
        *_, other = pipe.walk(job, asked)
        assert float((other.x - plain.x).norm() / plain.x.norm()) > 1e-3, told
