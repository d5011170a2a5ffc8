"""Hints that a model of transformers finds in a picture, where the user has one: depth, segments, a pose.

Each is a function (picture [3, H, W] in [-1, 1], path) -> hint [3, H, W] in [-1, 1], in the form that control networks
were trained with. path: a folder of transformers' layout, or a repository. It is loaded when it is first asked for.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

METRIC = ("zoedepth", "glpn")  # models that tell metres, where others tell how near things are
ADE20K = bytes.fromhex(
    "787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33"
    "ff06528fff8cccff04ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff"
    "08ffd607ffe0ffb8060aff47ff290a07ffffe0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ff"
    "eb0cffa0961400a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe00099ff000000ffff470000ebff00adff1f00ff"
    "0bc8c8ff520000fff5003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff000052ff00ff2900ffad"
    "0a00ffadff0000ff99ff5c00ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc2"
    "00ff52000aff0070ff3300ff00c2ff007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa"
    "8500ff00ff5cb800ffff001f00b8ff00d6ffff00705cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3"
    "ffcc00ff008f00ffeb85ff00ff00ebf500ffff007afff5000abed4d6ff0000ccff1400ffffff000099ff0029ff"
    "00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cffb8ff000085ffffd60019c2c266ff005c00ff"
)  # the colours of the data set's 150 classes, three bytes each
WINDOW = (256, 192)  # rows, columns that models of poses look at
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures that they were trained with
SURE = 0.3  # the score from which on a joint is drawn


@torch.no_grad()
def depth(picture: Tensor, path: str) -> Tensor:
    """What is near is white, what is far is black; of a model that tells metres, by one over the distance."""
    processor, model = _loaded(path, "AutoModelForDepthEstimation")
    found = model(**processor(images=_bytes(picture), return_tensors="pt")).predicted_depth
    near = F.interpolate(found[:, None], size=picture.shape[1:], mode="bicubic", align_corners=False)[0, 0]
    config = model.config
    if config.model_type in METRIC or getattr(config, "depth_estimation_type", "relative") == "metric":
        near = 1 / near.clamp(min=1e-3)
    low, high = near.min(), near.max()
    return ((near - low) / (high - low).clamp(min=1e-8) * 2 - 1).expand(3, -1, -1).contiguous()


@torch.no_grad()
def segments(picture: Tensor, path: str) -> Tensor:
    """Each pixel in the colour of its class, by a model of ADE20K's 150 classes."""
    processor, model = _loaded(path, "AutoModelForSemanticSegmentation")
    logits = model(**processor(images=_bytes(picture), return_tensors="pt")).logits
    if logits.shape[1] != len(ADE20K) // 3:
        raise ValueError(f"segments are those of ADE20K, {len(ADE20K) // 3} classes; {path} knows {logits.shape[1]}")
    classes = F.interpolate(logits, size=picture.shape[1:], mode="bilinear", align_corners=False)[0].argmax(0)
    colours = torch.frombuffer(bytearray(ADE20K), dtype=torch.uint8).view(-1, 3)
    return colours[classes].permute(2, 0, 1).float() / 127.5 - 1


@torch.no_grad()
def pose(picture: Tensor, path: str) -> Tensor:
    """The skeleton of one person, whom the whole picture is searched for, by a model of COCO's 17 joints (ViTPose)."""
    from .skeleton import drawn

    _, model = _loaded(path, "VitPoseForPoseEstimation", reads=False)
    seen, scale, (top, left) = _windowed(picture)
    experts = getattr(model.config.backbone_config, "num_experts", 1) > 1
    told = {"dataset_index": torch.zeros(1, dtype=torch.long)} if experts else {}
    maps = model(seen[None], **told).heatmaps[0]
    rows, columns, scores = peaks(maps)
    stride = WINDOW[0] / maps.shape[1]
    places = torch.stack(((columns * stride - left) / scale, (rows * stride - top) / scale), 1)
    return drawn(places.numpy(), scores.numpy() >= SURE, picture.shape[1:])


def peaks(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Heat maps [joints, h, w] -> (rows, columns, scores) of their peaks, a quarter of a cell towards the higher
    neighbour, in cells whose middles are at halves."""
    scores, place = maps.flatten(1).max(1)
    around = F.pad(maps, (1, 1, 1, 1))
    joints, rows, columns = torch.arange(len(maps)), place // maps.shape[2] + 1, place % maps.shape[2] + 1
    down = torch.sign(around[joints, rows + 1, columns] - around[joints, rows - 1, columns])
    right = torch.sign(around[joints, rows, columns + 1] - around[joints, rows, columns - 1])
    return rows - 0.5 + down / 4, columns - 0.5 + right / 4, scores


def _windowed(picture: Tensor) -> tuple[Tensor, float, tuple[int, int]]:
    """The picture within the window [3, *WINDOW], as models of poses see it, its scale and where it begins."""
    height, width = picture.shape[1:]
    scale = min(WINDOW[0] / height, WINDOW[1] / width)
    size = [max(round(height * scale), 1), max(round(width * scale), 1)]
    small = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    top, left = ((side - own) // 2 for side, own in zip(WINDOW, size, strict=True))
    canvas = torch.zeros(3, *WINDOW)
    canvas[:, top : top + size[0], left : left + size[1]] = (small / 2 + 0.5 - mean) / std
    return canvas, scale, (top, left)


@lru_cache(maxsize=2)
def _loaded(path: str, kind: str, reads: bool = True) -> tuple[Any, Any]:
    """(what prepares pictures, model). ValueError, in one line, for what cannot be loaded."""
    try:
        import transformers
        from huggingface_hub import constants
    except ImportError as error:
        raise ValueError("depth, segments and poses need transformers: pip install 'mediagen[published]'") from error
    where = {"local_files_only": Path(path).exists() or constants.HF_HUB_OFFLINE}
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(path, **where) if reads else None
        model = getattr(transformers, kind).from_pretrained(path, use_safetensors=True, **where)
    except Exception as error:  # transformers, safetensors and the hub each raise their own
        line, _, _ = str(error).partition("\n")
        raise ValueError(f"cannot load {path}, which a hint is made with: {line}") from error
    return processor, model.eval().requires_grad_(False)


def _bytes(picture: Tensor) -> np.ndarray:
    """[3, H, W] in [-1, 1] -> uint8 [H, W, 3]."""
    return ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
