"""A small BERT that reads prompts: token states for cross-attention, and their mean for adaLN.

The shipped weights are all-MiniLM-L6-v2 (6 layers, width 384); BERT is arXiv:1810.04805, MiniLM arXiv:2002.10957.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mediagen.conditioners.base import TOKENS, Cond
from mediagen.conditioners.prompt import Weighted, parse

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


@dataclass(frozen=True, kw_only=True)
class BertShape:
    """Sizes of the network, as the card beside the weights states them."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int


class Linear(nn.Linear):
    """Without random numbers at birth: the weights always come from a file, and loading is to be quick."""

    def reset_parameters(self) -> None:
        pass


class Embedding(nn.Embedding):
    """Without random numbers at birth, see `Linear`."""

    def reset_parameters(self) -> None:
        pass


class Layer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = Linear(shape.width, 3 * shape.width)
        self.out = Linear(shape.width, shape.width)
        self.norm1 = nn.LayerNorm(shape.width, eps=1e-12)
        self.up = Linear(shape.width, shape.hidden)
        self.down = Linear(shape.hidden, shape.width)
        self.norm2 = nn.LayerNorm(shape.width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b l (three h d) -> three b h l d", three=3, h=self.heads)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        x = self.norm1(x + self.out(rearrange(y, "b h l d -> b l (h d)")))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    """Token ids [B, L] and mask bool [B, L] -> states [B, L, width]. One segment: its embedding is in `position`."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word = Embedding(shape.vocabulary, shape.width)
        self.position = Embedding(shape.positions, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        positions = self.position.weight[: ids.shape[1]]
        x = self.norm(self.word(ids).to(positions.dtype) + positions)
        for layer in self.layers:
            x = layer(x, mask)
        return x


class TextEncoder(nn.Module):
    """Prompts -> {"text": [B, L, D], "text_mask": bool [B, L], "text_pooled": [B, D]}, a `Conditioner`.

    A token of weight w (see `conditioners.prompt`) gets the state `base + w * (state - base)`, where base is the mean
    state of the empty prompt: weight 1 changes nothing, weight 0 makes the token say what an empty prompt says, and
    above 1 it says more of what sets it apart. Padded positions are zero. `text_pooled`
    is the mean over the real tokens.

    even: texts are padded to full multiples of `TOKENS`, at most to `limit`, instead of to the longest of them: among
    texts of one such length each then gets the same numbers, to the last bit, as it would alone.
    """

    def __init__(self, bert: Bert, tokenizer: "Tokenizer", limit: int = 64, even: bool = False) -> None:
        super().__init__()
        self.bert = bert.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.limit = limit
        self.even = False
        self.register_buffer("empty", self._states([self.tokenizer.encode("")])[0][0], persistent=False)
        self.even = even

    @classmethod
    def load(cls, folder: str | Path, dtype: torch.dtype = torch.float32, even: bool = False) -> "TextEncoder":
        """Read model.safetensors, tokenizer.json and card.json from `folder`. ValueError if one is broken."""
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        folder = Path(folder)
        try:
            card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
            bert = Bert(BertShape(**card["shape"]))
            weights = load_file(folder / "model.safetensors")
            # Half of the weights are the word table, of which a prompt reads a few rows: it keeps the file's float16.
            weights = {k: v if k == "word.weight" else v.to(dtype) for k, v in weights.items()}
            bert.load_state_dict(weights, assign=True)
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ValueError(f"cannot load the text encoder in {folder}: {error}") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a prompt is text, not the end of it
        return cls(bert, tokenizer, limit=card["limit"], even=even)

    @property
    def width(self) -> int:
        """D, the size of a token state."""
        return self.bert.word.embedding_dim

    @torch.inference_mode(False)
    @torch.no_grad()
    def forward(self, prompts: Sequence[str], length: int | None = None) -> Cond:
        """Encode prompts, padded to `length` tokens (default: the longest of them; at most `limit`).

        ValueError for an empty prompt, one of more than `length` or `limit` tokens, or broken weighting.
        """
        if isinstance(prompts, str):
            raise ValueError("prompts must be a list of strings, got one string")
        if not prompts:
            raise ValueError("no prompts were given, at least one is needed")
        parsed = [parse(p) for p in prompts]
        encodings = [self._encode(p, length) for p in parsed]
        states, mask = self._states(encodings, length)
        if not all(p.plain for p in parsed):
            weight = self._weights(parsed, encodings, states)
            states = torch.where(weight == 1, states, torch.lerp(self._base().expand_as(states), states, weight))
        return _condition(states, mask)

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """Tokens of each prompt, the two special ones included. ValueError as in `forward`."""
        return [len(self._encode(parse(p), None).ids) for p in prompts]

    def null(self, n: int, length: int | None = None) -> Cond:
        """The condition of n empty prompts, the same keys as a prompt's."""
        extra = 0 if length is None else length - self.empty.shape[0]
        if extra < 0:
            raise ValueError(f"length must be at least {self.empty.shape[0]}, got {length}")
        states = F.pad(self.empty, (0, 0, 0, extra))
        mask = torch.arange(states.shape[0], device=states.device) < self.empty.shape[0]
        return _condition(states.repeat(n, 1, 1), mask.repeat(n, 1))

    def _base(self) -> Tensor:
        return self.empty.mean(0)

    def _encode(self, prompt: Weighted, length: int | None) -> "Encoding":
        """Tokenise one prompt and refuse it if it is empty or too long."""
        limit = min(self.limit, length or self.limit)
        encoding = self.tokenizer.encode(prompt.text)
        if len(encoding.ids) <= 2:
            raise ValueError(f"the prompt {prompt.text!r} is empty; say what to make, in at most {limit - 2} tokens")
        if len(encoding.ids) > limit:
            raise ValueError(
                f"the prompt has {len(encoding.ids) - 2} tokens, "
                f"the limit is {limit - 2} (some {int(limit * 0.75)} words): "
                f"{_shortened(prompt.text)!r}"
            )
        return encoding

    @torch.no_grad()
    def _states(self, encodings: "Sequence[Encoding]", length: int | None = None) -> tuple[Tensor, Tensor]:
        """Encodings -> states [B, L, D], zero where padded, and mask [B, L]."""
        length = length or self._length(max(len(e.ids) for e in encodings))
        device = self.bert.word.weight.device
        ids = torch.tensor([_padded(e.ids, length) for e in encodings], device=device)
        mask = torch.tensor([_padded([1] * len(e.ids), length) for e in encodings], device=device).bool()
        return self.bert(ids, mask) * mask[..., None], mask

    def _length(self, longest: int) -> int:
        return min(-(-longest // TOKENS) * TOKENS, self.limit) if self.even else longest

    def _weights(self, prompts: Sequence[Weighted], encodings: "Sequence[Encoding]", states: Tensor) -> Tensor:
        """Weight of each token, that of its first character: [B, L, 1]; 1 for the special and padding tokens."""
        rows = torch.ones(states.shape[:2], dtype=states.dtype)
        for row, prompt, encoding in zip(rows, prompts, encodings, strict=True):
            for i, (begin, end) in enumerate(encoding.offsets):
                if end > begin:
                    row[i] = prompt.weights[begin]
        return rows[..., None].to(states.device)


def _padded(values: list[int], length: int) -> list[int]:
    return values + [0] * (length - len(values))


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _condition(states: Tensor, mask: Tensor) -> Cond:
    real = mask[..., None]
    pooled = (states * real).sum(1) / real.sum(1)
    return {"text": states * real, "text_mask": mask, "text_pooled": pooled.to(states.dtype)}
