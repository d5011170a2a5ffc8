"""Image prompts (IP-Adapter) equal diffusers', one and two, and leave the U-Net as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import mediagen

diffusers = pytest.importorskip("diffusers")

PROMPT, SIDE, WIDTH = "a red cat of the dog", 2 * tiny.SAMPLE, 24


def adapter(folder: Path, unet: Any, seed: int, *, plus: bool = False) -> Path:
    """A file and the folder of its image encoder."""
    from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    g, cross = torch.Generator().manual_seed(seed), unet.config.cross_attention_dim
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=WIDTH, **sizes)
    tiny.redraw(CLIPVisionModelWithProjection(config), seed).save_pretrained(folder / "image_encoder")
    if plus:
        made = IPAdapterPlusImageProjection(32, cross, 64, heads=1, num_queries=3)
        state = {k.replace("to_out.0", "to_out"): v for k, v in tiny.redraw(made, seed).state_dict().items()}
    else:
        made = tiny.redraw(ImageProjection(WIDTH, cross, 4), seed)
        state = {k.replace("image_embeds", "proj"): v for k, v in made.state_dict().items()}
    rows = {f"image_proj.{name}": value for name, value in state.items()}
    names = [name.removesuffix(".processor") for name in unet.attn_processors if "attn2" in name]
    for number, name in enumerate(names):
        out = unet.get_submodule(name).to_k.weight.shape[0]
        for kind in ("to_k_ip", "to_v_ip"):
            rows[f"ip_adapter.{2 * number + 1}.{kind}.weight"] = torch.randn(out, cross, generator=g) / cross**0.5
    save_file({name: value.contiguous() for name, value in rows.items()}, folder / "ip.safetensors")
    return folder / "ip.safetensors"


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8))


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """(pipeline, a plain adapter, one of the kind "plus")."""
    folder, build = tmp_path_factory.mktemp(request.param), getattr(tiny, request.param)
    pipe = mediagen.load(build(folder, tiny.scheduler("EulerDiscreteScheduler", **tiny.LEADING)))
    unet = pipe.model.adapts.parts["unet"]
    (folder / "plain").mkdir()
    (folder / "plus").mkdir()
    return pipe, adapter(folder / "plain", unet, 21), adapter(folder / "plus", unet, 22, plus=True)


def noise() -> torch.Tensor:
    return torch.randn(1, 4, tiny.SAMPLE, tiny.SAMPLE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def ours(pipe: Any, **options: Any) -> torch.Tensor:
    job = pipe.job(PROMPT, size=SIDE, steps=2, guidance=5.0, noise=noise(), **options)
    *_, last = pipe.walk(job, pipe.asked(job))
    return last.x


def theirs(folder: str, adapters: list[tuple[Path, float, Image.Image]]) -> torch.Tensor:
    from transformers import CLIPVisionModelWithProjection

    encoder = CLIPVisionModelWithProjection.from_pretrained(adapters[0][0].parent / "image_encoder")
    absent = {"safety_checker": None} if "xl" not in Path(folder).name else {}
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, image_encoder=encoder, **absent)
    pipe.set_progress_bar_config(disable=True)
    files = [file for file, _, _ in adapters]
    pipe.load_ip_adapter([str(f.parent) for f in files], subfolder="", weight_name=[f.name for f in files])
    pipe.set_ip_adapter_scale([weight for _, weight, _ in adapters])
    options = {"height": SIDE, "width": SIDE, "num_inference_steps": 2, "guidance_scale": 5.0}
    pictures = [each for _, _, each in adapters]
    return pipe(PROMPT, latents=noise(), output_type="latent", ip_adapter_image=pictures, **options).images


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).norm() / two.norm())


def test_as_diffusers(made: Any) -> None:
    """One, and two at once: those of both kinds with the encoder of the first, as diffusers has only one."""
    pipe, plain, plus = made
    before = ours(pipe)
    one, two = (
        (plain, picture(1), 0.7),
        {"adapter": plus, "image": picture(2), "encoder": plain.parent / "image_encoder"},
    )
    mine, other = ours(pipe, image_prompt=one), theirs(pipe.model.name, [(plain, 0.7, picture(1))])
    assert far(mine, other) < 1e-5 < 1e-3 < far(before, other)
    both = theirs(pipe.model.name, [(plain, 0.7, picture(1)), (plus, 1.0, picture(2))])
    assert far(ours(pipe, image_prompt=[one, two]), both) < 1e-5 < 1e-3 < far(mine, both)
    for change in ((plain, picture(1), 0.8), (plain, picture(3), 0.7)):
        assert far(ours(pipe, image_prompt=change), other) > 1e-4
    assert torch.equal(ours(pipe), before) and torch.equal(ours(pipe, image_prompt=one), mine)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [rows.pop(f"ip_adapter.1.to_{one}_ip.weight") for one in "kv"],
         r"model: it is for \d+ attentions, the model's U-Net has \d+"),
        (lambda rows: rows.update({"ip_adapter.3.to_v_ip.weight": torch.zeros(8, 9)}),
         r"model: its attention 1 is \[8, 9\], that of the model's U-Net \[\d+, \d+\]"),
        (lambda rows: rows.update({"image_proj.norm.weight": torch.ones(9)}),
         r"model: it tells 9 channels, the model's U-Net is told \d+"),
        (lambda rows: rows.update({"image_proj.proj.weight": torch.zeros(4, 7)}),
         rf"image encoder: it takes 7 channels, the encoder gives {WIDTH}"),
    ],
)  # fmt: skip
def test_what_was_made_for_another_model_is_refused_before_it_is_made(
    made: Any, tmp_path: Path, change: Any, said: str
) -> None:
    pipe, plain, _ = made
    rows = load_file(plain)
    change(rows)
    save_file(rows, tmp_path / "ip.safetensors")
    asked = {"adapter": tmp_path / "ip.safetensors", "image": picture(1), "encoder": plain.parent / "image_encoder"}
    with pytest.raises(ValueError, match=r"ip\.safetensors was made for another " + said):
        pipe.job(PROMPT, image_prompt=asked)


def test_a_replay_a_batch_and_what_is_refused(made: Any, tmp_path: Path) -> None:
    pipe, plain, _ = made
    picture(4).save(tmp_path / "style.png")
    asked = {"adapter": str(plain), "image": str(tmp_path / "style.png"), "weight": 0.5}
    one, two = pipe.generate(PROMPT, steps=1, seed=2, n=2, negative="a dog", image_prompt=asked)
    two.save(tmp_path / "two.png")
    assert mediagen.replay(tmp_path / "two.png").equal and one.sha256 != two.sha256
    with pytest.raises(ValueError, match=r"needs its image encoder: there is no folder .*/image_encoder"):
        save_file({"a": torch.zeros(1)}, tmp_path / "ip.safetensors")
        pipe.job(PROMPT, image_prompt=(tmp_path / "ip.safetensors", picture(1)))
    with pytest.raises(ValueError, match="is no IP-Adapter: it lacks image_proj or ip_adapter"):
        encoder = plain.parent / "image_encoder"
        pipe.job(PROMPT, image_prompt=asked | {"adapter": tmp_path / "ip.safetensors", "encoder": encoder})
    with pytest.raises(ValueError, match="the model mini-image takes no image prompts"):
        mediagen.load("mini-image").job(PROMPT, image_prompt=asked)
