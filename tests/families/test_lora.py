"""LoRA files of every writer, on published checkpoints and our own models: what diffusers and peft make of them."""

import json
from pathlib import Path
from typing import Any

import adapted
import pytest
import tiny
import tiny_all
import torch
from safetensors.torch import load_file, save_file

import mediagen
from mediagen.families import _lora

diffusers = pytest.importorskip("diffusers")
peft = pytest.importorskip("peft")

PROMPT, SIDE, STEPS = "a red cat of the dog", 2 * tiny.SAMPLE, 2
ENDS = ("to_q", "to_v", "to_out.0", "conv1", "proj_in", "ff.net.2")
ATTENTION = ("to_q", "to_v", "to_out.0")
TEXT = ("q_proj", "out_proj", "fc1")
KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te_text_model", "text_encoder_2": "lora_te2"}
BUILT = {
    "sd": lambda folder: tiny.sd(folder, tiny.scheduler("DDIMScheduler", **tiny.DDIM)),
    "sdxl": lambda folder: tiny.sdxl(folder, tiny.scheduler("EulerDiscreteScheduler", **tiny.LEADING)),
    "flux": lambda folder: tiny.flux(folder, tiny.scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX)),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory):
    made: dict[str, Any] = {}

    def model(name: str) -> Any:
        if name not in made:
            made[name] = mediagen.load(BUILT[name](tmp_path_factory.mktemp(name)))
        return made[name]

    return model


def noise(n: int = 1) -> torch.Tensor:
    return torch.randn(n, 4, tiny.SAMPLE, tiny.SAMPLE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def ours(pipe: Any, **options: Any) -> torch.Tensor:
    job = pipe.job(PROMPT, size=SIDE, steps=STEPS, noise=tiny.as_ours(pipe, noise()), **options)
    *_, last = pipe.walk(job, pipe.asked(job))
    return tiny.as_published(pipe, last.x)


def theirs(folder: str, files: dict[Path, float], fused: bool = False) -> torch.Tensor:
    absent = {"safety_checker": None} if "sd" in Path(folder).name and "xl" not in Path(folder).name else {}
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, **absent)
    pipe.set_progress_bar_config(disable=True)
    for number, file in enumerate(files):
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"a{number}")
    pipe.set_adapters([f"a{number}" for number in range(len(files))], list(files.values()))
    z = noise()
    flux = isinstance(pipe, diffusers.FluxPipeline)
    latents = pipe._pack_latents(z, *z.shape) if flux else z
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": STEPS}
    made = pipe(PROMPT, latents=latents, output_type="latent", **size).images
    return pipe._unpack_latents(made, SIDE, SIDE, pipe.vae_scale_factor) if flux else made


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).norm() / two.norm())


def parts_of(pipe: Any, seed: int, *, ends: tuple[str, ...] = ENDS) -> dict[str, adapted.Factors]:
    networks = pipe.model.adapts.parts
    return {k: adapted.factors(v, TEXT if "text" in k else ends, seed) for k, v in networks.items()}


@pytest.mark.parametrize("name", BUILT)
def test_two_at_once_as_diffusers(name: str, models: Any, tmp_path: Path) -> None:
    """Of the denoiser, in the formats of diffusers and kohya (Flux: diffusers), with weights; hot and fused."""
    pipe = models(name)
    main = next(iter(set(pipe.model.adapts.parts) & {"unet", "transformer"}))
    one, two = ({main: parts_of(pipe, seed)[main]} for seed in (1, 2))
    first = adapted.diffusers(one, tmp_path / "one.safetensors")
    second = tmp_path / "two.safetensors"
    second = adapted.diffusers(two, second) if name == "flux" else adapted.kohya(two, second, KOHYA)
    expected = theirs(pipe.model.name, {first: 0.7, second: -0.4})
    asked, plain = [(first, 0.7), (second, -0.4)], ours(pipe)
    assert far(ours(pipe, lora=asked), expected) < 1e-5 and far(plain, expected) > 1e-3
    assert torch.equal(ours(pipe), plain)
    before = pipe.job(PROMPT).requests[0]
    pipe.adapters.fuse(asked)
    fused, after = ours(pipe), pipe.job(PROMPT).requests[0]
    with pytest.raises(ValueError, match="fused after this job was made"):
        pipe.adapters.put(before)
    pipe.adapters.unfuse()
    assert far(fused, expected) < 1e-5 and [one.weight for one in after.lora] == [0.7, -0.4]
    assert torch.equal(ours(pipe), plain)


