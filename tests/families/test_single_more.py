"""Single files of the families that people pass on so: the folder's own result, whatever of it the file holds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import single_more
import tiny
import torch
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import scheduler

import mediagen
from mediagen.families import _single

pytest.importorskip("diffusers")


def sd3(folder: Path) -> Path:
    """Its CLIP-L without a projection, as published."""
    made = tiny.sd3(folder, scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLOW), widths=(24, 40))
    file = next((made / "text_encoder").glob("*.safetensors"))
    save_file(load_file(file) | {"text_projection.weight": torch.eye(24)}, file, {"format": "pt"})
    return made


def sdxl(folder: Path) -> Path:
    return tiny.sdxl(folder, scheduler("EulerDiscreteScheduler", **tiny.LEADING), widths=(24, 40))


def flux(folder: Path) -> Path:
    return tiny.flux(folder, scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))


def ltx(folder: Path) -> Path:
    return tiny.ltx(folder, scheduler("FlowMatchEulerDiscreteScheduler", **tiny.LTX))


def wan(folder: Path) -> Path:
    return tiny.wan(folder, scheduler("UniPCMultistepScheduler", **tiny.FLOWING))


CLIP = {"size": 32, "seconds": 0.3}
CASES = {  # checkpoint, its file, the parts that the file holds, what is made
    "sdxl": (sdxl, single_more.sdxl, ("unet", "vae", "text_encoder", "text_encoder_2"), {}),
    "sd3": (sd3, single_more.sd3, ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"), {}),
    "flux": (flux, single_more.flux, ("transformer",), {}),
    "ltx": (ltx, single_more.ltx, ("transformer", "vae"), CLIP),
    "wan": (wan, single_more.wan, ("transformer",), CLIP),
}


def beside(folder: Path, place: Path, held: tuple[str, ...]) -> Path:
    """All of a checkpoint but the weights of these parts."""
    shutil.copytree(folder, place)
    for file in (file for part in held for file in (place / part).glob("*.safetensors")):
        file.unlink()
    return place


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "ltx", "wan"])
def test_a_file_is_its_folder(name: str, tmp_path: Path) -> None:
    build, of, held, size = CASES[name]
    folder = build(tmp_path / "whole")
    file = single_more.single(of, folder, beside(folder, tmp_path / "one", held) / "anything.safetensors")
    one, two = (mediagen.load(source).generate("a red cat", seed=3, steps=2, **size) for source in (folder, file))
    first, second = (made.frames if size else made.pixels for made in (one, two))
    assert (first == second).all() and first.std() > 0


def test_a_part_that_is_nowhere(tmp_path: Path) -> None:
    """In one line, with the part's name, what the file holds, and the two ways out, the second of which is taken."""
    folder = flux(tmp_path / "whole")
    place = beside(folder, tmp_path / "one", ("transformer", "text_encoder_2"))
    file = single_more.single(single_more.flux, folder, place / "flux.safetensors")
    said = r"^[^\n]*flux\.safetensors has no text_encoder_2[^\n]*holds transformer; put the weights into [^\n]*parts="
    with pytest.raises(ValueError, match=said):
        mediagen.load(file)
    one = mediagen.load(folder).generate("a red cat", seed=3, steps=2)
    given = mediagen.load(file, parts={"text_encoder_2": folder / "text_encoder_2"})
    assert (one.pixels == given.generate("a red cat", seed=3, steps=2).pixels).all()


def test_what_the_file_lacks_is_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its keys it is LTX-Video's, whose text encoder and configurations the repository has."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder, commit = ltx(tmp_path / "whole"), "0123456789abcdef0123456789abcdef01234567"
    there = tmp_path / "cache" / "models--diffusers--LTX-Video-0.9.0"
    beside(folder, there / "snapshots" / commit, ("transformer", "vae"))
    (there / "refs").mkdir()
    (there / "refs" / "main").write_text(commit)
    (tmp_path / "files").mkdir()
    file = single_more.single(single_more.ltx, folder, tmp_path / "files" / "ltx.safetensors")
    one, two = (mediagen.load(source).generate("a red cat", seed=3, steps=2, **CLIP) for source in (folder, file))
    assert (one.frames == two.frames).all()
    assert mediagen.plan(file).parameters == mediagen.plan(folder).parameters


