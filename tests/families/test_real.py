"""What published checkpoints say of themselves (`real`), against what we make of it and against our tiny ones."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from real import REAL
from tiny_all import EXAMPLES

import mediagen
from mediagen.core import predict
from mediagen.families import published

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

SLOW = ("SDXL", "SD3", "Flux.1 schnell")  # some seconds each
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in REAL]
SD35_KEYS, SD35_BYTES = (1227, "41768d7382cef810"), 16_292_561_536  # of its transformer's index, and in 16 bits


@pytest.mark.parametrize("name", NAMES)
def test_as_it_says(name: str, tmp_path: Path) -> None:
    """Parameters, sizes, the longest prompt, how it is walked where nothing is said, and the time of the first step."""
    facts = REAL[name]
    model, parts, _ = published.outline(facts.folder(tmp_path))
    assert {part.name: part.parameters for part in parts} == facts.parameters
    assert (model.size, model.multiple) == (facts.size, facts.multiple)
    assert max(span.length for span in model.text.spans) == facts.limit
    says = {k: v for k, v in facts.says.items() if k in model.defaults}
    assert says == {k: model.defaults[k] for k in says} and model.denoiser.row == predict.find(facts.says["prediction"])
    begins = model.schedule(model.defaults["steps"], (64, 64)).times[0]
    t = begins if isinstance(begins, float) else begins[0]
    alpha, sigma = model.denoiser.path(t)
    assert alpha == pytest.approx(facts.says["alpha"], abs=1e-4)
    assert model.denoiser.clock(t, alpha, sigma) == pytest.approx(facts.says["told"], rel=1e-4)


@pytest.mark.slow
def test_the_names_of_weights(tmp_path: Path) -> None:
    """Those of Stable Diffusion 3.5, and their bytes, which settings that are not in its files follow from."""
    model, _, _ = published.outline(REAL["SD3"].folder(tmp_path))
    weights = model.denoiser.net.network.state_dict()
    assert (len(weights), hashlib.sha256("\n".join(sorted(weights)).encode()).hexdigest()[:16]) == SD35_KEYS
    assert 2 * sum(value.numel() for value in weights.values()) == SD35_BYTES


@pytest.mark.slow
def test_a_plan_of_stable_audio(tmp_path: Path) -> None:
    """Its length, which is published as 1024.0 latents, is that of 2 ** 21 samples."""
    made = mediagen.plan(REAL["Stable Audio Open"].folder(tmp_path))
    assert made.asked == "47.5545 s, latents 64x1024" and made.batch == 2
    assert made.step.flops == pytest.approx(4.54e12, rel=0.01) and made.needs()["whole"] > made.weights("bfloat16")


def walked(name: str) -> dict[str, Any]:
    """All settings of a published scheduler, those of its class that are not said included."""
    said = REAL[name].settings["scheduler"]
    made = getattr(diffusers, said["_class_name"]).from_config({k: v for k, v in said.items() if k[0] != "_"})
    return {"_class_name": type(made).__name__} | {k: v for k, v in made.config.items() if k[0] != "_"}


@pytest.mark.parametrize("name", REAL)
def test_tiny_ones_are_walked_as_the_real_ones(name: str) -> None:
    """The same scheduler with the same settings, as far as its class knows them."""
    _, plan, settings, _ = EXAMPLES[name][0].args
    made, real = getattr(diffusers, plan)(**settings), walked(name)
    assert real.pop("_class_name") == plan
    known = {k: v for k, v in real.items() if k in made.config}
    if not real.get("use_dynamic_shifting", True):  # which only the size of a picture turns on
        known = {k: v for k, v in known.items() if not k.endswith(("_shift", "_seq_len"))}
    assert known == {k: made.config[k] for k in known}


EXTRA = ("model.onnx", "model.onnx_data", "openvino_model.bin", "openvino_model.xml", "diffusion_pytorch_model.bin")
EXTRA += ("model.fp16.safetensors", "diffusion_pytorch_model.fp16.safetensors", "flax_model.msgpack")
CHECKED = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
CHECKED |= {"feature_extractor": ["transformers", "CLIPFeatureExtractor"]}


def test_what_else_lies_in_published_folders(tmp_path: Path) -> None:
    """Other kinds and variants of the weights, whole files beside the folders, and parts that nobody needs, whose
    classes may be gone: none of them is read."""
    plain = tiny.sd(tmp_path / "plain", tiny.scheduler("PNDMScheduler", **tiny.PNDM))
    other = Path(shutil.copytree(plain, tmp_path / "other"))
    for part in ("unet", "vae", "text_encoder", "safety_checker", "vae_1_0"):
        (other / part).mkdir(exist_ok=True)
        for name in EXTRA:
            (other / part / name).write_bytes(b"none of ours")
    for name in ("v1-5-pruned.ckpt", "v1-5-pruned.safetensors"):
        (other / name).write_bytes(b"none of ours")
    index = json.loads((other / "model_index.json").read_text()) | CHECKED
    (other / "model_index.json").write_text(json.dumps(index))
    made = [mediagen.load(folder).generate("a cat", size=16, steps=2, seed=0) for folder in (plain, other)]
    assert made[0].sha256 == made[1].sha256
    assert mediagen.plan(other, size=16).parameters == mediagen.plan(plain, size=16).parameters
