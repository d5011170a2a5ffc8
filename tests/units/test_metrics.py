"""Metrics against closed forms and known values; the reader's targets and questions on scenes made by hand."""

import json

import numpy as np
import pytest
import torch

from mediagen.metrics import evaluate, quality, reader, reader_training, score
from mediagen.metrics.frechet import frechet, gaussians
from mediagen.training.trainer import Schedule

BOX = {"left": [0.05, 0.3, 0.45, 0.7], "right": [0.55, 0.3, 0.95, 0.7], "whole": [0.2, 0.2, 0.8, 0.8]}
SIZES = reader_training.ReaderRecipe(data="", widths=(16, 32), blocks=(1, 1), schedule=Schedule(steps=60, lr=0.004))


def thing(label, where="whole", colour=None):
    return {"label": label, "color": colour, "recoloured": False, "size": "big", "box": BOX[where], "sprite": "3d/1"}


def truth(*things, relation=None, background="white", style="3d"):
    where = {"subject": 0, "object": 1, "name": relation} if relation else None
    return {"background": background, "style": style, "count": len(things), "objects": list(things), "relation": where}


PAIR = truth(thing("cat", "left", "red"), thing("pizza", "right"), relation="left of")


def reading(**changed):
    seen = {"labels": ("pizza", "cat"), "shares": (0.6, 0.4), "centres": ((0.7, 0.5), (0.3, 0.6))}
    rest = {"colours": ("yellow", "red"), "count": 2, "background": "white", "style": "flat"}
    return reader.Reading(**{**seen, **rest, **changed})


def test_frechet_is_the_closed_form_of_diagonal_gaussians():
    a, b = torch.tensor([1.0, 4.0, 0.25]), torch.tensor([9.0, 1.0, 0.25])
    mean = torch.tensor([1.0, 0.0, -2.0])
    expected = mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert gaussians(torch.zeros(3), a.diag(), mean, b.diag()) == pytest.approx(expected.item(), abs=1e-12)


def test_frechet_does_not_change_under_rotation_and_is_zero_for_one_set():
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 6, generator=rng), 2 * torch.randn(300, 6, generator=rng) + 1
    turn = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
    assert frechet(x.double() @ turn, y.double() @ turn) == pytest.approx(frechet(x, y), rel=1e-9)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, y) == pytest.approx(frechet(y, x), rel=1e-9)


def test_frechet_of_fewer_rows_than_features_is_finite():
    assert 0 < frechet(torch.eye(8)[:3], torch.eye(8)[4:]) < 10
    with pytest.raises(ValueError, match="two rows"):
        frechet(torch.zeros(1, 4), torch.zeros(5, 4))


def test_psnr_of_a_constant_error():
    x = torch.zeros(2, 3, 16, 16)
    assert torch.allclose(quality.psnr(x, x + 0.2), torch.tensor(20.0, dtype=torch.float64))
    assert torch.isinf(quality.psnr(x, x)).all()


def test_ssim_of_equal_constant_and_opposite_pictures():
    rng = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 24, 20, generator=rng) * 2 - 1
    assert torch.allclose(quality.ssim(x, x), torch.ones(2, dtype=torch.float64))
    a, b = 0.2, 0.6  # without structure only the term of light is left
    known = (2 * a * b + 0.0004) / (a * a + b * b + 0.0004)
    got = quality.ssim(torch.full((1, 1, 16, 16), a), torch.full((1, 1, 16, 16), b))
    assert got.item() == pytest.approx(known, rel=1e-6)
    assert (quality.ssim(2 + x, 2 - x) < 0).all()  # the same light, the opposite structure


def test_ssim_of_one_window_is_the_formula_by_hand():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 11, 11))
    g = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    w = np.outer(g, g) / g.sum() ** 2
    ma, mb = (w * a).sum(), (w * b).sum()
    va, vb, both = ((w * p).sum() - m for p, m in ((a * a, ma * ma), (b * b, mb * mb), (a * b, ma * mb)))
    known = (2 * ma * mb + 4e-4) * (2 * both + 3.6e-3) / ((ma * ma + mb * mb + 4e-4) * (va + vb + 3.6e-3))
    pictures = [torch.from_numpy(p)[None, None] for p in (a, b)]
    assert quality.ssim(*pictures).item() == pytest.approx(known, rel=1e-9)


