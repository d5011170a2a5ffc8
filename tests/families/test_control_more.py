"""Control networks of single files, union networks, and networks that guess, equal diffusers' own pipelines."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from controlled import PROMPT, SIDE, drawn, far, network, noise, ours, picture, theirs
from safetensors.torch import load_file, save_file

from mediagen.families import _control

diffusers = pytest.importorskip("diffusers")
NAMES = {"in_layers.0": "norm1", "in_layers.2": "conv1", "out_layers.0": "norm2", "out_layers.3": "conv2"}
NAMES |= {"emb_layers.1": "time_emb_proj", "skip_connection": "conv_shortcut"}
UNITED = {"num_trans_channel": 16, "num_proj_channel": 16, "num_trans_head": 8, "num_control_type": 6}


def union(folder: Path, unet: Any, seed: int) -> Path:
    shape = dict(diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16)).config)
    shape.pop("mid_block_type")
    tiny.redraw(diffusers.ControlNetUnionModel.from_config(shape | UNITED), seed).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_networks_that_guess(name: str, controlled: Any) -> None:
    """With guidance: what it leads away from is not led, and fine levels are led less."""
    pipe, nets = controlled(name)
    asked = [{"model": net, "image": picture(i), "weight": 0.7, "guess": True} for i, net in enumerate(nets)]
    other = theirs(
        name,
        pipe.model.name,
        nets,
        pictures=[picture(0), picture(1)],
        controlnet_conditioning_scale=[0.7, 0.7],
        guess_mode=True,
    )
    mine = ours(pipe, control=asked, guidance=6.0)
    assert far(mine[0], other[0]) < 1e-5 and float((mine[1] - other[1]).abs().max()) < 1e-4
    plain = ours(pipe, control=[each | {"guess": False} for each in asked], guidance=6.0)
    assert far(plain[0], other[0]) > 1e-3
    negative = ours(pipe, control=asked, guidance=6.0, negative="a dog")
    assert far(negative[0], other[0]) > 1e-3


def test_rows_that_are_not_led_have_zeros() -> None:
    """Frames of a clip are rows of their own: as many belong to each sample. diffusers' AnimateDiff cannot guess."""
    value = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    whole = _control._spread(value, torch.tensor([False, True, True]))
    assert whole.shape == (9, 2, 3, 3) and torch.equal(whole[3:], value) and not whole[:3].any()
    faded = _control.fading({"down": (torch.ones(1), torch.ones(1)), "middle": (torch.ones(1),)})
    assert torch.allclose(torch.cat(faded["down"]), torch.tensor([0.1, 0.1**0.5])) and faded["middle"][0] == 1


def test_residuals_without_a_place(controlled: Any, tmp_path: Path) -> None:
    """A network whose residuals are means over the picture (shuffle) leads only what is asked for."""
    pipe, _ = controlled("sd")
    shape = dict(diffusers.ControlNetModel.from_unet(network(pipe), conditioning_embedding_out_channels=(8, 16)).config)
    net = diffusers.ControlNetModel.from_config(shape | {"global_pool_conditions": True})
    tiny.redraw(net, 13).save_pretrained(tmp_path)
    parts = diffusers.StableDiffusionPipeline.from_pretrained(pipe.model.name, safety_checker=None).components
    other = diffusers.StableDiffusionControlNetPipeline(**parts, controlnet=net)
    other.set_progress_bar_config(disable=True)
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": 3, "guidance_scale": 6.0, "latents": noise()}
    found = other(PROMPT, image=picture(1), controlnet_conditioning_scale=0.7, output_type="latent", **size).images
    assert far(ours(pipe, control=(tmp_path, picture(1), 0.7), guidance=6.0)[0], found) < 1e-5


