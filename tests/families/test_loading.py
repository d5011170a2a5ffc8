"""dtype, device, offload, fewer bits, caches and parts from other files: the same results, or one clear line."""

import importlib.util
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny import scheduler

import mediagen
from mediagen.families import _hub, _loading, _quantized
from mediagen.families._placing import runs_on

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("accelerate")


UNCHECKED = {"safety_checker": None}


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("PNDMScheduler", **tiny.PNDM))


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux(tmp_path_factory.mktemp("flux"), scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))


def made(pipe: Any, steps: int = 4, **options: Any) -> np.ndarray:
    return pipe.generate("a red cat", size=16, steps=steps, seed=1, **options).pixels.astype(float)


@pytest.fixture(scope="module")
def plain(sd: Path, flux: Path) -> dict[str, np.ndarray]:
    return {"sd": made(mediagen.load(sd)), "flux": made(mediagen.load(flux))}


@pytest.mark.parametrize("family", ["sd", "flux"])
@pytest.mark.parametrize("way", _loading.OFFLOADS)
def test_offloading_changes_nothing(way: str, family: str, request: pytest.FixtureRequest, plain) -> None:
    """Its hooks run on the CPU too, where they are asked for by name."""
    pipe = mediagen.load(request.getfixturevalue(family), offload=way, device="cpu")
    assert np.abs(made(pipe) - plain[family]).max() <= 1
    coder = pipe.model.autoencoder.vae
    hooked = hasattr(coder, "_hf_hook") or any(hasattr(part, "_diffusers_hook") for part in coder.modules())
    assert hooked and runs_on(coder).type == "cpu"


def test_a_device_that_is_mapped(sd: Path, plain) -> None:
    assert (made(mediagen.load(sd, device_map="cpu")) == plain["sd"]).all()


def test_fewer_bits_by_diffusers_alone(sd: Path, plain) -> None:
    pipe = mediagen.load(sd, quantize="fp8")
    kinds = {p.dtype for p in pipe.model.denoiser.parameters()}
    assert torch.float8_e4m3fn in kinds and pipe.model.denoiser.dtype == torch.float32
    assert 0 < np.abs(made(pipe) - plain["sd"]).mean() < 0.2 * plain["sd"].std()
    assert pipe.model.hash == mediagen.load(sd).model.hash + "-fp8"


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs torchao")
def test_whole_numbers_of_eight_bits(sd: Path, plain) -> None:
    assert 0 < np.abs(made(mediagen.load(sd, quantize="int8")) - plain["sd"]).mean() < 0.05 * plain["sd"].std()


def test_a_library_that_is_not_there(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quantized.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"nf4 needs bitsandbytes: pip install bitsandbytes"):
        _quantized.needs("nf4")


def test_dtypes(sd: Path, plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "auto" is bfloat16 where the processor multiplies it; what was made says in which dtype."""
    half = mediagen.load(sd, dtype="bfloat16")
    assert half.model.denoiser.dtype == half.model.autoencoder.vae.dtype == torch.bfloat16
    assert half.model.hash.endswith("-bfloat16") and np.abs(made(half) - plain["sd"]).mean() < 0.1 * plain["sd"].std()
    for quick, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(_loading, "multiplies_bfloat16", lambda kind, quick=quick: quick)
        assert mediagen.load(sd, dtype="auto").model.denoiser.dtype == dtype


@pytest.mark.parametrize("cache", ["first_block", "taylorseer"])
def test_caches_forget_the_last_walk(cache: str, flux: Path) -> None:
    """Contexts are opened by the loop: in every task, and with branches beside one another (regions)."""
    pipe = mediagen.load(flux, cache=cache)
    regions = {"regions": [("a blue dog", (0, 0, 0.5, 1))]}
    first, other = made(pipe, 8), made(pipe, 8, **regions)
    assert (made(pipe, 8) == first).all() and (made(pipe, 8, **regions) == other).all() and (first != other).any()
    picture = pipe.generate("a cat", size=16, steps=2, seed=0)
    assert pipe.vary(picture, "a dog", strength=0.8, steps=4, seed=0).size == (16, 16)


CACHES = {
    "first block": lambda: diffusers.FirstBlockCacheConfig(threshold=0.6),
    "taylorseer": lambda: diffusers.TaylorSeerCacheConfig(cache_interval=3, disable_cache_before_step=2),
    "magcache": lambda: diffusers.MagCacheConfig(threshold=0.5, mag_ratios=[0.95] * 8, num_inference_steps=8),
}


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_spares_what_diffusers_spares(name: str, flux: Path) -> None:
    """Each gives the latents of diffusers' own pipeline with it, and others than without."""
    config, grid = CACHES[name](), (1, 4, 8, 8)
    z = torch.randn(grid, generator=torch.Generator().manual_seed(3))
    found = []
    for cache in (None, config):
        pipe = mediagen.load(flux, cache=cache)
        job = pipe.job("a cat", size=16, steps=8, noise=tiny.as_ours(pipe, z))
        with torch.no_grad():
            *_, last = pipe.walk(job, pipe.asked(job))
        found.append(tiny.as_published(pipe, last.x))
    other = diffusers.FluxPipeline.from_pretrained(flux, local_files_only=True)
    other.set_progress_bar_config(disable=True)
    other.transformer.enable_cache(config)
    packed = other._pack_latents(z, *grid)
    size = {"height": 16, "width": 16, "num_inference_steps": 8, "output_type": "latent"}
    theirs = other._unpack_latents(other("a cat", latents=packed, **size).images, 16, 16, other.vae_scale_factor)
    assert float((found[1] - theirs).norm() / theirs.norm()) < 1e-5
    assert float((found[0] - theirs).norm() / theirs.norm()) > 1e-3


def test_a_cache_that_was_measured_for_other_steps(flux: Path) -> None:
    pipe = mediagen.load(flux, cache=diffusers.MagCacheConfig(mag_ratios=[1.0] * 6, num_inference_steps=6))
    assert made(pipe, 6).std() > 1
    with pytest.raises(ValueError, match="the cache was made for 6 steps, not 4"):
        made(pipe, 4)


def test_attention_and_compiled_blocks(flux: Path, plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, *_, **__: module)
    asked: list[bool] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: asked.append(options["fullgraph"]))
    pipe = mediagen.load(flux, attention="native", compiled=True)
    assert asked and all(asked) and np.abs(made(pipe) - plain["flux"]).max() <= 1


