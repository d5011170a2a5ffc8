"""Control networks equal diffusers' own pipelines: one and several, with weights, in their part of the walk."""

import runpy
from functools import partial
from pathlib import Path
from typing import Any

import adapted
import pytest
import tiny
import tiny_clips
import torch
from controlled import PIPELINES, PROMPT, SIDE, drawn, far, network, ours, picture, theirs
from PIL import Image

import mediagen
from mediagen.conditioners import hints
from mediagen.generators.diffusion import Start

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("cv2")


@pytest.mark.parametrize("name", PIPELINES)
def test_two_in_their_parts_of_the_walk(name: str, controlled: Any) -> None:
    """Weights 0.7 in the first 60% and 1.3 from 25% on, with guidance, at two step counts."""
    pipe, nets = controlled(name)
    pictures = [picture(1), picture(2)]
    asked = [
        {"model": nets[0], "image": pictures[0], "weight": 0.7, "end": 0.6},
        {"model": nets[1], "image": pictures[1], "weight": 1.3, "start": 0.25},
    ]
    window = {"control_guidance_start": [0.0, 0.25], "control_guidance_end": [0.6, 1.0]}
    for steps in (3, 5):
        other = theirs(
            name, pipe.model.name, nets, steps, pictures=pictures, controlnet_conditioning_scale=[0.7, 1.3], **window
        )
        mine = ours(pipe, steps, control=asked, guidance=6.0)
        assert far(mine[0], other[0]) < 1e-5 and float((mine[1] - other[1]).abs().max()) < 1e-4
    plain = ours(pipe, steps, guidance=6.0)
    assert float(other[1].std()) > 0.02 and far(plain[0], other[0]) > 1e-2
    for change in ({"weight": 0.8}, {"end": 0.9}, {"image": pictures[1]}, {"model": nets[1]}, {"hint": "luminance"}):
        changed = ours(pipe, steps, control=[asked[0] | change, asked[1]], guidance=6.0)
        assert far(changed[0], other[0]) > 1e-3, change


def test_one_that_is_told_the_pooled_text(controlled: Any, tmp_path: Path) -> None:
    """SD3's networks come with pooled text and shifted latents, or with neither."""
    pipe, _ = controlled("sd3")
    net = drawn(tmp_path, "sd3", network(pipe), 13, bare=False)
    other = theirs("sd3", pipe.model.name, [net], 2, pictures=[picture(1)], controlnet_conditioning_scale=[0.6])
    mine = ours(pipe, 2, control=(net, picture(1), 0.6), guidance=6.0)
    assert far(mine[0], other[0]) < 1e-5 and float((mine[1] - other[1]).abs().max()) < 1e-4


def test_clips(tmp_path: Path) -> None:
    """AnimateDiff: the frames of a clip lead those of another, in the first 60% of a schedule whose steps overlap."""
    plan = tiny.scheduler("DDIMScheduler", **tiny_clips.ANIMATED, **tiny_clips.LINSPACE)
    folder = tiny_clips.animatediff(tmp_path / "clip", plan)
    sizes = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 4}
    sizes |= {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "cross_attention_dim": 32}
    net = tiny.redraw(diffusers.ControlNetModel(conditioning_embedding_out_channels=(8, 16), **sizes), 14)
    net.save_pretrained(tmp_path / "net")
    pipe, frames = mediagen.load(folder), [picture(number) for number in range(5)]
    z = torch.randn(1, 4, 5, tiny.SAMPLE, tiny.SAMPLE, generator=torch.Generator().manual_seed(3))
    parts = diffusers.AnimateDiffPipeline.from_pretrained(folder, local_files_only=True).components
    other = diffusers.AnimateDiffControlNetPipeline(**parts, controlnet=net)
    other.set_progress_bar_config(disable=True)
    size = {"height": SIDE, "width": SIDE, "num_frames": 5, "num_inference_steps": 5, "guidance_scale": 6.0}
    told = {"conditioning_frames": frames, "controlnet_conditioning_scale": 0.7, "control_guidance_end": 0.6}
    theirs = other(PROMPT, latents=z.clone(), output_type="latent", **size, **told).frames
    asked = {"model": tmp_path / "net", "image": frames, "weight": 0.7, "end": 0.6}
    options = {"size": SIDE, "seconds": 5 / pipe.rate, "steps": 5, "guidance": 6.0}
    made = []
    with torch.no_grad():
        for control in (asked, asked | {"end": 1.0}, asked | {"image": frames[0]}, None):
            job = pipe.job(PROMPT, noise=z, control=control, **options)
            *_, last = pipe.walk(job, pipe.asked(job))
            made.append(far(last.x, theirs))
    assert made[0] < 1e-5 and min(made[1:]) > 1e-3
    with pytest.raises(ValueError, match="what control is shown has 3 frames, the clip 5: give as many, or one"):
        job = pipe.job(PROMPT, control=asked | {"image": frames[:3]}, **options)
        pipe.asked(job)
    with pytest.raises(ValueError, match="control networks lead new clips"):
        pipe.job(PROMPT, control=asked, loop=True, size=SIDE)