def test_text_encoders(models: Any, tmp_path: Path) -> None:
    """A file of kohya's with two text encoders: beside the layers it does what it does in their weights, and what was
    said before it was put on is not remembered."""
    pipe = models("sdxl")
    parts = parts_of(pipe, 5)
    file = adapted.kohya(parts, tmp_path / "all.safetensors", KOHYA)
    report = pipe.adapters.lora(file)
    assert not report.unmatched and report.texts and len(report.layers) == sum(map(len, parts.values()))
    plain, both = ours(pipe), ours(pipe, lora=file)
    unet = {"unet": parts["unet"]}
    alone = ours(pipe, lora=adapted.kohya(unet, tmp_path / "unet.safetensors", KOHYA))
    pipe.adapters.fuse(file)
    fused = ours(pipe)
    pipe.adapters.unfuse()
    assert far(both, fused) < 1e-5 and far(both, alone) > 1e-3 and far(both, plain) > 1e-3
    assert torch.equal(ours(pipe), plain)
    scale = report.layers[pipe.model.adapts.parts["text_encoder_2"].text_model.encoder.layers[0].mlp.fc1].scale
    assert scale == adapted.ALPHA / 4


@torch.no_grad()
def test_what_was_said_before_is_not_remembered(models: Any, tmp_path: Path) -> None:
    """The empty prompt is encoded once, and again when the text encoder has changed."""
    pipe = models("sd")
    found = {"text_encoder": parts_of(pipe, 8)["text_encoder"]}
    file = adapted.kohya(found, tmp_path / "words.safetensors", KOHYA)

    def nothing(**options: Any) -> torch.Tensor:
        return pipe.asked(pipe.job(PROMPT, **options)).null["text"]

    plain, hot, again = nothing(), nothing(lora=file), nothing()
    pipe.adapters.fuse(file)
    fused = nothing()
    pipe.adapters.unfuse()
    assert far(hot, plain) > 1e-3 and far(fused, hot) < 1e-5
    assert torch.equal(again, plain) and torch.equal(nothing(), plain)


def test_every_format_says_the_same(models: Any, tmp_path: Path) -> None:
    pipe = models("sd")
    found = adapted.factors(pipe.model.adapts.parts["unet"], ATTENTION, 7)
    plain = adapted.diffusers({"unet": found}, tmp_path / "diffusers.safetensors")
    settings = {"r": 4, "lora_alpha": 4}
    files = [
        adapted.old(found, tmp_path / "old.safetensors"),
        adapted.peft(found, tmp_path / "peft", **settings),
        adapted.peft(found, tmp_path / "patterns", lora_alpha=99, alpha_pattern={r"attn\d.*": 4}),
        adapted.peft(found, tmp_path / "root", lora_alpha=2, use_rslora=True),
    ]
    wanted = pipe.adapters.lora(plain).layers
    for file in files:
        report = pipe.adapters.lora(file)
        assert not report.unmatched and set(report.layers) == set(wanted)
        for layer, low in report.layers.items():
            assert torch.allclose(low.delta(), wanted[layer].delta(), atol=1e-6), file
    header = json.dumps({"unet.lora_alpha": 8, "unet.r": 4, "unet.alpha_pattern": {}})
    save_file(load_file(plain), tmp_path / "told.safetensors", {"lora_adapter_metadata": header})
    told = pipe.adapters.lora(tmp_path / "told.safetensors").layers
    assert all(low.scale == 2.0 for low in told.values())


