"""What loading a published checkpoint gives, and what it says when it cannot."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file
from tiny import scheduler

import mediagen
from mediagen.conditioners.base import Conditioner

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("PNDMScheduler", **tiny.PNDM))


@pytest.fixture(scope="module")
def pipe(folder: Path):
    return mediagen.load(folder)


WAYS = [
    {"solver": "dpmpp_2m", "timing": {"name": "Karras"}},
    {"solver": "unipc", "method": "apg", "interval": (0.2, 0.9), "rescale": 0.5},
    {"method": "cfg_zero", "timing": {"name": "AlignYourSteps"}},
    {"regions": [("a red cat", (0, 0, 0.5, 1))], "negative": "the dog"},
    {"loop": (-1,), "solver": "euler", "eta": 1.0},
    {"window": 8, "reuse": 0.2},
    {"guidance": 1.0, "n": 2},
]


@pytest.mark.parametrize("options", WAYS, ids=[next(iter(way)) + f"{i}" for i, way in enumerate(WAYS)])
def test_the_loop_is_ours(pipe, options) -> None:
    """Solvers, timings, guidance and edits work as for the shipped models."""
    made = pipe.generate("a (red:1.4) dog", steps=2, seed=1, **options)
    assert all(picture.size == (16, 16) for picture in (made if isinstance(made, list) else [made]))


def test_vary_inpaint_and_replay(pipe, tmp_path: Path) -> None:
    first = pipe.generate("a cat", steps=2, seed=4)
    assert pipe.vary(first, "a dog", strength=0.5, steps=2, seed=4).sha256 != first.sha256
    half = torch.zeros(3, 16, 16).index_fill_(2, torch.arange(8, 16), 1.0)
    mask = type(first).from_tensor(half * 2 - 1)
    made = pipe.inpaint(first, mask, "a dog", steps=2, seed=4)
    assert (made.pixels[:, :8] == first.pixels[:, :8]).all() and made.sha256 != first.sha256
    first.save(tmp_path / "cat.png")
    again = mediagen.replay(tmp_path / "cat.png")
    assert again.equal and again.same_model


def test_noise_that_was_handed_in(pipe, tmp_path: Path) -> None:
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    one, two = pipe.generate("a cat", steps=2, n=2, noise=noise)
    again = pipe.generate("a cat", steps=2, noise=noise[:1])
    assert abs(again.pixels.astype(int) - one.pixels).max() <= 1 and one.sha256 != two.sha256
    one.save(tmp_path / "cat.png")
    with pytest.raises(ValueError, match="noise that was handed in"):
        mediagen.replay(tmp_path / "cat.png")
    with pytest.raises(ValueError, match=r"of the shape \(1, 4, 8, 8\), not \(2, 4, 8, 8\)"):
        pipe.generate("a cat", steps=2, noise=noise)
    with pytest.raises(ValueError, match="a generator can only start new media"):
        pipe.vary(one, "a cat", steps=2, noise=torch.Generator())


def test_the_words(pipe) -> None:
    """Weight 1 changes nothing, weight 0 says what an empty prompt says at that place."""
    text = pipe.model.text
    plain, same, without, empty = (text([p])["text"] for p in ("a red cat", "a (red:1) cat", "a (red:0) cat", ""))
    changed = (plain != without).any(-1)[0].nonzero().flatten().tolist()
    assert torch.equal(plain, same) and changed == [2] and torch.equal(without[0, 2], empty[0, 2])
    assert isinstance(text, Conditioner) and torch.equal(text.null(2)["text"], empty.repeat(2, 1, 1))
    with pytest.raises(ValueError, match="has 102 tokens, the limit is 77"):
        text(["cat " * 100])


def test_what_it_is_best_at_is_read_from_it(pipe, folder: Path) -> None:
    model = pipe.model
    assert model.size == (16, 16) and model.multiple == 2 and model.name == str(folder) and len(model.hash) == 16
    assert model.defaults["solver"] == "plms" and model.defaults["steps"] == 50 and model.defaults["guidance"] == 7.5
    media = torch.rand(1, 3, 16, 16) * 2 - 1
    assert model.autoencoder.encode(media).shape == (1, 4, 8, 8)


def test_another_network_has_another_hash(pipe, tmp_path: Path) -> None:
    other = tiny.sd(tmp_path, scheduler("PNDMScheduler", **tiny.PNDM), seed=9)
    assert mediagen.load(other).model.hash != pipe.model.hash


def test_half_precision(pipe, folder: Path) -> None:
    """Network and autoencoder in their own dtype, the state in float32: near what float32 gives."""
    half = mediagen.load(folder)
    half.model.denoiser.to(torch.bfloat16)
    half.model.autoencoder.vae.to(torch.bfloat16)
    one, two = (each.generate("a cat", steps=2, seed=0).pixels.astype(float) for each in (pipe, half))
    assert half.model.denoiser.dtype == torch.bfloat16 and 0 < abs(one - two).mean() < 0.1 * one.std() + 1


def broken(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "broken"))


def test_an_unknown_pipeline_class(folder: Path, tmp_path: Path) -> None:
    other = broken(folder, tmp_path)
    index = json.loads((other / "model_index.json").read_text()) | {"_class_name": "BlobPipeline"}
    (other / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        ValueError, match=r"BlobPipeline, which no family reads; supported: .*Flux.*model\(pipe, about\)"
    ):
        mediagen.load(other)


def test_a_missing_part(folder: Path, tmp_path: Path) -> None:
    other = broken(folder, tmp_path)
    shutil.rmtree(other / "vae")
    for read in (mediagen.load, mediagen.plan):
        with pytest.raises(ValueError, match="lacks its vae: there is no folder"):
            read(other)


def test_a_part_of_another_library(folder: Path, tmp_path: Path) -> None:
    other = broken(folder, tmp_path)
    index = json.loads((other / "model_index.json").read_text()) | {"vae": ["antigravity", "Vae"]}
    (other / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="wants its vae from 'antigravity': only"):
        mediagen.load(other)


def test_a_file_that_is_cut_short(folder: Path, tmp_path: Path) -> None:
    other = broken(folder, tmp_path)
    file = other / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"safetensors is cut short or damaged: it has \d+ bytes, not \d+"):
        mediagen.load(other)
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no safetensors file, or is cut short"):
        mediagen.load(other)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:19da\nsize 3438167540\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_clone_without_its_large_files(name: str, folder: Path, tmp_path: Path) -> None:
    """What `git clone` leaves without Git LFS is named in one line: weights of either kind, and single files."""
    other = broken(folder, tmp_path)
    said = r"^[^\n]*{} is a Git LFS pointer, not the file: run `git lfs pull`[^\n]*$"
    (other / "text_encoder" / "model.safetensors").unlink()
    (other / "text_encoder" / name).write_text(POINTER)
    with pytest.raises(ValueError, match=said.format(name)):
        mediagen.load(other, allow_pickles=True)
    (other / name).write_text(POINTER)
    with pytest.raises(ValueError, match=said.format(name)):
        mediagen.load(other / name)


def test_a_tokenizer_that_was_not_fetched(folder: Path, tmp_path: Path) -> None:
    other = broken(folder, tmp_path)
    for file in (other / "tokenizer").glob("*.json"):
        file.write_text(POINTER)
    (other / "scheduler" / "notes.txt").write_text("a file that nobody reads")
    for read in (mediagen.load, mediagen.plan):
        with pytest.raises(ValueError, match=r"^cannot [^\n]*\.json is a Git LFS pointer, not the file: [^\n]*$"):
            read(other)


def test_a_single_file_that_is_a_pickle(tmp_path: Path) -> None:
    torch.save({"blob": torch.zeros(2)}, tmp_path / "sd.ckpt")
    with pytest.raises(ValueError, match=r"sd\.ckpt is a pickle, which may run code as it is read: have it as \.safet"):
        mediagen.load(tmp_path / "sd.ckpt")


def test_weights_of_another_shape(folder: Path, tmp_path: Path) -> None:
    other = broken(folder, tmp_path)
    config = other / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"cross_attention_dim": 48}))
    with pytest.raises(ValueError, match=r"^cannot load the checkpoint [^\n]*$"):
        mediagen.load(other)


def test_an_absent_repository_offline() -> None:
    with pytest.raises(
        ValueError, match=r"^there is no folder nobody/nothing, and no such repository.*: it is not in the cache"
    ):
        mediagen.load("nobody/nothing")


def test_a_single_file_whose_configurations_are_not_there(tmp_path: Path) -> None:
    save_file({"blob": torch.zeros(2)}, tmp_path / "blob.safetensors")
    with pytest.raises(ValueError, match=r"those of no known checkpoint; put its model_index.json and folders beside"):
        mediagen.load(tmp_path / "blob.safetensors")
    save_file({"model.diffusion_model.out.2.bias": torch.zeros(2)}, tmp_path / "sd.safetensors")
    with pytest.raises(
        ValueError, match=r"^the configurations of stable-diff.* are needed, and no such.*: it is not in the cache"
    ):
        mediagen.load(tmp_path / "sd.safetensors")


@pytest.mark.parametrize(
    "plan, said",
    [
        (
            ("KDPM2DiscreteScheduler", tiny.TABLE),
            "the scheduler KDPM2DiscreteScheduler is not supported; put one of these",
        ),
        (("DDIMScheduler", tiny.TABLE | {"thresholding": True}), "thresholding=True is not supported, only with False"),
        (("DPMSolverMultistepScheduler", {"solver_order": 3}), "solver_order=3 is not supported, only with 2"),
    ],
)
def test_a_scheduler_that_no_rule_is_equal_to(plan, said: str, folder: Path, tmp_path: Path) -> None:
    other, (name, config) = broken(folder, tmp_path), plan
    scheduler(name, **config).save_pretrained(other / "scheduler")
    index = json.loads((other / "model_index.json").read_text()) | {"scheduler": ["diffusers", name]}
    (other / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=said):
        mediagen.load(other)


def test_a_model_that_is_told_its_guidance(tmp_path: Path) -> None:
    """It needs no second branch, has none for a negative prompt, and what it is told matters."""
    plan = scheduler("LCMScheduler", **tiny.LEADING)
    pipe = mediagen.load(tiny.sd(tmp_path, plan, time_cond_proj_dim=16))
    one, two = (pipe.generate("a cat", steps=1, seed=0, guidance=scale) for scale in (1.0, 8.0))
    assert one.sha256 != two.sha256
    with pytest.raises(ValueError, match="is told its guidance: it takes no negative prompt"):
        pipe.generate("a cat", steps=1, negative="a dog")


def test_layers_cannot_be_left_out_of_a_unet(pipe) -> None:
    with pytest.raises(ValueError, match="UNet2DConditionModel cannot skip layers"):
        pipe.generate("a cat", steps=1, skip_layers=(0,), skip_scale=1.0)


def test_the_example(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    script = Path(__file__).parents[2] / "examples" / "stable_diffusion.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(script), str(folder), "2"])
    runpy.run_path(str(script))
    assert "pixel for pixel: True" in capsys.readouterr().out and len(list(tmp_path.glob("*.png"))) == 6


def test_clips(tmp_path: Path) -> None:
    """A picture to begin with, prompts in time, windows and loops of a family whose latents are packed."""
    pipe = mediagen.load(tiny.ltx(tmp_path, scheduler("FlowMatchEulerDiscreteScheduler", **tiny.LTX)))
    grey = np.full((16, 16, 3), 200, np.uint8)
    begun = pipe.generate("a cat", seconds=9 / 25, size=16, steps=2, seed=1, first=grey)
    assert begun.frames.shape == (9, 16, 16, 3) and (begun.frames[0] == 200).all()
    timeline = [(0, "a cat"), (0.5, "a dog")]
    assert pipe.generate(timeline, seconds=1, size=16, steps=2, seed=1, window=0.36).count == 25
    assert pipe.loop("a cat", seconds=8 / 25, size=16, steps=2, seed=1).count == 8
    with pytest.raises(ValueError, match="the published schedule has no 1 steps: ask for more, or name another"):
        pipe.generate("a cat", seconds=5 / 25, size=16, steps=1)
    drawn = pipe.generate("a cat", seconds=5 / 25, size=16, steps=2, noise=torch.Generator().manual_seed(0))
    assert "Generator of the seed 0" in drawn.metadata