def test_varied_as_published(controlled: Any) -> None:
    """A window is a part of the steps that are taken: diffusers' image to image of half the walk, with control."""
    pipe, nets = controlled("sd")
    network = diffusers.ControlNetModel.from_pretrained(nets[0], local_files_only=True)
    kind = diffusers.StableDiffusionControlNetImg2ImgPipeline
    other = kind.from_pretrained(pipe.model.name, controlnet=network, safety_checker=None, local_files_only=True)
    other.set_progress_bar_config(disable=True)
    known = torch.randn(1, 4, tiny.SAMPLE, tiny.SAMPLE, generator=torch.Generator().manual_seed(1))
    options = {"num_inference_steps": 8, "strength": 0.5, "guidance_scale": 6.0, "output_type": "latent"}
    options |= {"control_guidance_end": 0.5, "height": SIDE, "width": SIDE}
    spread = torch.Generator().manual_seed(11)
    theirs = other(PROMPT, image=known, control_image=picture(1), generator=spread, **options).images
    eps = torch.randn(known.shape, generator=torch.Generator().manual_seed(11))
    control = {"model": nets[0], "image": picture(1), "end": 0.5, "weight": 0.8}
    with torch.no_grad():
        job = pipe.job(PROMPT, size=SIDE, steps=8, guidance=6.0, noise=eps, control=control)
        *_, last = pipe.walk(job, pipe.asked(job), Start(known=known, strength=0.5))
    assert far(last.x, theirs) < 1e-5


