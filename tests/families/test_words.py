"""Learned words (textual inversion) mean what diffusers makes of them, and nothing where they are not asked for."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_image
import torch
from safetensors.torch import load_file, save_file

import mediagen

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory):
    made: dict[str, Any] = {}
    builds = {"sd": tiny.sd, "sdxl": tiny.sdxl, "refiner": tiny_image.sdxl_refiner}

    def model(name: str) -> Any:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = mediagen.load(builds[name](folder, tiny.scheduler("DDIMScheduler", **tiny.DDIM)))
        return made[name]

    return model


def vectors(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 32, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def said(pipe: Any, prompt: str, **options: Any) -> dict[str, torch.Tensor]:
    job = pipe.job(prompt, steps=1, seed=0, **options)
    pipe.check(job)
    return pipe.asked(job).prompts[0][0]


@torch.no_grad()
def theirs(pipe: Any, prompt: str, *files: tuple[Path, str, int]) -> dict[str, torch.Tensor]:
    """files: (file, word, number of the text encoder). With published configurations diffusers takes the highest token
    for the end of a text, so that what is pooled is said by the last learned one: here it is told where the end is."""
    xl = "text_encoder_2" in pipe.model.adapts.parts
    absent = {} if xl else {"safety_checker": None}
    other = diffusers.DiffusionPipeline.from_pretrained(pipe.model.name, local_files_only=True, **absent)
    for file, word, number in files:
        end = "_2" if number == 2 else ""
        parts = {"tokenizer": getattr(other, f"tokenizer{end}"), "text_encoder": getattr(other, f"text_encoder{end}")}
        state = load_file(file)
        wanted = next(iter(state.values())) if len(state) == 1 else state[("clip_l", "clip_g")[number - 1]]
        other.load_textual_inversion({word: wanted}, token=word, **parts)
    if not xl:
        return {"text": other.encode_prompt(prompt, "cpu", 1, False)[0]}
    for part in (*other.text_encoder.modules(), *other.text_encoder_2.modules()):
        if getattr(part, "eos_token_id", None) == 2:
            part.eos_token_id = other.tokenizer.eos_token_id
    text, _, pooled, _ = other.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
    return {"text": text, "pooled": pooled}


def test_files_of_diffusers_and_a1111(models: Any, tmp_path: Path) -> None:
    """One vector and three, by the word of the file, its name, or a word of one's own."""
    pipe = models("sd")
    one, three = tmp_path / "one.safetensors", tmp_path / "three.safetensors"
    save_file({"<style>": vectors(1, 1)[0]}, one)
    save_file({"emb_params": vectors(3, 2)}, three)
    prompt = "a <style> cat of three"
    expected = theirs(pipe, prompt, (one, "<style>", 1), (three, "three", 1))["text"]
    mine = said(pipe, prompt, words=[one, three])["text"]
    assert torch.allclose(mine, expected, atol=1e-5)
    own = said(pipe, "a sks cat of it", words={"sks": one, "it": three})["text"]
    assert torch.allclose(own, expected, atol=1e-5)
    away = said(pipe, "a cat", negative="three", words=[three], guidance=1.0)["text"]  # where it is not read
    assert torch.equal(away, said(pipe, "a cat")["text"])
    without = said(pipe, prompt)["text"]
    fresh = mediagen.load(pipe.model.name)
    assert torch.equal(without, said(fresh, prompt)["text"]) and (without - mine).abs().max() > 0.1


def test_two_text_encoders(models: Any, tmp_path: Path) -> None:
    pipe, file = models("sdxl"), tmp_path / "both.safetensors"
    save_file({"clip_l": vectors(2, 3), "clip_g": vectors(2, 4)}, file)
    prompt = "a red both cat"
    expected = theirs(pipe, prompt, (file, "both", 1), (file, "both", 2))
    mine = said(pipe, prompt, words=file)
    for name, value in expected.items():
        assert torch.allclose(mine[name], value, atol=1e-5), name
    assert (said(pipe, prompt)["pooled"] - mine["pooled"]).abs().max() > 1e-2