def test_names_of_an_original_release(models: Any, tmp_path: Path) -> None:
    """SDXL's files of kohya name the blocks of the first release."""
    pipe = models("sdxl")
    unet = pipe.model.adapts.parts["unet"]
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    layer = unet.get_submodule(path)
    down, up = torch.randn(4, layer.in_features), torch.randn(layer.out_features, 4)
    name = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q"
    file = tmp_path / "sgm.safetensors"
    save_file(
        {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(1.0)}, file
    )
    report = pipe.adapters.lora(file)
    assert list(report.layers) == [layer] and not report.unmatched and report.layers[layer].scale == 0.25


KINDS = {
    "StableAudioDiTModel": {
        "sample_size": 8,
        "in_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 4,
        "num_key_value_attention_heads": 2,
        "num_attention_heads": 4,
        "out_channels": 4,
        "cross_attention_dim": 8,
        "time_proj_dim": 8,
        "global_states_input_dim": 8,
        "cross_attention_input_dim": 8,
    },
    "UNetSpatioTemporalConditionModel": {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "sample_size": 8,
        "in_channels": 8,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        "cross_attention_dim": 8,
        "num_attention_heads": (2, 4),
        "projection_class_embeddings_input_dim": 24,
        "addition_time_embed_dim": 8,
    },
}


def given(kind: str) -> dict[str, torch.Tensor]:
    if kind.startswith("Stable"):
        x, rotary = torch.randn(1, 4, 8), torch.randn(2, 9, 2)
        text, whole = torch.randn(1, 3, 8), torch.randn(1, 1, 8)
        told = {"encoder_hidden_states": text, "global_hidden_states": whole, "rotary_embedding": tuple(rotary)}
        return {"hidden_states": x, "timestep": torch.tensor([0.3]), **told}
    told = {"encoder_hidden_states": torch.randn(1, 1, 8), "added_time_ids": torch.rand(1, 3)}
    return {"sample": torch.randn(1, 3, 8, 8, 8), "timestep": torch.tensor(0.3), **told}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_networks_that_diffusers_has_no_loader_for(kind: str, tmp_path: Path) -> None:
    """A folder that peft wrote for the module does to it what peft's own does."""
    torch.manual_seed(0)
    net = tiny.redraw(getattr(diffusers, kind)(**KINDS[kind]), 1)
    plain, inputs = net, given(kind)
    before = plain(**inputs, return_dict=False)[0]
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["to_q", "to_v", "to_out.0"], init_lora_weights=False)
    wrapped = peft.get_peft_model(net, config)
    expected = wrapped(**inputs, return_dict=False)[0]
    wrapped.save_pretrained(tmp_path)
    net = wrapped.unload()
    found = _lora.read(tmp_path, {"transformer" if kind.startswith("Stable") else "unet": net})
    from mediagen.nn import lora

    with lora.attached(found.layers):
        assert far(net(**inputs, return_dict=False)[0], expected) < 1e-5 < 1e-3 < far(before, expected)
    assert not found.unmatched and torch.equal(net(**inputs, return_dict=False)[0], before)


def test_our_own_model(tmp_path: Path) -> None:
    """A LoRA on a model that ships, its replay, and one that is not there any more."""
    pipe = mediagen.load("mini-image")
    net = pipe.model.denoiser.net
    rows = adapted.factors(net, ("query", "out"), 3)
    assert len(rows) > 4
    file = adapted.peft(rows, tmp_path / "style", lora_alpha=4)
    plain, styled = (pipe.generate("a cat", steps=2, seed=0, lora=lora) for lora in (None, (file, 0.5)))
    assert plain.sha256 != styled.sha256 and pipe.generate("a cat", steps=2, seed=0).sha256 == plain.sha256
    styled.save(tmp_path / "cat.png")
    assert mediagen.replay(tmp_path / "cat.png").equal
    weights = file / "adapter_model.safetensors"
    state = load_file(weights)
    save_file({k: v * 2 for k, v in state.items()}, weights)
    with pytest.raises(ValueError, match="style has changed since: it is not what this was made with"):
        mediagen.replay(tmp_path / "cat.png")


