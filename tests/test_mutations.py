"""The list of tests/mutations.py fits the project: so it cannot rot while code moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutate import Pool, mutated
from tests.mutations import MUTATIONS, Mutation
from tests.places import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_every_entry_fits_its_file(mutation: Mutation) -> None:
    changed = mutated((ROOT / mutation.file).read_text(), mutation)
    compile(changed, mutation.file, "exec")
    for test in mutation.tests:
        file, name = test.split("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), test


def test_no_entry_stands_there_twice() -> None:
    assert len({(mutation.file, mutation.old, mutation.new) for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize(("text", "count"), [("a = 2\n", 0), ("a = 1\na = 1\n", 2)])
def test_what_does_not_stand_there_once_is_refused(text: str, count: int) -> None:
    with pytest.raises(ValueError, match=f"occurs {count} times"):
        mutated(text, Mutation("file.py", "a = 1", "a = 3", ()))


def test_the_runner_tells_killed_survived_and_stale_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, tree = tmp_path / "project", tmp_path / "copy" / "project"
    for place in (project, tree):
        place.mkdir(parents=True)
        (place / "code_under_test.py").write_text("import time\n\nONE = 1\nPAUSE = 0\n")
        (place / "pyproject.toml").write_text("")
        (place / "test_code.py").write_text(
            "import code_under_test\n\n\ndef test_one():\n    assert code_under_test.ONE == 1\n\n\n"
            "def test_pause():\n    code_under_test.time.sleep(code_under_test.PAUSE)\n"
        )
    monkeypatch.setattr("tests.mutate.ROOT", project)
    one, pause = "test_code.py::test_one", "test_code.py::test_pause"
    mutations = [
        Mutation("code_under_test.py", "ONE = 1", "ONE = 2", (one,)),
        Mutation("code_under_test.py", "ONE = 1", "ONE = 2", (pause,)),
        Mutation("code_under_test.py", "TWO = 2", "TWO = 1", (one,)),
        Mutation("code_under_test.py", "ONE = 1", "ONE = 2", ("test_code.py::test_gone",)),
    ]
    words = {outcome.mutation: outcome.word for outcome in Pool([tree]).run(mutations)}
    assert [words[mutation] for mutation in mutations] == ["killed", "survived", "stale", "stale"]
    endless = Mutation("code_under_test.py", "PAUSE = 0", "PAUSE = 100", (pause,))
    assert [outcome.word for outcome in Pool([tree], timeout=2).run([endless])] == ["timeout"]
    assert (tree / "code_under_test.py").read_text() == (project / "code_under_test.py").read_text()