def test_union_networks(controlled: Any, tmp_path: Path) -> None:
    """One and two of SDXL, each told what kind of picture it is shown."""
    pipe, plain = controlled("sdxl")
    nets = [union(tmp_path / f"{seed}", network(pipe), seed) for seed in (11, 12)]
    networks = [diffusers.ControlNetUnionModel.from_pretrained(net, local_files_only=True) for net in nets]
    parts = diffusers.StableDiffusionXLPipeline.from_pretrained(pipe.model.name, local_files_only=True).components
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": 3, "guidance_scale": 6.0, "output_type": "latent"}
    asked = [{"model": net, "image": picture(i), "weight": 0.7, "mode": 3 - i} for i, net in enumerate(nets)]
    for count in (1, 2):
        many = count == 2
        other = diffusers.StableDiffusionXLControlNetUnionPipeline(
            **parts, controlnet=networks if many else networks[0]
        )
        other.set_progress_bar_config(disable=True)
        told = {"control_image": [picture(0), picture(1)][:count], "control_mode": [3, 2][:count]}
        told["controlnet_conditioning_scale"] = [0.7, 0.7] if many else 0.7
        found = other(PROMPT, latents=noise(), **size, **told).images
        assert far(ours(pipe, control=asked[:count], guidance=6.0)[0], found) < 1e-5
    assert far(ours(pipe, control=[asked[0] | {"mode": 1}, asked[1]], guidance=6.0)[0], found) > 1e-3
    for mode in (None, 6, -1):
        with pytest.raises(ValueError, match=f"mode must say what it is shown, 0 to 5, not {mode}"):
            pipe.job(PROMPT, control=asked[0] | {"mode": mode})
    with pytest.raises(ValueError, match="is no union network: leave out mode"):
        pipe.job(PROMPT, control=asked[0] | {"model": plain[0]})


def test_a_union_network_of_flux(controlled: Any, tmp_path: Path) -> None:
    pipe, _ = controlled("flux")
    shape = dict(network(pipe).config) | {"num_mode": 4}
    net = tiny.redraw(diffusers.FluxControlNetModel.from_config(shape), 11)
    net.save_pretrained(tmp_path)
    parts = diffusers.FluxPipeline.from_pretrained(pipe.model.name, local_files_only=True).components
    other = diffusers.FluxControlNetPipeline(
        **{name: part for name, part in parts.items() if name not in ("image_encoder", "feature_extractor")},
        controlnet=net,
    )
    other.set_progress_bar_config(disable=True)
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": 3, "guidance_scale": 6.0, "output_type": "latent"}
    z, told = noise(), {"control_image": picture(1), "control_mode": 2, "controlnet_conditioning_scale": 0.7}
    found = other(PROMPT, latents=other._pack_latents(z, *z.shape), **size, **told).images
    found = other._unpack_latents(found, SIDE, SIDE, other.vae_scale_factor)
    asked = {"model": tmp_path, "image": picture(1), "weight": 0.7, "mode": 2}
    assert far(ours(pipe, control=asked, guidance=6.0)[0], found) < 1e-5
    assert far(ours(pipe, control=asked | {"mode": 1}, guidance=6.0)[0], found) > 1e-4
    with pytest.raises(ValueError, match="guess is for control networks of U-Nets"):
        pipe.job(PROMPT, control=asked | {"guess": True})


def test_single_files(controlled: Any, tmp_path: Path) -> None:
    """A file says by its keys what it holds, whatever its name."""
    for name, make in (("sd", drawn), ("sdxl", drawn), ("sdxl", union)):
        pipe, _ = controlled(name)
        args = (network(pipe), 11) if make is union else (name, network(pipe), 11)
        folder = make(tmp_path / f"{name}-{make.__name__}", *args)
        file = tmp_path / "lora.safetensors"
        save_file(load_file(folder / "diffusion_pytorch_model.safetensors"), file)
        asked = {"image": picture(1), "mode": 4 if make is union else None}
        config = (folder / "config.json").read_text()  # some call a union network so
        (folder / "config.json").write_text(config.replace("ControlNetUnionModel", "ControlNetModel"))
        one, two = (ours(pipe, 2, control=asked | {"model": place}) for place in (folder, file))
        assert torch.equal(one[0], two[0])


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_original_keys(name: str, controlled: Any, tmp_path: Path) -> None:
    pipe, _ = controlled(name)
    net = diffusers.ControlNetModel.from_unet(network(pipe), conditioning_embedding_out_channels=(8, 8, 16, 24))
    state = tiny.redraw(net, 5).state_dict()
    layers = net.config.layers_per_block
    for prefix in ("", "control_model."):
        file = tmp_path / f"file{len(prefix)}.safetensors"
        more = {"model.diffusion_model.out.0.weight": torch.zeros(2)} if prefix else {}
        save_file({prefix + original(key, layers): v.contiguous() for key, v in state.items()} | more, file)
        found = pipe.model.adapts.control(str(file)).network
        assert found.config.conditioning_embedding_out_channels == (8, 8, 16, 24)
        assert state.keys() == found.state_dict().keys()
        assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())


