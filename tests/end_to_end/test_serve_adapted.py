"""Control networks, learned words, image prompts and refiners on the server: what requests may name, and that they make
what the library makes."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")
sys.path.append(str(Path(__file__).parents[1] / "families"))

import adapted
import controlled
import test_image_prompts
import tiny
import torch
from safetensors.torch import load_file, save_file

import mediagen
from mediagen.conditioners import hints
from mediagen.modalities import image
from mediagen.serve import adapters
from mediagen.serve.adapted import Adapted, Refined
from mediagen.serve.errors import Refused
from mediagen.serve.fields import _collected, fitted
from mediagen.serve.limits import Limits
from mediagen.serve.media import Media
from mediagen.serve.models import Models
from mediagen.serve.records import Record
from mediagen.serve.studio import Studio

SIDE = controlled.SIDE
WALK = {"seed": 3, "steps": 2}


def laid(folder: Path, pipe: Any, family: str) -> dict[str, Path]:
    """What an operator lays out: folders of each kind, with what fits this model."""
    unet = controlled.network(pipe)
    folders = {kind: folder / kind for kind in ("lora", "control", "words", "image_prompt")}
    for place in folders.values():
        place.mkdir(parents=True)
    adapted.diffusers({"unet": adapted.factors(unet, ("to_q",), 3)}, folders["lora"] / "style.safetensors")
    for number, name in enumerate(("edges", "shade")):
        controlled.drawn(folders["control"] / name, family, unet, 11 + number)
    width = {"emb_params": torch.ones(2, 32)} if family == "sd" else {"clip_l": torch.ones(2, 32)}
    save_file(width, folders["words"] / "sks.safetensors")
    (folders["image_prompt"] / "looks").mkdir()
    test_image_prompts.adapter(folders["image_prompt"] / "looks", unet, 21)
    return folders


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), tiny.scheduler("DDIMScheduler", **tiny.DDIM))


@pytest.fixture(scope="module")
def folders(sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return laid(tmp_path_factory.mktemp("adapters"), mediagen.load(sd), "sd")


@pytest.fixture
def studio(sd: Path, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """What makes jobs, in this process and in the folder of the media."""
    media = Media(tmp_path / "media")
    monkeypatch.chdir(media.folder)
    adapters.link(media.folder, folders)
    made = Studio({"sd": sd}, media, Limits(), tuple(folders))
    controlled.picture(1).save(media.folder / "given-shown.png")
    return made


def job(name: str = "1", sources: tuple[str, ...] = (), **options: Any) -> Record:
    asked = {"prompt": "a red cat", "size": [SIDE, SIDE], **WALK, **options}
    places = dict.fromkeys(sources, "given-shown.png")
    return Record(id=name, endpoint="", modality="image", model="sd", asked=asked, sources=places)


def made(studio: Studio, record: Record) -> Any:
    *_, last = studio.make([studio.plan(record)])
    return image.load(studio._media.folder / last.files[record.id][0])


# ---- what may be named


def test_what_lies_in_a_folder_is_named_and_nothing_else(folders: dict[str, Path], tmp_path: Path) -> None:
    assert adapters.offered("control", folders["control"]) == {"edges": "edges", "shade": "shade"}
    assert adapters.offered("words", folders["words"]) == {"sks": "sks.safetensors"}
    assert adapters.offered("image_prompt", folders["image_prompt"]) == {"looks": "looks/ip.safetensors"}
    assert adapters.offered("control", None) == {}
    for name, kind in (("dpt", "DPTForDepthEstimation"), ("people", "VitPoseForPoseEstimation"), ("x", "BertModel")):
        (tmp_path / "hint" / name).mkdir(parents=True)
        (tmp_path / "hint" / name / "config.json").write_text(json.dumps({"architectures": [kind]}))
    (tmp_path / "hint" / "config.json").write_text("[")
    seen = adapters.offered("hint", tmp_path / "hint")
    assert seen == {"depth:dpt": "dpt", "pose:people": "people"}
    placed = adapters.placed(
        {"control": folders["control"], "hint": tmp_path / "hint"},
        {"control": [{"name": "edges", "hint": "depth:dpt"}]},
        {"control.0": "a picture"},
    )
    assert placed["control"][0]["hint"] == f"depth:./{tmp_path / 'hint'}/dpt"


def test_hints_are_those_of_the_library() -> None:
    assert set(adapters.HINTS) == set(hints.PLAIN) and set(adapters.SEEN.values()) == set(hints.ESTIMATED)


@pytest.mark.parametrize("wrong", ["none", "../control/edges", "edges/config.json", "owner/name", "", ".", "edges\0"])
def test_a_name_is_no_path(folders: dict[str, Path], wrong: str) -> None:
    asked = {
        "lora": [(wrong, 1.0)],
        "words": {"sks": wrong},
        "control": [{"name": wrong}],
        "image_prompt": [{"name": wrong}],
    }
    for kind, value in asked.items():
        with pytest.raises(Refused, match=r"there is no .* here: ") as caught:
            adapters.check(folders, {kind: value})
        about = caught.value.body["error"]
        assert (caught.value.status, about["param"], about["code"]) == (404, kind, f"{kind}_not_found")
        with pytest.raises(Refused, match="none is offered"):
            adapters.check({}, {kind: value})
    for hint in (wrong, f"depth:{wrong}", "depth:/etc", "depth:Intel/dpt-large"):
        if hint:
            with pytest.raises(Refused, match=r"there is no hint .* here: canny, luminance"):
                adapters.check(folders, {"control": [{"name": "edges", "hint": hint}]})


def test_fields_of_json_and_of_forms() -> None:
    one = fitted(Adapted, {"control": {"name": "edges", "image": "file-1", "weight": 0.5}, "words": "sks"})
    assert (one.control[0].name, one.control[0].image, one.control[0].weight) == ("edges", "file-1", 0.5)
    assert one.walk["words"] == ["sks"]
    items = [("control[name]", "edges"), ("control[image]", "file-1"), ("control[weight]", ""), ("words[a cat]", "sks")]
    form = fitted(Adapted, _collected(items))
    assert form.control[0].weight == 1 and form.walk["words"] == {"a cat": "sks"}
    empty = fitted(Refined, {"control": "", "words": "", "image_prompt": "", "refiner": "", "share": ""})
    assert not any((empty.control, empty.walk["words"], empty.image_prompt, empty.refiner, empty.share))
    assert fitted(Refined, {"refiner": "two", "share": 0.7}).walk["share"] == 0.7
    with pytest.raises(Refused, match=r"control\[name\] is there more than once"):
        _collected([("control[name]", "edges"), ("control[name]", "shade")])


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"control": "edges"}, "control"),
        ({"control": [{"image": "x"}]}, "control.0.name"),
        ({"control": {"name": "edges", "weight": 11}}, "control.0.weight"),
        ({"control": {"name": "edges", "start": 0.5, "end": 0.5}}, "control.0"),
        ({"control": {"name": "edges", "path": "/etc"}}, "control.0.path"),
        ({"control": [{"name": "edges"}] * 5}, "control"),
        ({"image_prompt": {"name": "looks", "encoder": "/etc"}}, "image_prompt.0.encoder"),
        ({"words": {"": "sks"}}, "words"),
        ({"share": 0.5}, "share"),
        ({"refiner": "two", "share": 1}, "share"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        assert fitted(Refined, wrong).walk
    about = caught.value.body["error"]
    assert caught.value.status == 400 and about["param"].startswith(param) and param.split(".")[0] in about["message"]


# ---- what is made


def meant(kind: str, folders: dict[str, Path]) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """(what a request says, the pictures that it shows, the same as options of the library)."""
    picture = controlled.picture(1)
    if kind == "control":
        asked = {"name": "edges", "hint": "luminance", "weight": 0.7, "end": 0.6}
        more = {name: value for name, value in asked.items() if name != "name"}
        return {kind: [asked]}, ("control.0",), {kind: {"model": folders[kind] / "edges", "image": picture, **more}}
    if kind == "image_prompt":
        file = folders[kind] / "looks" / "ip.safetensors"
        return {kind: [{"name": "looks"}]}, ("image_prompt.0",), {kind: (file, picture)}
    if kind == "words":
        return {kind: {"red": "sks"}}, (), {kind: {"red": folders[kind] / "sks.safetensors"}}
    return {kind: [("style", 0.5)]}, (), {kind: (folders[kind] / "style.safetensors", 0.5)}


@pytest.mark.parametrize(
    "kind", ["control", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("lora", "words", "image_prompt"))]
)
def test_the_same_as_the_library_and_nothing_of_it_afterwards(
    kind: str, studio: Studio, sd: Path, folders: dict[str, Path]
) -> None:
    """On one model: each job is what a fresh one makes, and can be made again from its file."""
    asked, sources, options = meant(kind, folders)
    fresh, plain = (
        Models({"sd": sd}).open("sd").generate("a red cat", size=SIDE, **WALK, **each).sha256 for each in (options, {})
    )
    one = made(studio, job("one", sources, **asked))
    assert one.sha256 == fresh != plain == made(studio, job("after")).sha256
    assert f'"path": "./{kind}/' in one.metadata and str(folders[kind].parent) not in one.metadata
    assert mediagen.replay(studio._media.folder / "one-0.png").equal


def test_an_image_prompt_of_another_model_is_refused_before_it_waits(
    sd: Path, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folders["image_prompt"] / "looks", tmp_path / "prompts" / "wide")
    file = tmp_path / "prompts" / "wide" / "ip.safetensors"
    rows = {name: each.repeat_interleave(2, -1) if "_ip." in name else each for name, each in load_file(file).items()}
    save_file(rows, file)
    media = Media(tmp_path / "media")
    monkeypatch.chdir(media.folder)
    controlled.picture(1).save(media.folder / "given-shown.png")
    adapters.link(media.folder, {"image_prompt": tmp_path / "prompts"})
    studio = Studio({"sd": sd}, media, Limits(), ("image_prompt",))
    said = r"the IP-Adapter \./image_prompt/wide/ip\.safetensors was made for another model: its attention 0 is .*"
    with pytest.raises(Refused, match=f"^{said}$"):
        studio.plan(job("1", ("image_prompt.0",), image_prompt=[{"name": "wide"}]))


def test_a_job_that_is_left_leaves_nothing(studio: Studio) -> None:
    """After each of its events."""
    plain = made(studio, job("plain")).sha256
    asked = job("led", ("control.0",), control=[{"name": "edges"}], lora=[("style", 1.0)], words={"red": "sks"})
    count = len(list(studio.make([asked])))
    unet = studio._models.open("sd").model.adapts.parts["unet"]
    for stop in range(1, count):
        events = studio.make([asked])
        for _ in range(stop):
            next(events)
        events.close()
        assert not any(part._forward_hooks for part in unet.modules())
        if stop in (1, count - 1):
            assert made(studio, job("after")).sha256 == plain


def test_what_went_away_is_not_looked_for_elsewhere(
    sd: Path, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is named like a repository, and gone, is not fetched."""
    import huggingface_hub

    fetched: list[Any] = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **_: fetched.append(a))
    mine = tmp_path / "mine"
    shutil.copytree(folders["control"], mine)
    media = Media(tmp_path / "media")
    monkeypatch.chdir(media.folder)
    controlled.picture(1).save(media.folder / "given-shown.png")
    adapters.link(media.folder, {"control": mine})
    studio = Studio({"sd": sd}, media, Limits(), ("control",))
    asked = job("1", ("control.0",), control=[{"name": "edges"}])
    shutil.rmtree(mine / "edges")
    with pytest.raises(Refused, match="the control network 'edges' that is asked for is not there any more"):
        studio.plan(asked)
    with pytest.raises(ValueError, match=r"there is no \./control/edges"):
        studio._models.open("sd").job("a cat", control=("./control/edges", controlled.picture(1)))
    assert not fetched


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"control": [{"name": "edges", "mode": 1}]}, "./control/edges is no union network: leave out mode"),
        ({"words": ["sks"]}, "the learned word 'sks' .* is in no prompt"),
        ({"words": {"red": "sks"}, "control": [{"name": "sks"}]}, "the control network 'sks' that is asked for"),
    ],
)
def test_what_cannot_be_is_refused_before_it_waits(studio: Studio, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        studio.plan(job("1", ("control.0",) if "control" in options else (), **options))