def test_jobs_that_take_turns(models: Any, tmp_path: Path) -> None:
    """Two walks, step by step in turns, each with its own LoRA or none: each as it would be alone."""
    pipe = models("sd")
    file = adapted.diffusers(parts_of(pipe, 1), tmp_path / "one.safetensors")
    alone = [ours(pipe, lora=lora) for lora in (file, None)]
    with torch.no_grad():
        jobs = [pipe.job(PROMPT, size=SIDE, steps=STEPS, noise=noise(), lora=lora) for lora in (file, None)]
        walks = [pipe.walk(job, pipe.asked(job)) for job in jobs]
        *_, last = zip(*walks, strict=True)
    assert all(torch.equal(mine.x, other) for mine, other in zip(last, alone, strict=True))
    assert pipe.adapters._on == ((), ())


def test_what_cannot_be_used_is_said(models: Any, tmp_path: Path) -> None:
    pipe = models("sd")
    parts = parts_of(pipe, 1)
    file = adapted.diffusers(parts, tmp_path / "one.safetensors")
    state = load_file(file)
    save_file(
        state | {"unet.nothing.lora_A.weight": torch.zeros(4, 4), "blob": torch.zeros(1)}, tmp_path / "more.safetensors"
    )
    with pytest.warns(UserWarning, match="part of a LoRA fits the model .* nowhere: .*; unmatched: blob, unet.nothing"):
        report = pipe.adapters.lora(tmp_path / "more.safetensors")
    assert report.unmatched == ("blob", "unet.nothing.lora_A.weight") and len(report.matched) == len(state)
    bad = {
        "alien": ({"unet.nothing.lora_A.weight": torch.zeros(4, 4)}, "no key of the LoRA .* fits a layer"),
        "dora": (state | {"unet.conv_in.dora_scale": torch.zeros(1)}, "is no plain LoRA, it has dora_scale"),
        "wide": (
            {k: torch.cat((v, v), 1) if "lora_A" in k else v for k, v in state.items()},
            r"was made for another model: (unet|text_encoder)\..*: factors of the shapes .* do not fit a layer of",
        ),
    }
    for name, (tensors, said) in bad.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(ValueError, match=said):
            pipe.job(PROMPT, lora=tmp_path / f"{name}.safetensors")
    for lora, said in [
        (
            tmp_path / "none.safetensors",
            r"a LoRA must be a file, a folder or a repository, and there is no .*none.safetensors",
        ),
        (tmp_path, r"a LoRA is a .safetensors file, or a folder with one of them, and .* is not"),
        ("nobody/nothing", "a LoRA: there is no nobody/nothing, and no such repository can be fetched"),
        ((file, 99), "weight of lora must be a number from -10 to 10, not 99"),
        ([(file, "much")], "lora must be a path"),
    ]:
        with pytest.raises(ValueError, match=said):
            pipe.job(PROMPT, lora=lora)


@pytest.mark.slow
@pytest.mark.parametrize("name", tiny_all.EXAMPLES)
def test_every_family_takes_them(name: str, tmp_path: Path) -> None:
    """Layers of each of its networks are found by diffusers' names; those that no loader of diffusers is for, walk."""
    build, size = tiny_all.EXAMPLES[name]
    pipe = mediagen.load(build(tmp_path / "model"))
    found: dict[str, adapted.Factors] = {}
    for part, network in pipe.model.adapts.parts.items():
        names = [path for path, layer in network.named_modules() if type(layer) is torch.nn.Linear]
        found[part] = adapted.factors(network, tuple(names[len(names) // 2 :][:3]), 1)
    file = adapted.diffusers(found, tmp_path / "some.safetensors")
    report = pipe.adapters.lora(file)
    assert not report.unmatched and len(report.layers) == sum(map(len, found.values())) > 0
    if name == "Stable Audio Open":
        plain, changed, again = (
            pipe.generate(PROMPT, seed=1, steps=3, lora=lora, **size) for lora in (None, file, None)
        )
        assert plain.sha256 == again.sha256 != changed.sha256
