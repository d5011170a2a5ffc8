"""Opening a model: who knows it by its files, and the pipeline of its modality."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import families
from ..families._loading import read
from ..families.model import Model
from .base import Pipeline


def load(name_or_path: str | Path = "mini-image", **options: Any) -> Pipeline:
    """A shipped model by name, a model folder, or a published checkpoint: a folder, a repository (owner/name, or
    owner/name@revision) or a .safetensors file, as the pipeline of its modality. options: `families._loading.Loading`.
    ValueError naming what ships if there is none."""
    if not isinstance(name_or_path, str | Path):
        raise ValueError(f"a model is a name or a path, not {name_or_path!r}")
    shipped, loading = models(), read(options)
    source = shipped.get(str(name_or_path), name_or_path)
    return of(family_of(source, loading.revision).load(source, loading))


def commanded(name_or_path: str | Path) -> Mapping[str, Any]:
    """What a command loads a model with where its user says nothing: its family may have COMMANDED."""
    return getattr(family_of(models().get(str(name_or_path), name_or_path)), "COMMANDED", {})


def family_of(source: str | Path, revision: str | None = None) -> Any:
    """The module that knows a model by its files, those of a revision of a repository. ValueError if there is none."""
    asked = source if revision is None or Path(source).exists() else f"{source}@{revision}"
    for family in _families():
        if family.claims(asked):
            return family
    raise ValueError(
        f"unknown model {str(source)!r}: neither a shipped model ({', '.join(models())}) nor a model's folder (with "
        "card.yaml, model_index.json or config.json), a .safetensors file or a repository (owner/name)"
    )


def of(model: Model) -> Pipeline:
    """The pipeline of a model's modality: the class that `<modality>.py` of this room calls PIPELINE."""
    name = f"{__package__}.{model.modality}"
    module = importlib.import_module(name) if importlib.util.find_spec(name) else None
    if not hasattr(module, "PIPELINE"):
        raise ValueError(f"the model {model.name} makes {model.modality!r}, which this version knows nothing of")
    return module.PIPELINE(model)


def models() -> Mapping[str, Path]:
    """The shipped models: name -> folder."""
    return {name: folder for family in _families() for name, folder in family.cards().items()}


def _families() -> list[Any]:
    """The modules that know models by their files."""
    names = [m.name for m in pkgutil.iter_modules(families.__path__) if not m.name.startswith("_")]
    found = [importlib.import_module(f"{families.__name__}.{name}") for name in names]
    return [module for module in found if hasattr(module, "claims")]
