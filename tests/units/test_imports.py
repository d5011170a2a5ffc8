"""Who may import whom, read from the source: the rule of the house, kept."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mediagen
from mediagen import families

ROOT = Path(mediagen.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# room -> the rooms of the package that it may import beside itself; `config` (YAML <-> dataclass) knows no room
BELOW = {
    "core": set(),
    "nn": set(),
    "modalities": set(),
    "backbones": {"nn", "config"},
    "autoencoders": {"nn", "config"},
    "conditioners": {"nn"},
    "generators": {"core", "backbones"},
}
HEAVY = {"diffusers", "transformers"}


def module_of(file: Path) -> str:
    parts = ("mediagen", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path, nodes: Iterator[ast.AST] | None = None) -> set[str]:
    """Full names of the modules that a file imports, anywhere in it, or in `nodes`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(file, node)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names if _is_module(f"{base}.{alias.name}")}
    return found


def _base(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = ("mediagen", *file.relative_to(ROOT).parts[:-1])
    return ".".join((*package[: len(package) - node.level + 1], *filter(None, [node.module])))


def _is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split(".")[1:])
    return name.startswith("mediagen.") and (place.is_dir() or place.with_suffix(".py").is_file())


def rooms(file: Path, nodes: Iterator[ast.AST] | None = None) -> set[str]:
    """The rooms (or files of the top) that a file imports, without the package itself, its root and its own room."""
    names = {name.split(".")[1] for name in imported(file, nodes) if name.startswith("mediagen.")}
    return names - {file.relative_to(ROOT).parts[0].removesuffix(".py")}


def running(file: Path, called: bool = True) -> Iterator[ast.AST]:
    """All but the bodies of `if TYPE_CHECKING`; unless `called`, what runs when a module is imported: without those of
    functions too."""
    waiting: list[ast.AST] = [ast.parse(file.read_text())]
    while waiting:
        node = waiting.pop()
        yield node
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if (called or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)) and not typing_only:
            waiting.extend(ast.iter_child_nodes(node))


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("room", BELOW)
def test_rooms_import_only_what_lies_below(room: str) -> None:
    wrong = {shown(f): sorted(rooms(f) - BELOW[room]) for f in FILES if f.is_relative_to(ROOT / room)}
    assert {k: v for k, v in wrong.items() if v} == {}


def test_only_the_top_imports_the_pipeline_and_families() -> None:
    """Rooms below know neither, training among them; `metrics` and `bench` measure finished models."""
    above = ("families", "pipelines", "bench", "metrics", "serve")
    inner = [f for f in FILES if f.parent != ROOT and f.relative_to(ROOT).parts[0] not in above]
    wrong = {shown(f): rooms(f, running(f)) & {"families", "pipelines", "cli"} for f in inner}
    assert {k: v for k, v in wrong.items() if v} == {}


def test_config_is_a_leaf() -> None:
    assert rooms(ROOT / "config.py") == set()


def test_core_imports_torch_only() -> None:
    known = {"torch", "einops", "mediagen", "__future__", *sys.stdlib_module_names}
    wrong = {shown(f): {n.split(".")[0] for n in imported(f)} - known for f in FILES if f.is_relative_to(ROOT / "core")}
    assert {k: v for k, v in wrong.items() if v} == {}


def test_diffusers_and_transformers_are_imported_inside_functions() -> None:
    wrong = [shown(f) for f in FILES if {n.split(".")[0] for n in imported(f, running(f, called=False))} & HEAVY]
    assert wrong == []


def test_a_familys_name_stays_in_its_file() -> None:
    names = {f.stem for f in (ROOT / "families").glob("*.py")} - {"model"}
    names = {name for name in names if not name.startswith("_")}  # what families share is none of them
    files = [f for f in FILES if f.relative_to(ROOT).parts[0] in ("core", "generators", "pipelines")]
    tables = {"core/timing.py": {"sdxl", "svd"}}  # what a paper calls its tables of noise levels is data, and no family
    wrong = {shown(f): (_words(f) & names) - tables.get(shown(f), set()) for f in files}
    assert {k: v for k, v in wrong.items() if v} == {}
    assert names and families.__doc__


def _words(file: Path) -> set[str]:
    """Identifiers, strings without spaces and imported names of a file: what code can speak of a family with."""
    words: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Name | ast.Attribute):
            words.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)
    return words | {part for name in imported(file) for part in name.split(".")}


def loaded_by(code: str) -> set[str]:
    """Top names of the modules that are loaded after `code` in a fresh process."""
    code += "; import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))


def test_the_package_and_the_command_load_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "PIL", "einops", "tokenizers", "safetensors", "accelerate", "scipy", *HEAVY}
    assert loaded_by("import mediagen, mediagen.cli") & heavy == set()


def test_the_shipped_models_path_loads_no_training_library(tiny_model: Path) -> None:
    code = f"import mediagen; mediagen.load({str(tiny_model)!r}).generate('a red ball', steps=1, seed=0)"
    found = loaded_by(code)
    assert found & {"accelerate", "tensorboard", "scipy", "sympy", "torchvision", *HEAVY} == set() and "torch" in found
