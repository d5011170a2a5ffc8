"""The text encoder: equal to transformers' BERT on the same weights, and what prompt weighting does."""

import os
from pathlib import Path

import pytest
import torch

from mediagen.conditioners.base import Conditioner, padded
from mediagen.conditioners.prompt import parse
from mediagen.conditioners.text import TextEncoder

FOLDER = Path(__file__).parents[2] / "mediagen" / "weights" / "minilm"
PROMPTS = ["a cat left of a pizza", "three tiny mushrooms in a snowy forest, flat illustration", "rocket"]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.load(FOLDER)


def test_it_is_a_conditioner(encoder: TextEncoder) -> None:
    assert isinstance(encoder, Conditioner)


def test_equal_to_transformers_on_the_same_weights(encoder: TextEncoder) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import BertConfig, BertModel

    shape = encoder.bert
    width, layers = encoder.width, len(shape.layers)
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": shape.layers[0].heads}
    hidden = shape.layers[0].up.out_features
    config = BertConfig(vocab_size=shape.word.num_embeddings, intermediate_size=hidden, **sizes)
    theirs = BertModel(config, add_pooling_layer=False).eval()
    ours = {k: v.float() for k, v in shape.state_dict().items()}
    theirs.load_state_dict(_renamed(ours, theirs.state_dict(), layers), strict=True)
    encodings = [encoder.tokenizer.encode(p) for p in PROMPTS]
    length = max(len(e.ids) for e in encodings)
    ids = torch.tensor([e.ids + [0] * (length - len(e.ids)) for e in encodings])
    mask = torch.tensor([[1] * len(e.ids) + [0] * (length - len(e.ids)) for e in encodings])
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    cond = encoder(PROMPTS)
    assert torch.equal(cond["text_mask"], mask.bool())
    assert torch.allclose(cond["text"], expected * mask[..., None], atol=1e-5)


def _renamed(ours: dict, wanted: dict, layers: int) -> dict:
    """Our weights under transformers' names; segment embeddings are zero, since ours lie in `position`."""
    out = {
        "embeddings.word_embeddings.weight": ours["word.weight"],
        "embeddings.position_embeddings.weight": ours["position.weight"],
        "embeddings.token_type_embeddings.weight": torch.zeros_like(wanted["embeddings.token_type_embeddings.weight"]),
    }
    names = {"norm": "embeddings.LayerNorm"}
    for i in range(layers):
        inner = {"out": "attention.output.dense", "norm1": "attention.output.LayerNorm"}
        inner |= {"up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm"}
        names |= {f"layers.{i}.{a}": f"encoder.layer.{i}.{b}" for a, b in inner.items()}
    for mine, theirs in names.items():
        out |= {f"{theirs}.{kind}": ours[f"{mine}.{kind}"] for kind in ("weight", "bias")}
    for i in range(layers):
        for kind in ("weight", "bias"):
            parts = ours[f"layers.{i}.qkv.{kind}"].chunk(3)
            heads = zip(("query", "key", "value"), parts, strict=True)
            out |= {f"encoder.layer.{i}.attention.self.{n}.{kind}": part for n, part in heads}
    return out


def test_padding_and_company_change_nothing(encoder: TextEncoder) -> None:
    alone = encoder(PROMPTS[:1])
    together = encoder(PROMPTS, length=40)
    length = alone["text"].shape[1]
    assert torch.allclose(together["text"][:1, :length], alone["text"], atol=1e-5)
    assert not together["text"][0, length:].any() and not together["text_mask"][0, length:].any()
    assert torch.allclose(together["text_pooled"][:1], alone["text_pooled"], atol=1e-5)


def test_weight_one_is_the_identity_and_others_act_on_their_words(encoder: TextEncoder) -> None:
    plain = encoder(["a red ball"])
    assert torch.equal(encoder(["a (red:1.0) ball"])["text"], plain["text"])
    heavy = encoder(["a (red:1.5) ball"])["text"] - plain["text"]
    moved = heavy[0].abs().amax(-1) > 1e-6
    tokens = encoder.tokenizer.encode("a red ball").tokens
    assert [t for t, m in zip(tokens, moved.tolist(), strict=True) if m] == ["red"]
    light = encoder(["a (red:0.5) ball"])["text"] - plain["text"]
    assert torch.allclose(heavy, -light, atol=1e-5)


@pytest.mark.parametrize(
    ("prompt", "text", "weights"),
    [
        ("a (cat)", "a cat", {2: 1.1}),
        ("a ((cat))", "a cat", {2: 1.21}),
        ("a [cat]", "a cat", {2: 1 / 1.1}),
        ("a (cat:0.7) b", "a cat b", {0: 1.0, 2: 0.7, 6: 1.0}),
        (r"a \(cat\)", "a (cat)", {2: 1.0}),
    ],
)
def test_weighting_syntax(prompt: str, text: str, weights: dict[int, float]) -> None:
    parsed = parse(prompt)
    assert parsed.text == text
    assert all(parsed.weights[i] == pytest.approx(w) for i, w in weights.items())


@pytest.mark.parametrize("prompt", ["", "  ", "()", "word " * 100, "a (cat", "a cat)", "a (cat:9)"])
def test_bad_prompts_are_refused(encoder: TextEncoder, prompt: str) -> None:
    with pytest.raises(ValueError, match=r"prompt|tokens|bracket|weight"):
        encoder([prompt])
    with pytest.raises(ValueError, match=str(encoder.limit - 2)):
        encoder(["word " * 100])


def test_null_has_the_keys_of_a_prompt(encoder: TextEncoder) -> None:
    null, cond = encoder.null(2, 12), encoder(["a cat"], length=12)
    assert null.keys() == cond.keys()
    assert all(null[k].shape[1:] == cond[k].shape[1:] and len(null[k]) == 2 for k in null)
    assert null["text_mask"].any(1).all()


def test_a_padded_null_is_that_of_the_length(encoder: TextEncoder) -> None:
    cond = encoder(PROMPTS)
    made, null = padded(encoder.null(3), cond), encoder.null(3, cond["text"].shape[1])
    assert all(torch.equal(made[k], null[k]) for k in null)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot load the text encoder"):
        TextEncoder.load(tmp_path)
