"""What a network says of its text is the same in every step of a walk: it is worked out once and kept to the end of it.

The keys and values of cross-attention are layers' answers to one and the same tensor, and rotary tables to one and the
same shape. A layer that is asked for them again gives what it gave before, to the bit; a network that joins its text to
what it sees in pictures, in each step anew, is given them joined. Nothing is kept outside of a walk, where there are
gradients, or of a layer whose weights have changed meanwhile; LoRA beside a layer (`nn.lora.attach`) is added to what
it gives, and stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

ATTENTIONS = {
    "attn2": ("to_k", "to_v", "norm_k", "add_k_proj", "add_v_proj", "norm_added_k"),  # diffusers' name of them
    "cross": ("key_value", "key_norm"),  # `nn.blocks`
}
TEXTS = ("text_embedder", "image_embedder", "caption_projection", "cross_attention_proj", "text_embed")
JOINING = "WanTimeTextImageEmbedding"  # its network joins the last two of what it answers, where there is a picture
PLACES = ("WanRotaryPosEmbed", "LTXVideoRotaryPosEmbed")  # of the state they look at the shape alone
ROOM = 2**30  # bytes that a model keeps at most
CHANGING = 8  # answers that a layer keeps before it is asked for one again: what it is given changes in each step


@dataclass(kw_only=True, eq=False)
class Walks:
    """The walks that are open now, and the bytes that are kept for them."""

    layers: list[Kept] = field(default_factory=list)
    count: int = 0
    held: int = 0

    @contextmanager
    def during(self) -> Iterator[None]:
        """A walk. What was kept is forgotten when the last of them ends."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                for layer in self.layers:
                    layer.forget()


@dataclass(kw_only=True, eq=False)
class Kept:
    """A layer's forward pass, whose answers in a walk are kept by what it was asked. about: of the first argument what
    they depend on."""

    forward: Callable[..., Any]
    weights: Sequence[Tensor]
    walks: Walks
    about: Callable[[Tensor], Any]
    answers: dict[Any, tuple[Any, Any, Any]] = field(default_factory=dict)
    changing: bool = False
    again: bool = False

    def __call__(self, *given: Any, **options: Any) -> Any:
        off = self.changing or options or not self.walks.count
        if off or torch.is_grad_enabled() or given[0].is_inference():  # inference tensors have no versions
            return self.forward(*given, **options)
        key = (self.about(given[0]), *map(_same, given[1:]), *(weight._version for weight in self.weights))
        if key in self.answers:
            _, answer, versions = self.answers[key]
            if _versions(answer) == versions:
                self.again = True
                return answer
            self._drop(key)
        answer = self.forward(*given)
        self._keep(key, given, answer)
        return answer

    def _keep(self, key: Any, given: Any, answer: Any) -> None:
        """With what was given, so that its memory becomes no other tensor's."""
        if len(self.answers) >= CHANGING and not self.again:
            self.forget()
            self.changing = True
        elif self.walks.held + _bytes(answer) <= ROOM:
            self.walks.held += _bytes(answer)
            self.answers[key] = (given, answer, _versions(answer))

    def _drop(self, key: Any) -> None:
        self.walks.held -= _bytes(self.answers.pop(key)[1])

    def forget(self) -> None:
        for key in list(self.answers):
            self._drop(key)
        self.changing = self.again = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """The embeddings of time, text and pictures, the last two joined once, as their network would in each step."""

    forward: Callable[..., Any]
    join: Kept

    def __call__(self, *given: Any, **options: Any) -> Any:
        *times, text, picture = self.forward(*given, **options)
        return (*times, text if picture is None else self.join(picture, text), None)


def during(networks: Sequence[nn.Module]) -> Callable[[], AbstractContextManager[None]]:
    """Makes these networks keep what is constant in a walk -> the context that each walk of theirs is to be in."""
    walks = Walks()
    for layer, about in (found for network in networks for found in _constant(network)):
        layer.forward = Kept(forward=layer.forward, weights=list(layer.parameters()), walks=walks, about=about)
        walks.layers.append(layer.forward)
    for module in (module for network in networks for module in network.modules()):
        if type(module).__name__ == JOINING:
            join = Kept(forward=_in_line, weights=(), walks=walks, about=_same)
            module.forward = Joined(forward=module.forward, join=join)
            walks.layers.append(join)
    return walks.during


def _in_line(picture: Tensor, text: Tensor) -> Tensor:
    return torch.cat((picture, text), 1)


def _constant(network: nn.Module) -> Iterator[tuple[Any, Callable[[Tensor], Any]]]:
    """(layer, what of its input its answer depends on) of all that answer alike in each step."""
    for path, module in network.named_modules():
        name = path.rpartition(".")[2]
        if type(module).__name__ in PLACES:
            yield module, _form
        elif name in TEXTS:
            yield module, _same
        elif name in ATTENTIONS and getattr(module, "is_cross_attention", True):
            layers = (getattr(module, each, None) for each in ATTENTIONS[name])
            yield from ((layer, _same) for layer in layers if isinstance(layer, nn.Module))


def _same(value: Any) -> Any:
    """Equal for the same tensor with the same contents, as long as it is alive, and for equal values of other kinds."""
    if not isinstance(value, Tensor):
        return value
    return value.data_ptr(), value._version, value.stride(), *_form(value)


def _form(value: Tensor) -> Any:
    return value.shape, value.dtype, value.device


def _tensors(answer: Any) -> Sequence[Tensor]:
    return (answer,) if isinstance(answer, Tensor) else answer


def _bytes(answer: Any) -> int:
    return sum(one.nbytes for one in _tensors(answer))


def _versions(answer: Any) -> list[int]:
    """They rise when somebody writes into what was kept."""
    return [one._version for one in _tensors(answer)]
