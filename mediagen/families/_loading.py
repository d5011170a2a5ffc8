"""How a published checkpoint is loaded: in which dtype, where its parts lie, and what is spared.

Each option is diffusers' or accelerate's own, by one word; the loop is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
OFFLOADS = ("model", "group", "sequential")
INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of CPUs that multiply bfloat16, x86's and ARM's


@dataclass(frozen=True, kw_only=True, eq=False)
class Loading:
    """What `mediagen.load` is told beside the name.

    dtype: "float32" (as published checkpoints are compared), "bfloat16", "float16", or "auto": bfloat16 where the
    device multiplies it, else float32. device: "cpu", "cuda", "cuda:1", "mps" ...; None is the CPU. device_map: where
    diffusers is to put each part, instead of a device ("balanced"). offload: parts lie in the CPU's memory and go to
    the device when they are needed: "model" (one part at a time), "group" (block by block) or "sequential" (layer by
    layer). quantize: "int8" (torchao), "nf4" or "int8-bnb" (bitsandbytes), "fp8" (weights are kept in 8 bits, by
    diffusers alone): of the denoiser; or a quantization config of diffusers for its pipeline. parts: files or modules
    in the place of the checkpoint's own, {"transformer": "flux-Q4_K_S.gguf"}. revision: commit, branch or tag of a
    repository; variant: of its files ("fp16"). attention: a backend of diffusers. cache: "first_block",
    "taylorseer", "magcache" or a cache config of diffusers. compiled: whether the denoiser's blocks are compiled.
    tile: latents a side above which pictures are coded, and clips decoded, in tiles. preview: a folder or repository of
    an AutoencoderTiny, None for a map of colours that is fitted to the autoencoder, False for none. parallel: "ulysses"
    or "ring", over the processes that torchrun started. allow_pickles: whether weights may be pickles (.bin) where
    there are no .safetensors; torch reads tensors alone of them (weights_only), but they are not what was checked.
    """

    dtype: Any = None
    device: Any = None
    device_map: Any = None
    offload: str | None = None
    quantize: Any = None
    parts: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None
    variant: str | None = None
    attention: str | None = None
    cache: Any = None
    compiled: bool = False
    tile: int | None = None
    preview: Any = None
    parallel: str | None = None
    allow_pickles: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be, before anything is read."""
        if self.offload is not None and self.offload not in OFFLOADS:
            raise ValueError(f"offload is {self.offload!r}; it must be one of {', '.join(OFFLOADS)}")
        if self.device_map is not None and (self.device is not None or self.offload is not None):
            raise ValueError("device_map says where each part lies: leave out device and offload, or device_map")
        if self.offload is not None and self.parallel is not None:
            raise ValueError("what is split over processes cannot be offloaded: leave out offload or parallel")
        if self.tile is not None and not (isinstance(self.tile, int) and self.tile >= 8):
            raise ValueError(f"tile is {self.tile!r}; it must be a whole number of latents a side, 8 or more")
        self.torch_dtype  # noqa: B018 (checked now)

    @property
    def place(self) -> torch.device:
        """The device that networks run on. ValueError for one that is not there."""
        return device_of(self.device) if self.device is not None or self.offload is None else accelerator()

    @property
    def torch_dtype(self) -> torch.dtype:
        """ValueError for a dtype that is not known, or that the device is no good with."""
        name = "float32" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        place = self.place
        if name == "auto":
            return torch.bfloat16 if multiplies_bfloat16(place.type) else torch.float32
        if name not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; it must be one of {', '.join(DTYPES)} or auto")
        if name == "float16" and place.type == "cpu" and self.device_map is None:
            raise ValueError("float16 is no dtype for the CPU: use bfloat16 or float32, or name a device")
        if name == "bfloat16" and place.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ValueError(f"{place} has no bfloat16: use float16 or float32")
        return DTYPES[name]

    @property
    def label(self) -> str:
        """What of it changes the numbers, as part of a model's hash; empty for float32 alone."""
        said = [] if self.torch_dtype == torch.float32 else [str(self.torch_dtype).removeprefix("torch.")]
        for name in ("quantize", "cache", "parallel"):
            if (value := getattr(self, name)) is not None:
                said.append(value if isinstance(value, str) else type(value).__name__)
        return "".join(f"-{word}" for word in said)


def read(options: Mapping[str, Any]) -> Loading:
    """Options by name; ValueError for one that there is not."""
    known = [one.name for one in fields(Loading)]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"load has no option {unknown[0]!r}; known: {', '.join(known)}")
    return Loading(**options)


def only(loading: Loading, names: Sequence[str], said: str) -> None:
    """ValueError for what a model takes nothing of but these; said: whose it is, and what the model is."""
    given = [one.name for one in fields(Loading) if getattr(loading, one.name) not in (None, False, {})]
    if wrong := [name for name in given if name not in names]:
        raise ValueError(f"{wrong[0]} {said} takes {', '.join(names)}")


def device_of(name: Any) -> torch.device:
    """ValueError for a device that is not known or not there."""
    try:
        device = torch.device("cpu" if name is None else name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device is {name!r}; it must be such as cpu, cuda, cuda:1 or mps") from error
    count = 0 if device.type not in here() else torch.accelerator.device_count()
    if device.type not in ("cpu", "meta") and not (device.index or 0) < count:
        raise ValueError(f"there is no device {device}: this machine has {', '.join(here())}")
    return device


def accelerator() -> torch.device:
    """What parts are offloaded from. ValueError where there is none and the CPU was not asked for."""
    if len(names := here()) == 1:
        raise ValueError("offload needs a device to bring parts to, and there is none: leave it out, or say device")
    return torch.device(names[1])


def here() -> Sequence[str]:
    """The kinds of devices of this machine."""
    return ["cpu", torch.accelerator.current_accelerator().type] if torch.accelerator.is_available() else ["cpu"]


@cache
def multiplies_bfloat16(kind: str) -> bool:
    """Whether a kind of device has instructions for bfloat16; where nothing is known, no."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and any(has_instruction(word) for word in INSTRUCTIONS)


@cache
def has_instruction(word: str) -> bool:
    """Whether this machine's processor lists it; where nothing is known, no."""
    listed = Path("/proc/cpuinfo")
    return listed.is_file() and word in listed.read_text(encoding="utf-8", errors="ignore").split()


PLAIN = Loading()
