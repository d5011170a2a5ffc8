"""Hints that models of transformers find, on tiny models with random weights, and skeletons of known joints."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from mediagen.conditioners import estimated, hints, skeleton

transformers = pytest.importorskip("transformers")
pytest.importorskip("cv2")


def picture() -> torch.Tensor:
    return torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def depth_model(folder: Path) -> Path:
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
    config = transformers.DPTConfig(
        image_size=32, patch_size=8, is_hybrid=False, reassemble_factors=[4, 2, 1, 0.5], **sizes
    )
    tiny.redraw(transformers.DPTForDepthEstimation(config), 1).save_pretrained(folder)
    transformers.DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def segment_model(folder: Path, classes: int) -> Path:
    sizes = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1]}
    config = transformers.SegformerConfig(num_labels=classes, decoder_hidden_size=8, **sizes)
    tiny.redraw(transformers.SegformerForSemanticSegmentation(config), 2).save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_depth(tmp_path: Path) -> None:
    """From black to white, and turned round for a model that tells metres."""
    hint = hints.find(f"depth:{depth_model(tmp_path)}")(picture())
    assert hint.shape == (3, 48, 64) and hint.min() == -1 and hint.max() == 1 and (hint[0] == hint[2]).all()
    _, model = estimated._loaded(str(tmp_path), "AutoModelForDepthEstimation")
    model.config.depth_estimation_type = "metric"
    metric = estimated.depth(picture(), str(tmp_path))
    assert torch.corrcoef(torch.stack((hint[0].flatten(), metric[0].flatten())))[0, 1] < -0.1


def test_segments(tmp_path: Path) -> None:
    hint = hints.find(f"segments:{segment_model(tmp_path / 'ade', 150)}")(picture())
    colours = {tuple(c) for c in np.frombuffer(estimated.ADE20K, np.uint8).reshape(150, 3).tolist()}
    seen = {tuple(c) for c in ((hint + 1) * 127.5).round().int().flatten(1).T.tolist()}
    assert hint.shape == (3, 48, 64) and seen <= colours and len(seen) > 1
    with pytest.raises(ValueError, match=r"those of ADE20K, 150 classes; .* knows 3"):
        estimated.segments(picture(), str(segment_model(tmp_path / "three", 3)))


def test_pose(tmp_path: Path) -> None:
    backbone = {"image_size": [256, 192], "patch_size": [16, 16], "hidden_size": 16, "num_hidden_layers": 1}
    backbone |= {"num_attention_heads": 2, "intermediate_size": 16, "out_indices": [1]}
    config = transformers.VitPoseConfig(backbone_config=transformers.VitPoseBackboneConfig(**backbone), num_labels=17)
    tiny.redraw(transformers.VitPoseForPoseEstimation(config), 3).save_pretrained(tmp_path)
    assert hints.find(f"pose:{tmp_path}")(picture()).shape == (3, 48, 64)


def test_joints_are_found_where_they_are() -> None:
    """The peak of a Gaussian, to a quarter of a cell; of a picture in the window, back in its own pixels."""
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    centre = (20.3, 31.8)
    maps = torch.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / 8)[None]
    row, column, score = estimated.peaks(maps)
    assert abs(float(row) - centre[0]) <= 0.25 and abs(float(column) - centre[1]) <= 0.25 and float(score) > 0.9
    canvas, scale, (top, left) = estimated._windowed(torch.ones(3, 100, 300))
    assert canvas.shape == (3, 256, 192) and scale == 192 / 300 and (top, left) == (96, 0)
    assert (canvas[:, :top] == 0).all() and (canvas[:, top + 1 : top + 63] != 0).all()


def test_a_skeleton() -> None:
    """Limbs and joints in their own colours, without those that were not seen."""
    places = np.full((17, 2), 300.0)
    places[5], places[6], places[8] = (360, 100), (160, 100), (160, 300)  # shoulders, and the right elbow
    sure = np.zeros(17, bool)
    sure[[5, 6, 8]] = True
    hint = skeleton.drawn(places, sure, (512, 512))
    levels = ((hint + 1) * 127.5).round().int()
    neck, elbow, arm = levels[:, 100, 260], levels[:, 300, 160], levels[:, 200, 160]
    assert tuple(neck.tolist()) == skeleton.colour(1) and tuple(elbow.tolist()) == skeleton.colour(3)
    assert tuple(arm.tolist()) == tuple(int(part * skeleton.DIM) for part in skeleton.colour(2))
    assert not levels[:, 320:].any() and skeleton.colour(0) == (255, 0, 0) and skeleton.colour(6) == (0, 255, 0)


def test_what_is_not_there_is_said() -> None:
    for name, said in [
        ("depth", "name its folder, as depth:FOLDER"),
        ("mood", "unknown hint 'mood'; known: canny, luminance, depth:FOLDER, segments:FOLDER, pose:FOLDER"),
    ]:
        with pytest.raises(ValueError, match=said):
            hints.find(name)
    with pytest.raises(ValueError, match="cannot load nobody/nothing, which a hint is made with"):
        hints.find("depth:nobody/nothing")(picture())