def test_a_refiner_reads_its_own_half(models: Any, tmp_path: Path) -> None:
    """It has the second text encoder alone; as one model with its base it learns the word too."""
    file, alone, other = (tmp_path / f"{name}.safetensors" for name in ("both", "alone", "other"))
    save_file({"clip_l": vectors(2, 3), "clip_g": vectors(2, 4)}, file)
    save_file({"clip_g": vectors(2, 4)}, alone)
    save_file({"clip_l": vectors(2, 3)}, other)
    base, refiner = models("sdxl"), models("refiner")
    mine = said(refiner, "a red both cat", words=file)
    of_one = said(refiner, "a red sks cat", words={"sks": alone})
    assert all(torch.equal(mine[name], of_one[name]) for name in mine)
    assert (mine["text"] - said(refiner, "a red both cat")["text"]).abs().max() > 0.1
    shared = said(mediagen.ensemble(base, refiner), "a red both cat", words=file)
    assert torch.equal(shared["1.text"], mine["text"])
    assert torch.equal(shared["0.text"], said(base, "a red both cat", words=file)["text"])
    with pytest.raises(ValueError, match=r"has clip_l; the model needs one entry, of its one text encoder \(clip_g\)$"):
        refiner.job("other", words=other)


@pytest.mark.parametrize(
    ("model", "entries", "said"),
    [
        ("sd", "clip_g clip_l", r"the model needs one entry, of its one text encoder \(clip_l\): .* made for SDXL$"),
        ("sd", "clip_g", r"the model needs one entry, of its one text encoder \(clip_l\)$"),
        ("sd", "a b", "has a, b; the model needs one entry"),
        ("sdxl", "emb_params", "has emb_params; the model needs clip_l and clip_g$"),
        ("sdxl", "clip_l", "has clip_l; the model needs clip_l and clip_g$"),
        ("sdxl", "clip_g clip_l t5xxl", "has clip_g, clip_l, t5xxl; the model needs clip_l and clip_g$"),
    ],
)
def test_half_of_a_word_is_refused(models: Any, tmp_path: Path, model: str, entries: str, said: str) -> None:
    """A file for other text encoders than the model has, whose widths fit all the same."""
    save_file({name: vectors(2, 7) for name in entries.split()}, tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match=said):
        models(model).job("half", words=tmp_path / "half.safetensors")


def test_a_learned_word_has_a_weight(models: Any, tmp_path: Path) -> None:
    """All tokens of a word are weighted, and only they."""
    pipe, file = models("sd"), tmp_path / "style.safetensors"
    save_file({"emb_params": vectors(2, 5)}, file)
    plain, zero = (said(pipe, prompt, words=file)["text"] for prompt in ("a style cat", "a (style:0) cat"))
    assert (plain != zero).any(-1)[0].nonzero().flatten().tolist() == [2, 3]
    assert torch.allclose(zero[0, 2:4], pipe.model.text.null(1)["text"][0, 2:4])


def test_a_replay_and_what_is_refused(models: Any, tmp_path: Path) -> None:
    pipe, file = models("sd"), tmp_path / "style.safetensors"
    save_file({"emb_params": vectors(2, 6)}, file)
    made = pipe.generate("a cat", steps=1, seed=0, words=file, negative="a style")
    made.save(tmp_path / "cat.png")
    assert mediagen.replay(tmp_path / "cat.png").equal
    with pytest.raises(ValueError, match=r"the learned word 'style' .* is in no prompt"):
        pipe.check(pipe.job("a stylish cat", words=file))
    save_file({"emb_params": vectors(2, 6)[:, :8].contiguous()}, tmp_path / "narrow.safetensors")
    with pytest.raises(
        ValueError, match=r"made for another model: its vectors are \[\(2, 8\)\], the model's \[32\] wide"
    ):
        pipe.job("narrow", words=tmp_path / "narrow.safetensors")
    with pytest.raises(ValueError, match="the model needs clip_l and clip_g"):
        models("sdxl").job("style", words=file)
    (tmp_path / "style.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a learned word is a .safetensors file, or a folder with one of them, and"):
        pipe.job("style", words=tmp_path / "style.pt")
    with pytest.raises(ValueError, match="the model mini-image takes no learned words"):
        mediagen.load("mini-image").job("style", words=file)
