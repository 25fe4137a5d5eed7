"""Only engine/cli prints, reads the command line and knows exit codes.

`python -m models` and `python -m data.demo` are commands too, of packages that must not import the engine: what stands
in a `__main__.py`, or below `if __name__ == "__main__"`, is theirs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

PACKAGES = ("files", "models", "data", "engine")
FORBIDDEN = {"print", "input", "sys.argv", "sys.exit", "sys.stdout", "sys.stderr", "exit", "quit", "os._exit"}
GUARD = "__name__ == '__main__'"
ALLOWED = {
    # the parser of all commands
    "files/command.py": {"sys.argv"},
    # the one place that makes bars; drawn where a command asks for them
    "files/progress.py": {"a bar of its own"},
    # what commands print into
    "files/terminal.py": {"sys.stdout", "sys.stderr"},
    # asks where it leads, to hear what decoders write there
    "data/media/complaints.py": {"sys.stderr"},
    # prints when it is told to: results.print(), as users of torch.hub know it
    "engine/hub/results.py": {"print"},
}


def product_files() -> list[Path]:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return [file for file in files if file.name != "__main__.py" and ROOT / "engine/cli" not in file.parents]


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if __name__ == "__main__"`."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == GUARD):
            yield child
            yield from nodes(child)


def offences(text: str) -> list[str]:
    found = []
    for node in nodes(ast.parse(text)):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in FORBIDDEN:
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Name) and node.id == "SystemExit":
            found.append(node.id)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine.cli"):
            found.append(f"import of {node.module}")
        elif isinstance(node, ast.ImportFrom) and node.module == "tqdm":
            found.append("a bar of its own")
    return found


@pytest.mark.parametrize("file", product_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_rest_neither_prints_nor_knows_the_command_line(file: Path) -> None:
    assert {*offences(file.read_text())} <= ALLOWED.get(str(file.relative_to(ROOT)), set())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    print(1)", ["print"]),
        ("import sys\nsys.stderr.write('x')", ["sys.stderr"]),
        ("raise SystemExit(2)", ["SystemExit"]),
        ("from tqdm import tqdm", ["a bar of its own"]),
        ("from engine.cli.run import INTERRUPTED", ["import of engine.cli.run"]),
        ("if __name__ == '__main__':\n    print(1)", []),
        ("'print(1)'\nsys.platform", []),
    ],
)
def test_offences_are_found(text: str, expected: list[str]) -> None:
    assert offences(text) == expected
