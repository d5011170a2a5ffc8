"""From a prompt to a file and back, on a tiny model with random weights."""

import numpy as np
import pytest

import mediagen
from mediagen.core import guidance, solve


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return mediagen.load(tiny_model)


def test_same_seed_same_picture_and_another_seed_another(pipeline) -> None:
    one, two = (pipeline.generate("a red ball", seed=3).numpy() for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, pipeline.generate("a red ball", seed=4).numpy())


def test_a_sample_is_the_same_alone_and_in_a_batch(pipeline) -> None:
    batch = pipeline.generate("a red ball", seed=3, n=3)
    alone = pipeline.generate("a red ball", seed=3, sample=2)
    assert len({b.numpy().tobytes() for b in batch}) == 3
    difference = np.abs(batch[2].numpy().astype(int) - alone.numpy())
    assert difference.max() <= 1  # the kernels of another batch size round differently; one level of 255 at most


def test_a_list_of_prompts_is_one_batch_of_different_pictures(pipeline) -> None:
    pictures = pipeline.generate(["a red ball", "a cat"], seed=3)
    alone = pipeline.generate("a cat", seed=3, sample=1)
    assert np.abs(pictures[1].numpy().astype(int) - alone.numpy()).max() <= 1
    assert len(pipeline.generate(["a red ball"], seed=3)) == 1
    assert len(pipeline.generate(["a red ball", "a cat"], seed=3, n=2)) == 4


@pytest.mark.parametrize("solver", sorted(solve.rules()))
def test_every_solver_runs(pipeline, solver: str) -> None:
    picture = pipeline.generate("a red ball", seed=0, solver=solver, steps=3)
    assert picture.numpy().shape == (64, 64, 3)


@pytest.mark.parametrize("method", sorted(guidance.methods()))
def test_every_guidance_method_changes_the_picture(pipeline, method: str) -> None:
    scale = 0.8 if method == "cfg_pp" else 6.0
    plain = pipeline.generate("a red ball", seed=0, guidance=1.0).numpy()
    assert not np.array_equal(plain, pipeline.generate("a red ball", seed=0, guidance=scale, method=method).numpy())


def test_prompt_negative_weights_and_composition_matter(pipeline) -> None:
    prompts = ["a red ball", "a (red:1.6) ball", "a blue ball", [("a red ball", 1.0), ("a blue sky", 0.7)]]
    pictures = [pipeline.generate(p, seed=0).numpy().tobytes() for p in prompts]
    pictures.append(pipeline.generate("a red ball", seed=0, negative="blue").numpy().tobytes())
    pictures.append(pipeline.generate("a red ball", seed=0, regions=[("a cat", (0, 0, 0.5, 1))]).numpy().tobytes())
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (48, 112), (640, 64)])
def test_any_size_and_aspect_ratio(pipeline, size: tuple[int, int]) -> None:
    assert pipeline.generate("a red ball", size=size, steps=1).size == size