def test_parts_from_elsewhere(sd: Path, tmp_path: Path, plain) -> None:
    """A folder or a module in a part's place; the checkpoint's own is not read, and the hash is another."""
    other = tiny.sd(tmp_path, scheduler("PNDMScheduler", **tiny.PNDM), seed=5)
    mixed = mediagen.load(sd, parts={"vae": other / "vae"})
    swapped = made(mixed)
    assert (swapped != plain["sd"]).any()
    given = mediagen.load(sd, parts={"vae": mediagen.load(other).model.autoencoder.vae})
    assert np.abs(made(given) - swapped).max() <= 1


def test_a_file_of_ggml(flux: Path, tmp_path: Path, plain) -> None:
    """Weights in 8 bits out of a GGUF file, in the place of the checkpoint's transformer."""
    file = tiny.gguf(flux / "transformer" / "diffusion_pytorch_model.safetensors", tmp_path / "flux.gguf")
    pipe = mediagen.load(flux, parts={"transformer": file})
    assert torch.uint8 in {p.dtype for p in pipe.model.denoiser.parameters()}
    assert pipe.model.denoiser.dtype == torch.float32 and pipe.model.hash != mediagen.load(flux).model.hash
    assert 0 < np.abs(made(pipe) - plain["flux"]).mean() < 0.1 * plain["flux"].std()


def test_files_of_a_variant(sd: Path, tmp_path: Path, plain) -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(sd, local_files_only=True, **UNCHECKED)
    pipe.save_pretrained(tmp_path, variant="fp16")
    assert (made(mediagen.load(tmp_path, variant="fp16")) == plain["sd"]).all()
    with pytest.raises(ValueError, match="weights of variants alone: say variant='fp16'"):
        mediagen.load(tmp_path)
    with pytest.raises(ValueError, match="weights of variants alone: say variant='fp16'"):
        mediagen.load(tmp_path, variant="fp1")


def half(sd: Path, folder: Path) -> Path:
    """Other weights of the U-Net beside the plain ones, by the names that large ones have: old and new."""
    folder = Path(shutil.copytree(sd, folder))
    state = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    state = {name: value.roll(1, 0) for name, value in state.items()}
    save_file(state, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    save_file(state, folder / "unet" / "diffusion_pytorch_model-00001-of-00001.non_ema.safetensors")
    return folder


def test_a_part_without_the_variant_is_plain(sd: Path, tmp_path: Path, plain) -> None:
    """As in diffusers; that no part has it is said, with those that are there, and was taken for plain once."""
    folder = half(sd, tmp_path / "half")
    pipe = mediagen.load(folder, variant="fp16")
    other = diffusers.DiffusionPipeline.from_pretrained(folder, variant="fp16", local_files_only=True, **UNCHECKED)
    own = pipe.model.denoiser.net.network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in other.unet.state_dict().items())
    assert (made(pipe) != plain["sd"]).any() and (made(mediagen.load(folder)) == plain["sd"]).all()
    assert pipe.model.hash != mediagen.load(folder).model.hash
    with pytest.raises(ValueError, match=r"has no weights of the variant 'fp32'; those it has are 'fp16', 'non_ema'$"):
        mediagen.load(folder, variant="fp32")
    with pytest.raises(ValueError, match=r"has no weights of the variant 'fp1'; all are plain: leave out variant$"):
        mediagen.load(sd, variant="fp1")