@pytest.mark.parametrize("measure", [quality.psnr, quality.ssim])
def test_quality_refuses_unlike_shapes(measure):
    with pytest.raises(ValueError, match="one shape"):
        measure(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17))


def test_a_pair_is_judged_by_labels_colours_and_order():
    assert dict(score.judge(reading(), PAIR)) == {
        "object": True,
        "object_pair": True,
        "count": True,
        "colour": True,
        "relation": True,
        "relation_found": True,
        "background": True,
        "style": False,
    }
    swapped = dict(score.judge(reading(centres=((0.3, 0.5), (0.7, 0.6))), PAIR))
    assert swapped["object"] and not swapped["relation"]
    other = dict(score.judge(reading(labels=("pizza", "dog")), PAIR))
    assert not other["object"] and not other["relation"] and "relation_found" not in other and not other["colour"]


def test_a_single_asks_for_the_most_evident_label_and_only_for_what_is_told():
    asked = truth(thing("cat"), background=None, style=None)
    assert dict(score.judge(reading(), asked)) == {"object": False, "object_single": False, "count": False}


def test_relation_takes_the_axis_on_which_the_centres_are_farther_apart():
    seen = reading(centres=((0.5, 0.2), (0.4, 0.8)))
    assert seen.relation("pizza", "cat") == "above" and seen.relation("cat", "pizza") == "below"
    assert seen.relation("cat", "dog") is None


@pytest.fixture(scope="module")
def world():
    phrases = {"white": {"phrases": ["on white"]}, "meadow": {"phrases": ["on the grass"]}}
    style = {"weight": 1, "named": 0.1, "prefix": ["a 3d render of"], "suffix": ["3d style"]}
    labels = {"cat": "1F408", "pizza": {"code": "1F355", "aka": ["slice"]}}
    scenes = {"single": 1, "pair": 1, "count": 1}
    return score.read_world(
        {"name": "t", "labels": labels, "backgrounds": phrases, "styles": {"3d": style}, "scenes": scenes}
    )


def test_told_keeps_what_the_caption_names(world):
    full = score.told(PAIR, "a red cat left of a pizza on white, 3d style", world)
    assert (full["background"], full["style"], full["objects"][0]["color"]) == ("white", "3d", "red")
    short = score.told(PAIR, "a cat left of a red pizza", world)
    assert (short["background"], short["style"], short["objects"][0]["color"]) == (None, None, None)
    many = truth(thing("cat", "left", "red"), thing("cat", "right", "red"))
    assert score.told(many, "two red cats", world)["objects"][0]["color"] == "red"


def test_cell_targets_follow_the_boxes():
    names = reader_training.words([PAIR], SIZES)
    labels, colours = reader_training.cell_targets(reader_training.tabulate([PAIR], names))
    assert names.labels == ("cat", "pizza")
    assert labels[0, 4, 1] == 1 and labels[0, 4, 6] == 2 and labels[0, 0, 0] == 0
    assert colours[0, 4, 1] == 0 and colours[0, 4, 6] == -1


def test_augmentation_moves_boxes_with_the_pixels():
    table = reader_training.tabulate([PAIR], reader_training.words([PAIR], SIZES)).take(np.zeros(8, int))
    x = torch.full((8, 3, 64, 64), -1.0)
    x[:, :, 19:45, 3:29] = 1
    how = reader_training.Augment(noise=0.0, light=0.0, blur=63)
    moved, after = reader_training.augmented(x, table, how, np.random.default_rng(0))
    for i in range(8):
        ys, xs = torch.where(moved[i, 0] > 0)
        box = after.boxes[i, 0] * 64
        found = [xs.min().item(), ys.min().item(), xs.max().item() + 1, ys.max().item() + 1]
        assert np.abs(np.array(found) - box).max() < 2.0