def lost(weights: dict[str, Any], end: str) -> dict[str, Any]:
    return {key: value for key, value in weights.items() if not key.endswith(end)}


@pytest.mark.parametrize(
    ("name", "end", "said"),
    [
        ("wan", "blocks.0.ffn.0.weight", "has not all weights of its transformer"),
        ("sd3", "joint_blocks.0.x_block.attn.qkv.weight", "no weight 'joint_blocks.0.x_block.attn.qkv.weight', which"),
    ],
)
def test_a_weight_that_is_nowhere(name: str, end: str, said: str, tmp_path: Path) -> None:
    build, of, held, _ = CASES[name]
    folder = build(tmp_path / "whole")
    place = beside(folder, tmp_path / "one", held)
    file = single_more.single(lambda folder: lost(of(folder), end), folder, place / "anything.safetensors")
    with pytest.raises(ValueError, match=rf"^[^\n]*{said}[^\n]*$"):
        mediagen.load(file)


@pytest.mark.slow  # of the published width, which diffusers reads alone: 480 million weights, a file of 1 GB
@torch.no_grad()
def test_the_first_keys_of_flux(tmp_path: Path) -> None:
    """Two blocks of it, one of each kind: every weight comes back in its place, to the bit, and it walks."""
    from diffusers import FluxTransformer2DModel

    place = beside(flux(tmp_path / "flux"), tmp_path / "one", ("transformer",))
    about = place / "transformer" / "config.json"
    wide = {"num_attention_heads": 24, "attention_head_dim": 128, "axes_dims_rope": [16, 56, 56]}
    about.write_text(json.dumps(json.loads(about.read_text()) | wide))
    with torch.device("meta"):
        net = FluxTransformer2DModel.from_config(FluxTransformer2DModel.load_config(place / "transformer"))
    g, shapes = torch.Generator().manual_seed(0), {name: value.shape for name, value in net.state_dict().items()}
    weights = {
        name: torch.randn(shape, generator=g, dtype=torch.bfloat16).mul_(shape[-1] ** -0.5)
        for name, shape in shapes.items()
    }
    file = single_more.save(single_more.flux_first(weights), place / "flux.safetensors")
    try:
        with safe_open(file, "pt") as first:
            keys = list(first.keys())
        assert {key.split(".")[0] for key in keys} == FIRST and len(keys) < len(weights)
        pipe = mediagen.load(file, dtype="bfloat16")
        found = pipe.model.adapts.parts["transformer"].state_dict()
        assert set(found) == set(weights)
        assert all(torch.equal(found[name], value) for name, value in weights.items())
        assert pipe.generate("a red cat", seed=3, steps=1).pixels.std() > 0
    finally:
        file.unlink()


FIRST = {"double_blocks", "single_blocks", "final_layer", "img_in", "txt_in", "time_in", "vector_in", "guidance_in"}
BIG_G = "conditioner.embedders.{}.model.transformer.resblocks.9.mlp.c_proj.bias"
FLUX = {"double_blocks.0.img_attn.norm.key_norm.scale": (128,), "img_in.weight": (3072, 64)}
KEYS = {  # keys that tell, with the published shapes
    "stabilityai/stable-diffusion-xl-base-1.0": {BIG_G.format(1): (1280,)},
    "stabilityai/stable-diffusion-xl-refiner-1.0": {BIG_G.format(0): (1280,)},
    "stabilityai/stable-diffusion-3-medium-diffusers": {
        "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,),
        "model.diffusion_model.pos_embed": (1, 36864, 1536),
    },
    "stabilityai/stable-diffusion-3.5-large": {"joint_blocks.37.x_block.mlp.fc1.weight": (9728, 2432)},
    "black-forest-labs/FLUX.1-schnell": FLUX,
    "black-forest-labs/FLUX.1-dev": FLUX | {"guidance_in.in_layer.bias": (3072,)},
    "diffusers/LTX-Video-0.9.0": {"model.diffusion_model.patchify_proj.weight": (2048, 128)},
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": {
        "head.modulation": (1, 2, 1536),
        "patch_embedding.weight": (1536, 16, 1, 2, 2),
    },
    None: {"joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,), "pos_embed": (1, 7, 1536)},
}


@pytest.mark.parametrize("name", KEYS)
def test_what_goes_with_the_keys(name: str | None) -> None:
    assert _single.usual(KEYS[name]) == name