def test_a_repository_without_the_variant(monkeypatch: pytest.MonkeyPatch, sd: Path) -> None:
    """Which its list of files says; root files and what else is no weights are none of it."""
    import huggingface_hub

    names = ["model_index.json", "unet/model.fp16.safetensors", "whole_1.0.safetensors", "vae/config.fp8.json"]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: sd / "model_index.json")
    monkeypatch.setattr(_hub, "answers", lambda: True)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, name, revision: names)
    said = "You are trying to load model files of the `variant=bf16`, but no such modeling files are available. "

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError(said)

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", refuse)
    with pytest.raises(ValueError, match=r"^the checkpoint some/model has .* 'bf16'; those it has are 'fp16'$"):
        mediagen.load("some/model", variant="bf16")


def test_pickles_are_read_where_it_is_said(sd: Path, tmp_path: Path, plain) -> None:
    """And refused by one line where it is not, before any of them is opened."""
    folder = Path(shutil.copytree(sd, tmp_path / "pickled"))
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "pytorch_model")):
        [file] = (folder / part).glob("*.safetensors")
        torch.save(load_file(file), folder / part / f"{name}.bin")
        file.unlink()
    with pytest.raises(ValueError, match=r"^the weights of .* are pickles \(.bin\), [^\n]*or say allow_pickles=True$"):
        mediagen.load(folder)
    assert (made(mediagen.load(folder, allow_pickles=True)) == plain["sd"]).all()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    with pytest.raises(ValueError, match="cannot load the checkpoint"):
        mediagen.load(folder, allow_pickles=True)
    assert not (tmp_path / "ran").exists()


class Runs:
    """What writes a file when its pickle is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


REFUSED = [
    ({"blob": 1}, "load has no option 'blob'; known: dtype, device"),
    ({"dtype": "float64"}, "dtype is 'float64'; it must be one of float32, bfloat16, float16 or auto"),
    ({"dtype": "float16"}, "float16 is no dtype for the CPU: use bfloat16 or float32"),
    ({"device": "cuda:99"}, "there is no device cuda:99: this machine has cpu"),
    ({"device": "gpu"}, "device is 'gpu'; it must be such as cpu, cuda"),
    ({"offload": "some"}, "offload is 'some'; it must be one of model, group, sequential"),
    ({"offload": "model", "device_map": "balanced"}, "leave out device and offload, or device_map"),
    ({"quantize": "int3"}, "quantize is 'int3'; it must be one of int8"),
    ({"cache": "blob"}, "has no caches: leave out cache"),
    ({"attention": "blob"}, "attention is 'blob'; diffusers has"),
    ({"tile": 3}, "tile is 3; it must be a whole number of latents a side, 8 or more"),
    ({"revision": "main"}, "is a file or folder, which has no revisions: leave out revision"),
    ({"parts": {"blob": "x"}}, "it has no part 'blob'; its parts:.*unet"),
    ({"parts": {"unet": "nothing.gguf"}}, "there is no file nothing.gguf"),
]


@pytest.mark.parametrize("options, said", REFUSED, ids=[str(next(iter(options))) for options, _ in REFUSED])
def test_what_cannot_be(options: dict[str, Any], said: str, sd: Path) -> None:
    with pytest.raises(ValueError, match=said) as found:
        mediagen.load(sd, **options)
    assert "\n" not in str(found.value)


def test_offload_needs_a_device(sd: Path) -> None:
    if not torch.accelerator.is_available():
        with pytest.raises(ValueError, match="offload needs a device to bring parts to, and there is none"):
            mediagen.load(sd, offload="model")


def test_a_model_of_our_own() -> None:
    assert mediagen.load("mini-image", dtype="bfloat16").model.denoiser.dtype == torch.bfloat16
    with pytest.raises(
        ValueError, match="cache is for published checkpoints: a model of mediagen's own takes dtype, device"
    ):
        mediagen.load("mini-image", cache="first_block")


@pytest.mark.parametrize(
    "kind, said",
    [
        ("GatedRepoError", "it is gated: accept its terms on its page, then `hf auth login`"),
        ("RepositoryNotFoundError", "there is none of this name that is public"),
        ("LocalEntryNotFoundError", "it is not in the cache, and the network is off or does not answer"),
    ],
)
def test_a_repository_that_is_not_to_be_had(kind: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def refuse(repository: str, file: str, **options: Any) -> None:
        asked.update(options)
        raise type(kind, (Exception,), {})("403\nmore lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(ValueError, match=said) as found:
        mediagen.load("some/model", revision="v1")
    assert "\n" not in str(found.value) and asked["revision"] == "v1" and asked["local_files_only"]
