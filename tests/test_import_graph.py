"""Imports go one way, and in no circle: scripts -> engine -> {models, data} -> files. Late imports count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.places import ROOT

ALLOWED = {
    "files": {"files"},
    "models": {"models", "files"},
    "data": {"data", "files"},
    "engine": {"engine", "models", "data", "files"},
}
PACKAGES = {*ALLOWED, "benchmarks"}
SCRIPTS = ["train.py", "val.py", "detect.py", "export.py"]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def syntax_tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every import of a file, at any depth of its code: the module, and the names taken from it."""
    for node in ast.walk(syntax_tree(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or "", tuple(alias.name for alias in node.names)


def imported_packages(file: Path) -> set[str]:
    return {module.split(".")[0] for module, _ in imports(file)} & PACKAGES


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_files(file: Path, known: set[str]) -> set[str]:
    """The modules among `known` that a file imports, `from package import module` included."""
    found = set()
    for module, names in imports(file):
        found |= {module, *(f"{module}.{name}" for name in names)} & known
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_one_way(package: str) -> None:
    assert sources(package)
    for file in sources(package):
        assert imported_packages(file) <= ALLOWED[package], file


def test_no_circle_within() -> None:
    files = {module_name(file): file for package in ALLOWED for file in sources(package)}
    graph = {name: imported_files(file, set(files)) - {name} for name, file in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("files import each other: " + " <- ".join(error.args[1]))


def test_no_circle_of_rooms() -> None:
    """Folders inside a package count as rooms; what lies in the package itself is a room for each file."""

    def room(name: str) -> str:
        return ".".join(name.split(".")[:2])

    files = {module_name(file): file for package in ALLOWED for file in sources(package)}
    graph: dict[str, set[str]] = {}
    for name, file in files.items():
        own = room(name)
        if "." in name:  # a package's own __init__ hands names on from its rooms
            others = {room(other) for other in imported_files(file, set(files)) if "." in other}
            graph.setdefault(own, set()).update(others - {own})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("rooms import each other: " + " <- ".join(error.args[1]))


def test_the_ground_floor_does_without_torch() -> None:
    for file in sources("files"):
        assert not {module.split(".")[0] for module, _ in imports(file)} & {"torch", "torchvision", "cv2"}, file


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_thin(script: str) -> None:
    file = ROOT / script
    assert imported_packages(file) == {"engine"}
    assert len(file.read_text().splitlines()) <= 9


def test_blocks_do_not_know_the_parser() -> None:
    for file in sources("models/blocks"):
        for module, _ in imports(file):
            assert not module.startswith(("models.parser", "models.config", "models.detector", "models.weights")), file


def test_no_block_is_named_outside_of_its_file() -> None:
    """What is known of a block stands in its decorator; only `models` itself hands three of them on.

    Heads are made of plain convolutions, as blocks are.
    """
    shared, of_heads = {"models.blocks.activation"}, {"models.blocks.conv"}
    for package in sorted(ALLOWED):
        for file in sources(package):
            if not file.is_relative_to(ROOT / "models" / "blocks") and file != ROOT / "models" / "__init__.py":
                blocks = {module for module, _ in imports(file) if module.startswith("models.blocks.")}
                assert blocks <= (shared | of_heads if file.parent == ROOT / "models" / "heads" else shared), file


def test_nothing_is_evaluated_or_unpickled() -> None:
    for package in sorted(ALLOWED):
        for file in sources(package):
            for node in ast.walk(syntax_tree(file)):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func)
                    assert name not in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.unsafe_load"}, file
                    if name == "torch.load":
                        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                        # The one other reader has an allow-list of names: test_foreign_refused.py.
                        restricted = file.name == "unpickling.py" and given.get("pickle_module") == "reader"
                        assert given["weights_only"] == "True" or restricted, file