def test_beside_everything_else(controlled: Any, tmp_path: Path) -> None:
    """Control and LoRA with solvers, guidance, edits and a batch: each works, and control changes it."""
    pipe, nets = controlled("sd")
    file = tmp_path / "lora.safetensors"
    adapted.diffusers({"unet": adapted.factors(pipe.model.adapts.parts["unet"], ("to_q", "to_v"), 1)}, file)
    first = pipe.generate("a cat", steps=1, seed=1)
    cover = first.from_tensor(torch.ones(3, SIDE, SIDE).index_fill_(2, torch.arange(SIDE // 2), -1.0))
    regions = [("a dog", (0.0, 0.0, 0.5, 1.0))]
    for how, options in [
        (pipe.generate, {"solver": "heun", "method": "apg", "rescale": 0.5, "n": 2, "regions": regions}),
        (partial(pipe.vary, first), {"strength": 0.5, "solver": "unipc", "negative": "a dog"}),
        (partial(pipe.inpaint, first, cover), {"reuse": 0.1, "interval": (0.2, 0.9)}),
        (pipe.generate, {"guidance": 1.0, "eta": 1.0, "solver": "euler"}),
    ]:
        both = [
            how("a cat", steps=3, seed=2, lora=file, control=control, **options) for control in ((nets[0], first), None)
        ]
        one, two = (made[0] if isinstance(made, list) else made for made in both)
        assert one.sha256 != two.sha256 and one.size == (SIDE, SIDE)


def test_windows_of_a_large_picture_see_their_own_part(controlled: Any) -> None:
    """A wide picture whose halves were shown the halves of a hint is what the halves are alone, far from the seam."""
    pipe, nets = controlled("sd")
    wide = Image.new("RGB", (2 * SIDE, SIDE))
    wide.paste(picture(1), (0, 0))
    wide.paste(picture(2), (SIDE, 0))
    z = torch.randn(1, 4, tiny.SAMPLE, 2 * tiny.SAMPLE, generator=torch.Generator().manual_seed(4))
    options = {"steps": 1, "guidance": 3.0}
    with torch.no_grad():
        job = pipe.job(PROMPT, size=(2 * SIDE, SIDE), noise=z, window=SIDE, control=(nets[0], wide), **options)
        *_, whole = pipe.walk(job, pipe.asked(job))
        half = pipe.job(PROMPT, size=SIDE, noise=z[..., : tiny.SAMPLE], control=(nets[0], picture(1)), **options)
        *_, left = pipe.walk(half, pipe.asked(half))
    edge = tiny.SAMPLE // 2
    assert torch.allclose(whole.x[..., :edge], left.x[..., :edge], atol=1e-5)


def test_a_picture_of_its_own_a_replay_and_a_batch(controlled: Any, tmp_path: Path) -> None:
    pipe, nets = controlled("sd")
    picture(5).resize((40, 24)).save(tmp_path / "room.png")
    asked = {"model": str(nets[0]), "image": tmp_path / "room.png", "hint": "canny", "weight": 0.9, "end": 0.5}
    one, two = pipe.generate(PROMPT, steps=2, seed=1, n=2, control=asked, negative="a dog")
    one.save(tmp_path / "one.png")
    again = mediagen.replay(tmp_path / "one.png")
    assert again.equal and again.request.control[0].hint == "canny" and one.sha256 != two.sha256
    picture(6).save(tmp_path / "room.png")
    with pytest.raises(ValueError, match=r"room.png has changed since"):
        mediagen.replay(tmp_path / "one.png")
    (tmp_path / "room.png").unlink()
    with pytest.raises(ValueError, match="the picture that was shown is not at"):
        mediagen.replay(tmp_path / "one.png")


def test_edges_and_brightness() -> None:
    step = -torch.ones(3, 16, 16)
    step[:, :, 8:] = 1
    edges = hints.canny(step)
    assert set(edges.unique().tolist()) == {-1.0, 1.0} and (edges[0] == edges[1]).all()
    columns = (edges[0] == 1).any(0).nonzero().flatten().tolist()
    assert columns and all(7 <= column <= 8 for column in columns) and (hints.canny(step * 0.01) == -1).all()
    colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]]).T.reshape(3, 2, 2)
    grey = (hints.luminance(colours)[0].flatten() + 1) / 2
    assert torch.allclose(grey, torch.tensor([0.299, 0.587, 0.114, 1.0]), atol=0.005)
    with pytest.raises(ValueError, match="unknown hint 'edges'; known: canny, luminance, depth:FOLDER"):
        hints.find("edges")
    with pytest.raises(ValueError, match="0 <= low <= high, not 200 and 100"):
        hints.canny(step, 200, 100)


def test_what_cannot_be_used_is_said(controlled: Any, tmp_path: Path) -> None:
    pipe, nets = controlled("sd")
    other = controlled("sdxl")[1][0]
    for asked, said in [
        ((tmp_path, picture(1)), "a control network is a folder with config.json and"),
        ((other, picture(1)), "made for another model: its cross_attention_dim is 64, not 32"),
        (("nobody/nothing", picture(1)), "no such repository can be fetched: it is not in the cache"),
        (
            {"model": nets[0]},
            r"control must be \(model, image\), or a mapping of model, image, hint, weight, start, end, mode, guess",
        ),
        ({"model": nets[0], "image": picture(1), "scale": 1}, "control has no 'scale'"),
        ({"model": nets[0], "image": picture(1), "start": 0.5, "end": 0.5}, "0 <= start < end <= 1, not 0.5 to 0.5"),
        ({"model": nets[0], "image": picture(1), "hint": "pose!"}, "unknown hint 'pose!'"),
    ]:
        with pytest.raises(ValueError, match=said):
            pipe.job(PROMPT, control=asked)
    with pytest.raises(ValueError, match="leave out control, or loop"):
        pipe.job(PROMPT, control=(nets[0], picture(1)), loop=(-1,))
    with pytest.raises(ValueError, match=r"a control network of this model is a folder with control.safetensors, and"):
        mediagen.load("mini-image").job(PROMPT, control=(nets[0], picture(1)))


def test_the_example(controlled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pipe, nets = controlled("sd")
    picture(7).save(tmp_path / "room.png")
    script = Path(__file__).parents[2] / "examples" / "control.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(script), pipe.model.name, str(nets[0]), "room.png", "2"])
    runpy.run_path(str(script))
    assert "pixel for pixel: True" in capsys.readouterr().out and len(list(tmp_path.glob("*.png"))) == 4
