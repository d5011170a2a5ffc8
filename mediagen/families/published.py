"""Published checkpoints in diffusers' layout: a folder, a repository, or a single .safetensors file.

Which family it is, its own files say: the class that `model_index.json` names, or the keys of a single file. A family
file (`sd.py`, ...) has PIPELINES, the classes that it reads, OPTIONS for diffusers' loader, and `model(pipe, about)`;
some have LIBRARIES, diffusers' own modules beside its pipelines that their parts come from, and READ, what stands in
the place of parts that prompts pass through where there are no weights.
Only safetensors are read, unless another kind is allowed in so many words, and no code of a checkpoint is run. Offline
(HF_HUB_OFFLINE) the network is not asked, and neither is it of a commit that is in the cache.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import __name__ as ROOM
from . import __path__ as PLACES
from . import _hub as hub
from . import _quantized as quantized
from . import _single as single
from . import _whole as whole
from ._files import PICKLES, check_variant, fingerprint, header, left, variant_of
from ._fitted import fitted
from ._largest import bounded
from ._loading import OFFLOADS as OFFLOADS
from ._loading import PLAIN, Loading
from ._outline import Part, bare
from ._outline import outline as outlined
from ._placing import place
from ._quiet import quiet
from .model import Model

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")  # whose classes a checkpoint may name
COMMANDED = {"dtype": "auto"}  # how commands load them, where nothing is said; Python's `load` is exact


def cards() -> dict[str, Path]:
    """None of them ships."""
    return {}


def claims(source: str | Path) -> bool:
    """Whether it is a folder with a model index, a single file, or looks like a repository."""
    path = Path(source)
    if path.exists():
        return (path / INDEX).is_file() or (path.is_file() and path.suffix in (".safetensors", *PICKLES))
    return isinstance(source, str) and bool(hub.REPOSITORY.fullmatch(source))


def load(source: str | Path, loading: Loading = PLAIN) -> Model:
    """A published checkpoint -> the model, ready to run. ValueError, in one line, for what cannot be loaded."""
    return opened(source, loading)[0]


def opened(source: str | Path, loading: Loading = PLAIN) -> tuple[Model, Any]:
    """(the model, diffusers' own pipeline of the same parts), for those who compare the two."""
    needs_diffusers()
    path, name = Path(source), hub.named(source, loading.revision)
    if path.is_file():
        return _folder(_beside(path, loading), name, loading, path)
    return _folder(path if path.is_dir() else _fetched(name, loading=loading), name, loading)


def pipelines() -> dict[str, Any]:
    """The pipeline classes that are supported: name -> family module."""
    names = sorted(m.name for m in pkgutil.iter_modules(PLACES) if not m.name.startswith("_"))
    found = [importlib.import_module(f"{ROOM}.{name}") for name in names if f"{ROOM}.{name}" != __name__]
    return {kind: module for module in found for kind in getattr(module, "PIPELINES", ())}


def outline(source: str | Path, revision: str | None = None) -> tuple[Model, list[Part], list[str]]:
    """(the model without its weights, its parts, the names of the denoiser's), for what is counted before it is
    loaded. Of a repository only configurations and tokenizers are fetched."""
    from ._adapters import About

    needs_diffusers()
    path, name = Path(source), hub.named(source, revision)
    folder = _beside(path) if path.is_file() else path if path.is_dir() else _fetched(name, weights=False)
    index = _index(folder / INDEX)
    kind, family = _family(index, name)
    needed = list(_needed(folder, index, family, name))
    try:
        with quiet():
            read = getattr(family, "READ", {})
            pipe, parts = outlined(_class(kind), folder, index, needed, family.OPTIONS, read)
            for part in needed:
                whole.check_words(part, getattr(pipe, part, None))
        made = bounded(family.model(pipe, About(name=name, hash="")))
        bare(pipe)
    except Exception as error:  # as in `_built`
        raise ValueError(f"cannot plan the checkpoint {name}: {hub.line(error)}{left(folder)}") from error
    return made, parts, [part.name for part in parts if part.name in quantized.DENOISERS]


def _folder(folder: Path, name: str, loading: Loading, file: Path | None = None) -> tuple[Model, Any]:
    """file: a single file, whose parts stand in the place of the folder's."""
    index = _index(folder / INDEX)
    kind, family = _family(index, name)
    held = [] if file is None else single.held(list(header(file)[1]), _wanted(index, family, loading))
    files = ([] if file is None else [file]) + _parts(folder, index, family, name, loading, held)
    absent = {part: None for part, made in index.items() if isinstance(made, list) and None in made}
    kinds = {"use_safetensors": None if loading.allow_pickles else True, "variant": loading.variant}
    options = absent | family.OPTIONS | {"local_files_only": True} | kinds

    def read() -> Any:
        how = _how(folder, index, loading)
        if file is not None:
            bits = how.pop("quantization_config", None)
            how |= single.read(file, held, index, folder, loading.torch_dtype, bits)
        pipe = _class(kind).from_pretrained(folder, **options, **how)
        for part in (part for part in _needed(folder, index, family, name) if part not in (*held, *loading.parts)):
            whole.check(part, getattr(pipe, part, None), _own(folder / part, loading, part))
            whole.check_words(part, getattr(pipe, part, None))
        return pipe

    return _built(family, name, folder, files, read, loading)


def _beside(file: Path, loading: Loading | None = None) -> Path:
    """The folder of the configurations of a single file, and of the parts that it does not hold: its own, or that of
    the repository that its keys say. loading: what is wanted of its weights; None for none."""
    if (file.parent / INDEX).is_file():
        return file.parent
    entries = header(file)[1]
    name = single.usual({key: entry["shape"] for key, entry in entries.items()})
    if name is None:
        raise ValueError(f"the keys of {file} are those of no known checkpoint; put its {INDEX} and folders beside it")
    folder = _fetched(name, weights=False)
    index = _index(folder / INDEX)
    if loading is None:
        return folder
    wanted = _wanted(index, _family(index, name)[1], loading)
    held = single.held(list(entries), wanted)
    lacking = [part for part in wanted if part not in held and (folder / part / "config.json").is_file()]
    return folder if not lacking else _fetched(name, weights=False, loading=loading, parts=lacking)


def _wanted(index: Mapping[str, Any], family: Any, loading: Loading) -> dict[str, Any]:
    """The parts of an index that are read of a checkpoint, with their classes."""
    return {part: index[part] for part in _made(index) if part not in family.OPTIONS and part not in loading.parts}


def _how(folder: Path, index: Mapping[str, Any], loading: Loading) -> dict[str, Any]:
    """What diffusers' loader is told of dtype, bits and places, and the parts that stand in the place of others."""
    dtype, asked = loading.torch_dtype, {"quantization_config": None, "device_map": loading.device_map}
    asked["quantization_config"] = quantized.config(loading.quantize, dtype, index)
    for name, given in loading.parts.items():
        if not isinstance(index.get(name), list):
            raise ValueError(f"it has no part {name!r}; its parts: {', '.join(_made(index))}")
        asked[name] = quantized.part(_class(*reversed(index[name])), given, folder / name, dtype)
    return {"torch_dtype": dtype} | {name: value for name, value in asked.items() if value is not None}


def _made(index: Mapping[str, Any]) -> list[str]:
    """The parts that an index names."""
    return [part for part, made in index.items() if isinstance(made, list) and None not in made]


def _built(
    family: Any, name: str, folder: Path, files: Sequence[Path], read: Callable[[], Any], loading: Loading
) -> tuple[Model, Any]:
    from ._adapters import About

    about = About(name=name, hash=fingerprint(files) + loading.label)
    try:
        with quiet():
            pipe = read()
            if loading.quantize is None and not loading.parts and quantized.whole(pipe):
                pipe.to(loading.torch_dtype)
            if loading.quantize == "fp8":
                for network in filter(None, (getattr(pipe, part, None) for part in quantized.DENOISERS)):
                    quantized.eighths(network, loading.torch_dtype)
            place(pipe, loading)
    except Exception as error:  # diffusers, transformers, tokenizers and safetensors each raise their own
        raise ValueError(f"cannot load the checkpoint {name}: {hub.line(error)}{left(folder)}") from error
    try:
        return fitted(bounded(family.model(pipe, about)), loading), pipe
    except ValueError as error:
        raise ValueError(f"cannot load the checkpoint {name}: {error}") from error


def _class(kind: str, library: str = "diffusers") -> Any:
    return getattr(importlib.import_module(library), kind)


def _index(file: Path) -> Mapping[str, Any]:
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is no readable model index: {error}") from error
    if not isinstance(index, dict) or "_class_name" not in index:
        raise ValueError(f"{file} is no model index: it must be a mapping with _class_name, a pipeline of diffusers")
    for part, made in index.items():
        if isinstance(made, list) and part[0] != "_" and len(made) != 2:
            raise ValueError(f"{file} is no model index: {part} is {made}, and must be a library and a class")
    return index


def _family(index: Mapping[str, Any], name: str) -> tuple[str, Any]:
    """(pipeline class, family module); ValueError for a class that no family reads."""
    kind, known = index.get("_class_name"), pipelines()
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(
            f"{name} is a {kind}, which no family reads; supported: {', '.join(sorted(known))}. A family is a file in "
            "mediagen/families with PIPELINES, OPTIONS and model(pipe, about) -> Model: see docs/extending.md"
        )
    return kind, known[kind]


def _parts(
    folder: Path, index: Mapping[str, Any], family: Any, name: str, loading: Loading, held: Sequence[str] = ()
) -> list[Path]:
    """The weight files of a checkpoint's parts; ValueError for one that is missing, or no part that is known.
    held: those that a single file holds."""
    files: list[Path] = []
    for part in _needed(folder, index, family, name):
        if part not in (*held, *loading.parts):
            quantized.readable(folder / part)
        own = [] if part in held else _own(folder / part, loading, part)
        if held and not own and part not in {*held, *loading.parts} and (folder / part / "config.json").is_file():
            said = f"it holds {', '.join(held)}; put the weights into {folder / part}, or say parts={{{part!r}: ...}}"
            raise ValueError(f"the file {name} has no {part}, nor has the folder of its configurations: {said}")
        files += own
    if not files and not held:
        raise ValueError(f"the checkpoint {name} has no .safetensors weights, and no others are read")
    if loading.variant is not None:
        check_variant(name, loading.variant, files, folder.glob("*/*.safetensors"))
    return files


def _needed(folder: Path, index: Mapping[str, Any], family: Any, name: str) -> Iterator[str]:
    """The parts that a family reads of a checkpoint; ValueError for one that is not there, or of no known library."""
    allowed = (*LIBRARIES, *getattr(family, "LIBRARIES", ()))
    for part in (part for part in _made(index) if part not in family.OPTIONS):
        if (library := index[part][0]) not in allowed:
            raise ValueError(f"the checkpoint {name} wants its {part} from {library!r}: only {allowed} are loaded")
        if not (folder / part).is_dir():
            raise ValueError(f"the checkpoint {name} lacks its {part}: there is no folder {folder / part}")
        quantized.configuration(folder / part)
        yield part


def _own(folder: Path, loading: Loading, part: str) -> list[Path]:
    """The weight files that are read of a part: those of the variant, where it has any, or what stands in its place."""
    if part in loading.parts:
        given = loading.parts[part]
        return [Path(given)] if isinstance(given, str | Path) and Path(given).is_file() else []
    files, pickles = (sorted(folder.glob(kind)) for kind in ("*.safetensors", "*.bin"))
    if pickles and not files and not loading.allow_pickles:
        said = "which may run code as they are read: have them as .safetensors, or say allow_pickles=True"
        raise ValueError(f"the weights of {folder} are pickles (.bin), {said}")
    files = files or pickles
    chosen = [f for f in files if variant_of(f) == loading.variant] or [f for f in files if not variant_of(f)]
    if files and not chosen:
        kinds = sorted({variant_of(f) for f in files})
        raise ValueError(f"{folder} has weights of variants alone: say variant={' or '.join(map(repr, kinds))}")
    return chosen


def _fetched(name: str, weights: bool = True, loading: Loading = PLAIN, parts: Sequence[str] = ()) -> Path:
    """A repository (owner/name, or owner/name@revision) -> its folder in the cache. What it is, is looked at before
    its weights are fetched. parts: those whose weights are, where not all of them are wanted."""
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download, snapshot_download

    if not parts and (there := hub.pinned(name, INDEX, weights, loading.variant)):
        return there
    repository, where = hub.where(name)
    try:
        index = _index(Path(hf_hub_download(repository, INDEX, **where)))
        if not weights:
            allowed = ["*.json", "*/*.json", "*.txt", "*/*.txt", *(f"{part}/*.safetensors" for part in parts)]
            spared = None if loading.variant else ["*.*.safetensors"]  # of variants
            return Path(snapshot_download(repository, allow_patterns=allowed, ignore_patterns=spared, **where))
        _family(index, name)
        kinds = {"use_safetensors": None if loading.allow_pickles else True, "variant": loading.variant}
        return Path(DiffusionPipeline.download(repository, **kinds, **where))
    except ValueError as error:
        if loading.variant is not None and "variant=" in str(error):  # diffusers' own, which names none
            check_variant(name, loading.variant, (), fnmatch.filter(hub.files(name), "*/*.safetensors"))
        raise ValueError(hub.line(error)) from error
    except Exception as error:
        what = f"there is no folder {name}" if weights else f"the configurations of {name} are needed"
        raise ValueError(f"{what}, and no such repository can be fetched: {hub.reason(error)}") from error


def needs_diffusers() -> None:
    """ValueError for who has not installed what published checkpoints are read with."""
    needed = ("diffusers", "transformers", "accelerate")  # without the last one, what is not read would not be known
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"published checkpoints need {', '.join(missing)}: pip install 'mediagen[published]'")