def test_the_reader_reads_any_size_and_finds_centres():
    names = reader_training.words([PAIR], SIZES)
    net = reader.Reader(names).eval()
    for side in (64, 96, 128):
        assert len(reader.read(net, torch.zeros(2, 3, side, side))) == 2
    p = torch.zeros(1, 1, 8, 8)
    p[0, 0, 2, 5] = 1
    assert torch.allclose(reader.centres(p)[0, 0], torch.tensor([5.5 / 8, 2.5 / 8]))


def painted(rng):
    """A red or blue square left of, or right of, a green bar."""
    order = rng.permutation(2)
    pixels = np.full((128, 128, 3), 255, np.uint8)
    colour, side = ((220, 30, 30), "red") if rng.random() < 0.5 else ((30, 30, 220), "blue"), ("left", "right")
    for name, where in zip(("cat", "pizza"), order, strict=True):
        x0 = 8 + 64 * int(where)
        if name == "cat":
            pixels[40:88, x0 : x0 + 48] = colour[0]
        else:
            pixels[56:72, x0 : x0 + 48] = (30, 160, 30)
    cat, pizza = side[order[0]], side[order[1]]
    return pixels, truth(thing("cat", cat, colour[1]), thing("pizza", pizza), relation=f"{cat} of")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, world):
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(3)
    labels = {entry.name: {"code": entry.code, "aka": list(entry.aka)} for entry in world.labels}
    style = {"weight": 1, "named": 0.1, "prefix": ["a 3d render of"], "suffix": ["3d style"]}
    content = {"labels": labels, "backgrounds": {"white": {"phrases": ["on white"]}}, "styles": {"3d": style}}
    (root / "world.json").write_text(json.dumps({**content, "scenes": {"pair": 1}}))
    for split, count in (("train", 64), ("heldout", 24)):
        made = [painted(rng) for _ in range(count)]
        (root / split).mkdir()
        np.save(root / split / "images.npy", np.stack([pixels for pixels, _ in made]))
        records = [{"captions": [caption(t)], "truth": t} for _, t in made]
        (root / split / "scenes.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        (root / split / "progress").write_text(str(count))
    return root


def caption(t):
    return f"a {t['objects'][0]['color']} cat {t['relation']['name']} a pizza"


def test_a_reader_learns_and_evaluate_tells_obedience_from_chance(folder, tmp_path):
    recipe = reader_training.ReaderRecipe(
        data=str(folder),
        batch=16,
        widths=SIZES.widths,
        blocks=SIZES.blocks,
        schedule=Schedule(steps=60, lr=0.004, warmup=5, ema=0.9, precision="no"),
    )
    losses = [p.losses["reader/loss"] for p in reader_training.run(recipe, tmp_path)]
    assert losses[-1] < 0.3 * losses[0]
    net = reader.load(tmp_path / "reader.safetensors")
    kept = {}

    def obedient(prompts, seed, **options):
        kept.update(options)
        rng, pictures = np.random.default_rng(seed), []
        while len(pictures) < len(prompts):
            pixels, t = painted(rng)
            if caption(t) == prompts[len(pictures)]:
                pictures.append(pixels)
        return np.stack(pictures)

    def deaf(prompts, seed, **_):
        rng = np.random.default_rng(seed)
        return np.stack([painted(rng)[0] for _ in prompts])

    good = evaluate.evaluate(obedient, folder, count=12, batch=4, reader=net, steps=7)
    bad = evaluate.evaluate(deaf, folder, count=12, batch=4, reader=net)
    assert kept == {"steps": 7} and np.stack(good.made).shape == (12, 128, 128, 3)
    assert good.model == good.real and good.model["relation"] == good.model["colour"] == 1
    assert good.model["relation_cases"] == 12 and "background" not in good.model
    assert bad.model["object"] == 1 and bad.model["relation"] < 1
    assert "| relation | 100.0% | 100.0% | 12 |" in evaluate.table(good)
    with pytest.raises(ValueError, match="held-out"):
        evaluate.evaluate(deaf, folder, count=13, reader=net)


def test_score_refuses_wrong_pictures():
    with pytest.raises(ValueError, match="uint8"):
        score.score(np.zeros((1, 3, 8, 8), np.float32), [PAIR])
    with pytest.raises(ValueError, match="2 pictures and 1 truths"):
        score.score(np.zeros((2, 8, 8, 3), np.uint8), [PAIR])
