"""Weights in fewer bits: equal to diffusers' pipelines with the same ones, whether made so while they are loaded, read
from a file in GGUF, or published so; and what a plan and an error say of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import scheduler

import mediagen
from mediagen.families import _quantized

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4"}
GRID = (1, 4, 8, 8)
FLUX = Path("transformer", "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux(tmp_path_factory.mktemp("flux"), scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))


def noise() -> torch.Tensor:
    return torch.randn(GRID, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def ours(pipe: Any) -> torch.Tensor:
    job = pipe.job("a red cat", size=16, steps=4, noise=tiny.as_ours(pipe, noise()))
    *_, last = pipe.walk(job, pipe.asked(job))
    return tiny.as_published(pipe, last.x)


def theirs(folder: Path, transformer: Any) -> torch.Tensor:
    pipe = diffusers.FluxPipeline.from_pretrained(folder, local_files_only=True, transformer=transformer)
    pipe.set_progress_bar_config(disable=True)
    asked = {"height": 16, "width": 16, "num_inference_steps": 4, "output_type": "latent"}
    made = pipe("a red cat", latents=pipe._pack_latents(noise(), *GRID), **asked).images
    return pipe._unpack_latents(made, 16, 16, pipe.vae_scale_factor)


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def whole_numbers(folder: Path) -> tuple[Any, dict[str, Any]]:
    """torchao's: (diffusers' transformer, how ours is loaded)."""
    config = pytest.importorskip("torchao.quantization").Int8WeightOnlyConfig()
    bits = diffusers.TorchAoConfig(config)
    kind = diffusers.FluxTransformer2DModel
    made = kind.from_pretrained(folder / "transformer", quantization_config=bits, torch_dtype=torch.float32)
    return made, {"quantize": "int8"}


def eighths(folder: Path) -> tuple[Any, dict[str, Any]]:
    made = diffusers.FluxTransformer2DModel.from_pretrained(folder / "transformer")
    made.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    return made, {"quantize": "fp8"}


def ggml(folder: Path) -> tuple[Any, dict[str, Any]]:
    file, bits = (
        tiny.gguf(folder / FLUX, folder / "flux.gguf"),
        diffusers.GGUFQuantizationConfig(compute_dtype=torch.float32),
    )
    options = {"quantization_config": bits, "config": str(folder / "transformer"), "torch_dtype": torch.float32}
    made = diffusers.FluxTransformer2DModel.from_single_file(str(file), **options)
    return made, {"parts": {"transformer": file}}


@pytest.mark.parametrize("way", [whole_numbers, eighths, ggml], ids=lambda way: way.__name__)
def test_as_diffusers_with_the_same_bits(way: Any, flux: Path) -> None:
    transformer, loading = way(flux)
    made, plain = ours(mediagen.load(flux, **loading)), ours(mediagen.load(flux))
    assert far(made, theirs(flux, transformer)) < 1e-5 and 1e-4 < far(made, plain) < 0.1


def test_a_checkpoint_that_was_published_in_fewer_bits(flux: Path, tmp_path: Path) -> None:
    """What was saved so needs nothing said when it is loaded; a plan counts its bytes."""
    transformer, loading = whole_numbers(flux)
    folder = Path(shutil.copytree(flux, tmp_path / "kept"))
    shutil.rmtree(folder / "transformer")
    transformer.save_pretrained(folder / "transformer")
    assert torch.equal(ours(mediagen.load(folder)), ours(mediagen.load(flux, **loading)))
    size = (folder / "transformer" / "diffusion_pytorch_model.safetensors").stat().st_size
    first, *others = mediagen.plan(folder, size=16).parts
    assert (first.kept, first.stored) == ("torchao", size) and {other.kept for other in others} == {None}


def published_as_nf4(flux: Path, folder: Path) -> Path:
    """Its configuration alone says so."""
    folder = Path(shutil.copytree(flux, folder))
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": NF4}))
    return folder


def test_a_plan_of_what_was_published_in_fewer_bits(flux: Path, tmp_path: Path) -> None:
    """Half a byte and a scale for every 64 weights, in whatever dtype the rest is; or as its index says."""
    folder = published_as_nf4(flux, tmp_path / "nf4")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    made, plain = mediagen.plan(folder, size=16), mediagen.plan(flux, size=16)
    [n] = [part.parameters for part in made.parts if part.name == "transformer"]
    for dtype, bits in (("float32", 32), ("bfloat16", 16), ("int8", 8), ("nf4", 4.5)):
        assert made.weights(dtype) == pytest.approx(plain.weights(dtype) + n * (4.5 - bits) / 8, abs=1)
    assert made.needs()["whole"] < plain.needs()["whole"] and made.needs()["model"] <= plain.needs()["model"]
    assert any(line.startswith("transformer (nf4)") for line in made.lines({}))
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 12_345}, "weight_map": {}}))
    assert mediagen.plan(folder, size=16).parts[0].stored == 12_345


def test_bits_whose_library_is_not_there(flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = published_as_nf4(flux, tmp_path / "nf4")
    found = _quantized.importlib.util.find_spec
    monkeypatch.setattr(_quantized.importlib.util, "find_spec", lambda n: None if n == "bitsandbytes" else found(n))
    said = r"^the weights of .*transformer are kept in nf4, which needs bitsandbytes: pip install bitsandbytes$"
    with pytest.raises(ValueError, match=said):
        mediagen.load(folder)