def original(key: str, layers: int) -> str:
    """A key of diffusers' control networks as the first ones had it."""
    head, _, part = key.rpartition(".")
    first = {"conv_in": "input_blocks.0.0", "controlnet_mid_block": "middle_block_out.0"}
    first |= {f"time_embedding.linear_{i + 1}": f"time_embed.{2 * i}" for i in range(2)}
    first |= {f"add_embedding.linear_{i + 1}": f"label_emb.0.{2 * i}" for i in range(2)}
    first |= {f"controlnet_cond_embedding.blocks.{i}": f"input_hint_block.{2 * i + 2}" for i in range(6)}
    first |= {"controlnet_cond_embedding.conv_in": "input_hint_block.0"}
    first |= {"controlnet_cond_embedding.conv_out": "input_hint_block.14"}
    if head in first:
        return f"{first[head]}.{part}"
    if found := re.fullmatch(r"controlnet_down_blocks\.(\d+)", head):
        return f"zero_convs.{found[1]}.0.{part}"
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", key):
        number = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{number}.{inner(found[3], found[1])}"
    level, kind, number, rest = re.match(r"down_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", key).groups()
    if kind == "downsamplers":
        return f"input_blocks.{(int(level) + 1) * (layers + 1)}.0.op.{part}"
    block = 1 + int(level) * (layers + 1) + int(number)
    return f"input_blocks.{block}.{int(kind == 'attentions')}.{inner(rest, kind)}"


def inner(rest: str, kind: str) -> str:
    for old, new in NAMES.items() if kind == "resnets" else ():
        rest = rest.replace(new, old)
    return rest


def test_files_that_are_none_are_said(controlled: Any, tmp_path: Path) -> None:
    (pipe, _), file = controlled("sd"), tmp_path / "file.safetensors"
    for keys, said in [
        (["lora_controlnet", "input_hint_block.0.weight"], "holds a Control-LoRA, and no control network"),
        (["lllite_unet_input_blocks_4.up.weight"], "holds a ControlNet-LLLite"),
        (["conv.weight"], "holds no control network: its keys are conv.weight"),
        (["input_hint_block.0.weight", "input_blocks.0.0.weight"], "is not whole: nothing in it becomes"),
    ]:
        save_file({key: torch.zeros(1) for key in keys}, file)
        with pytest.raises(ValueError, match=said):
            pipe.job(PROMPT, control=(file, picture(1)))
    other = controlled("sdxl")[1][0] / "diffusion_pytorch_model.safetensors"
    with pytest.raises(ValueError, match="made for another model: its cross_attention_dim is 64, not 32"):
        pipe.job(PROMPT, control=(other, picture(1)))
    (tmp_path / "cut.safetensors").write_bytes(other.read_bytes()[:4000])
    with pytest.raises(ValueError, match=r"cannot load the control network .*cut.safetensors"):
        pipe.job(PROMPT, control=(tmp_path / "cut.safetensors", picture(1)))
    lost = Path(shutil.copytree(controlled("sd")[1][0], tmp_path / "lost"))
    [weights] = lost.glob("*.safetensors")
    state = {name: value.clone() for name, value in load_file(weights).items() if not name.startswith("mid_block")}
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"the weights of the control network .*lost are not whole: they have no mid_b"
    ):
        pipe.job(PROMPT, control=(lost, picture(1)))
    with pytest.raises(ValueError, match="read from folders in diffusers' layout"):
        controlled("flux")[0].job(PROMPT, control=(other, picture(1)))