def test_windows_cover_what_is_larger_and_change_nothing_else(pipeline, tiny_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny", pipeline)
    plain, wide = (pipeline.generate("a red ball", seed=1, size=size).numpy() for size in (64, (160, 64)))
    assert np.array_equal(plain, pipeline.generate("a red ball", seed=1, size=64, window=64).numpy())
    made = pipeline.generate("a red ball", seed=1, size=(160, 64), window=(64, 64))
    assert made.size == (160, 64) and not np.array_equal(wide, made.numpy())
    assert mediagen.replay(made.save(tmp_path / "wide.png")).equal


def test_composed_prompts_refuse_what_they_would_ignore(pipeline) -> None:
    with pytest.raises(ValueError, match="composed"):
        pipeline.generate([("a cat", 1.0), ("a dog", 1.0)], method="apg")


def test_a_looped_picture_decodes_alike_wherever_it_is_cut(pipeline) -> None:
    import torch

    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    rolled = pipeline.decode(z.roll(3, -1), loop=(-1,))
    assert torch.allclose(rolled, pipeline.decode(z, loop=(-1,)).roll(24, -1), atol=1e-4)
    assert not torch.allclose(pipeline.decode(z.roll(3, -1)), pipeline.decode(z).roll(24, -1), atol=1e-2)


def test_reuse_spares_calls(pipeline) -> None:
    exact = pipeline.generate("a red ball", seed=0, steps=8).numpy()
    assert not np.array_equal(exact, pipeline.generate("a red ball", seed=0, steps=8, reuse=0.5).numpy())


def test_inpainting_keeps_black_pixels_exactly(pipeline) -> None:
    source = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[:, 32:] = 255
    made = pipeline.inpaint(source, mask, "a red ball", seed=1).numpy()
    assert np.array_equal(made[:, :32], source[:, :32])
    assert not np.array_equal(made[:, 32:], source[:, 32:])


def test_events_tell_the_whole_story(pipeline) -> None:
    events = list(pipeline.stream(pipeline.job("a red ball", seed=0, steps=3)))
    assert [(e.stage, e.step) for e in events] == [
        ("encode", 0), ("encode", 1), ("step", 1), ("step", 2), ("step", 3), ("decode", 0), ("done", 1)
    ]  # fmt: skip
    assert len(events[-1].results) == 1


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_file_carries_its_request_and_replays(pipeline, tiny_model, tmp_path, monkeypatch, ending: str) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny", pipeline)
    picture = pipeline.generate("a red ball", seed=9, n=2, guidance=3.0, method="apg", solver="heun")[1]
    file = picture.save(tmp_path / f"ball.{ending}", **({"lossless": True} if ending == "webp" else {}))
    result = mediagen.replay(file)
    assert result.request.seed == 9 and result.request.sample == 1 and result.request.walk.solver == "heun"
    assert result.request.model_hash == pipeline.model.hash and result.same_model
    assert ending == "jpg" or result.difference <= 1


def test_a_lossy_file_replays_to_the_pixels_that_were_made(pipeline, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny", pipeline)
    file = pipeline.generate("a red ball", seed=9).save(tmp_path / "ball.webp", quality=40)
    result = mediagen.replay(file)
    assert result.equal and result.difference > 0


def test_a_variation_replays_from_its_source_and_refuses_a_changed_one(pipeline, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(mediagen._loaded, "tiny", pipeline)
    source = pipeline.generate("a red ball", seed=1).save(tmp_path / "source.png")
    varied = pipeline.vary(source, "a cat", seed=2).save(tmp_path / "varied.png")
    assert mediagen.replay(varied).equal
    pipeline.generate("a red ball", seed=2).save(source)
    with pytest.raises(ValueError, match="has changed"):
        mediagen.replay(varied)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 65}, "multiples of 16"),
        ({"window": 65}, r"window \(65, 65\) .*multiples of 16"),
        ({"window": (64, 0)}, "sides of a window"),
        ({"size": (64, 0)}, "multiples of 16"),
        ({"steps": 0}, "steps"),
        ({"steps": -3}, "steps"),
        ({"solver": "rk5"}, "unknown .*rk5"),
        ({"method": "magic"}, "unknown guidance 'magic'"),
        ({"guidance": -1.0}, "guidance"),
        ({"n": 0}, "n must be"),
        ({"strength": 0.5}, "strength 0.5 is of what is varied"),
        ({"seed": -1}, "seed"),
        ({"timing": {"name": "Wrong"}}, "unknown timing"),
        ({"colour": "red"}, "unknown option 'colour'"),
        ({"interval": (0.9, 0.1)}, "interval"),
        ({"regions": [("a cat", (0.5, 0, 0.2, 1))]}, "region"),
    ],
)
def test_bad_options_are_refused_by_name(pipeline, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pipeline.generate("a red ball", **options)


@pytest.mark.parametrize("prompt", ["", "   ", "word " * 200, [], [("a", "b", "c")], 7])
def test_bad_prompts_are_refused(pipeline, prompt: object) -> None:
    with pytest.raises(ValueError, match="prompt"):
        pipeline.generate(prompt)
