"""MusicGen through our loop gives what transformers' own `generate` gives: code for code, drawn or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_musicgen
import torch

import mediagen
from mediagen.generators.autoregressive import Layout, Sampling, probabilities
from mediagen.modalities.audio import Audio

transformers = pytest.importorskip("transformers")

PROMPT, OTHER, STRIDE = "a red cat of the dog", "the blue", 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    made: dict[int, Path] = {}

    def of(channels: int) -> Path:
        if channels not in made:
            made[channels] = tiny_musicgen.musicgen(tmp_path_factory.mktemp("musicgen"), channels=channels)
        return made[channels]

    return of


def theirs(folder: Path, prompts: list[str], count: int, past: torch.Tensor | None = None, **options: Any) -> Any:
    """Sound [B, C, samples] by transformers, drawn from the global generator after its seed."""
    network = transformers.MusicgenForConditionalGeneration.from_pretrained(folder, local_files_only=True).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(prompts, padding=True, return_tensors="pt")
    given = {} if past is None else {"input_values": past}
    delay = network.decoder.config.num_codebooks // network.decoder.config.audio_channels
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return network.generate(**tokens, **given, max_new_tokens=count + delay - 1, **options).detach()


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def clip_of(pipe: Any, seconds: float) -> Audio:
    samples = torch.rand(pipe.model.spec.media_channels, round(seconds * pipe.rate), generator=drawn()) - 0.5
    return Audio.from_tensor(samples, pipe.rate)


@pytest.mark.parametrize("channels", [1, 2])
def test_as_transformers(channels: int, checkpoint: Callable[[int], Path]) -> None:
    """The likeliest codes, and drawn ones; two lengths; a batch; with and without guidance."""
    folder = checkpoint(channels)
    pipe = mediagen.load(folder)
    for count, options in (
        (21, {"do_sample": False}),
        (30, {}),
        (24, {"guidance_scale": 1.0, "top_k": 0, "top_p": 0.8}),
    ):
        other = theirs(folder, [PROMPT, OTHER], count, **options)
        mine = {"temperature": 0.0} if options.get("do_sample") is False else {"noise": drawn()}
        mine |= {"guidance": options.get("guidance_scale")} | {k: options.get(k) for k in ("top_k", "top_p")}
        clips = pipe.generate([PROMPT, OTHER], seconds=count * STRIDE / pipe.rate, **mine)
        made = torch.stack([torch.from_numpy(clip.samples) for clip in clips])
        assert made.shape == other.shape
        assert float((made - other).abs().max()) < 1e-4 and float(other.std()) > 1e-3


def test_a_clip_goes_on_as_in_transformers(checkpoint: Callable[[int], Path]) -> None:
    folder = checkpoint(1)
    pipe, count, new = mediagen.load(folder), 12, 21
    clip = clip_of(pipe, count * STRIDE / pipe.rate)
    past = torch.from_numpy(clip.samples)[None]
    other = theirs(folder, [PROMPT], new, past=past, do_sample=False)
    longer = pipe.extend(clip, PROMPT, right=new * STRIDE / pipe.rate, temperature=0.0)
    assert (longer.samples[:, : count * STRIDE] == clip.samples).all()
    faded = count * STRIDE + round(0.02 * pipe.rate) + 1
    made = torch.from_numpy(longer.samples)[None]
    assert made.shape[2] == (count + new) * STRIDE == other.shape[2]
    assert float((made - other)[..., faded:].abs().max()) < 1e-4


def test_longer_than_it_was_trained_and_the_same_in_any_batch(checkpoint: Callable[[int], Path]) -> None:
    pipe = mediagen.load(checkpoint(1))
    seconds = 2.3 * tiny_musicgen.WINDOW * STRIDE / pipe.rate
    job = pipe.job([PROMPT, OTHER], seconds=seconds, seed=4)
    events = list(pipe.stream(job))
    steps = [event for event in events if event.stage == "step"]
    assert [event.step for event in steps] == list(range(1, steps[0].total + 1))
    one, two = events[-1].results
    assert one.samples.shape[1] == round(seconds * pipe.rate)
    again = pipe.generate(OTHER, seconds=seconds, seed=4, sample=1)
    assert abs(two.samples - again.samples).max() < 1e-4
    assert abs(one.samples - two.samples).max() > 1e-3


def test_a_file_is_made_again(checkpoint: Callable[[int], Path], tmp_path: Path) -> None:
    folder = checkpoint(1)
    clip = mediagen.load(folder).generate(PROMPT, seconds=0.12, seed=5, temperature=0.7, top_k=5, guidance=2.0)
    clip.save(tmp_path / "a.wav")
    assert mediagen.replay(tmp_path / "a.wav", model=folder).equal


def test_what_is_told_matters(checkpoint: Callable[[int], Path]) -> None:
    pipe = mediagen.load(checkpoint(1))
    plain = {"seconds": 0.12, "temperature": 0.0}
    first = pipe.generate(PROMPT, **plain).samples
    for changed in ({"guidance": 1.0}, {"negative": OTHER}, {"temperature": 1.0, "seed": 1}):
        assert (pipe.generate(PROMPT, **(plain | changed)).samples != first).any(), changed
    assert (pipe.generate(OTHER, **plain).samples != first).any()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"start": True, "strength": 0.5}, "only goes on"),
        ({"start": True, "between": (0.0, 0.1)}, "only goes on"),
        ({"right": 1.0}, "give one to go on from"),
        ({"steps": 4}, "'steps' is nothing"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"top_k": -1}, "top_k must be"),
        ({"noise": torch.zeros(1)}, "must be a torch.Generator"),
    ],
)
def test_refusals(options: dict[str, Any], why: str, checkpoint: Callable[[int], Path]) -> None:
    pipe = mediagen.load(checkpoint(1))
    if options.get("start"):
        options = options | {"start": clip_of(pipe, 0.1)}
    with pytest.raises(ValueError, match=why):
        pipe.job(PROMPT, **options)


def test_columns_and_back() -> None:
    """A code of codebook k lies k columns later."""
    layout, codes = Layout(delays=(0, 1, 2), blank=9), torch.arange(15).view(1, 3, 5)
    columns = layout.columns(codes, 5)
    assert columns[0].tolist()[1] == [9, 9, 5, 6, 7, 8, 9, 9]
    assert (layout.codes(columns) == codes).all()
    assert (layout.codes(layout.columns(codes[..., :2], 5))[..., 2:] == -1).all()


def test_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    assert probabilities(logits, Sampling(temperature=0.0)).tolist() == [[0, 0, 0, 1]]
    assert (probabilities(logits, Sampling(top_k=2)) > 0).tolist() == [[False, False, True, True]]
    assert (probabilities(logits, Sampling(top_k=0, top_p=0.7)) > 0).tolist() == [[False, False, True, True]]


def test_the_command_samples(
    checkpoint: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--temperature, --top-k and --top-p reach the request; a model that walks refuses them in one line."""
    import sys

    from mediagen.cli import main
    from mediagen.replaying import request_of

    def run(*arguments: str) -> int:
        monkeypatch.setattr(
            sys, "argv", ["mediagen", "audio", "80s pop", "--out", str(tmp_path / "a.flac"), *arguments]
        )
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    asked = ("--temperature", "0.5", "--top-k", "9", "--top-p", "0.8", "--seconds", "0.5", "--seed", "1")
    assert run("--model", str(checkpoint(1)), *asked) == 0
    sampling = request_of(tmp_path / "a.flac").sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 9, 0.8)
    assert run("--model", str(checkpoint(1)), "--lyrics", "la la") == 2
