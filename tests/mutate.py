"""Cuts wires one at a time and looks whether the tests notice.

    python -m tests.mutate                      every mutation of tests/mutations
    python -m tests.mutate --jobs 2 ema clip    those whose file, texts or tests contain one of the words

Each mutation is made in a copy of the project, never in the project itself. It is *killed* when the tests that it names
fail, and *survives* when they pass: then a test is missing. It is *stale* when its text does not occur exactly once in
its file, or when a test that it names is missing. A test that does not end in time proves nothing (*timeout*). The exit
code is 0 only where every mutation was killed.

Importing torch takes longer than most tests. So it is imported once, and every run of pytest is a fork of this process
(Linux and macOS).
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutations import MUTATIONS, Mutation
from tests.places import ROOT, SHARED

TIMEOUT = 300.0  # seconds
_WORDS = ("killed", "survived", "stale", "timeout")
_LIBRARIES = (
    *("torch", "torch.utils.data", "torch.utils.tensorboard", "torchvision.ops", "cv2", "pydantic", "PIL.ImageDraw"),
    *("matplotlib.pyplot", "pycocotools.cocoeval", "tabulate", "tqdm", "yaml", "hypothesis.strategies", "pytest"),
)
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "venv", "runs", "__pycache__", ".*_cache", ".hypothesis")
_PASSED, _FAILED = 0, 1  # exit codes of pytest; any other one means that no test ran


@dataclass(frozen=True)
class Outcome:
    """How a mutation ended, one of `_WORDS`; `output` is what pytest wrote."""

    mutation: Mutation
    word: str
    seconds: float
    output: str = ""


@dataclass(frozen=True)
class Running:
    """A fork of this process that runs tests in `tree`."""

    mutation: Mutation
    tree: Path
    start: float


def mutated(text: str, mutation: Mutation) -> str:
    """The file's text with the mutation in it.

    Raises:
        ValueError: what is to be replaced does not occur exactly once, or the replacement is the same.
    """
    if (count := text.count(mutation.old)) != 1:
        raise ValueError(f"{mutation.file}: {mutation.old!r} occurs {count} times, not once")
    if mutation.old == mutation.new:
        raise ValueError(f"{mutation.file}: {mutation.old!r} is replaced by itself")
    return text.replace(mutation.old, mutation.new)


def chosen(words: Sequence[str]) -> list[Mutation]:
    """The mutations one of whose fields has one of the words; all of them without words."""
    texts = [(mutation, " ".join(map(str, mutation)).lower()) for mutation in MUTATIONS]
    return [mutation for mutation, text in texts if not words or any(word.lower() in text for word in words)]


@contextmanager
def copies(count: int) -> Iterator[list[Path]]:
    """Copies of the project, each beside a link to the folder `shared` where there is one."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        trees = [Path(folder) / str(number) / ROOT.name for number in range(count)]
        for tree in trees:
            shutil.copytree(ROOT, tree, ignore=_LEFT_OUT, symlinks=True)
            if SHARED.is_dir():
                (tree.parent / SHARED.name).symlink_to(SHARED)
        yield trees


def run_tests(tree: Path, tests: Sequence[str], log: Path) -> int:
    """Forks: the child runs pytest in `tree` and writes into `log`; the parent gets the child's id."""
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        os.setsid()  # a group of its own, so that the tests' own processes end with it
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = _pytest(tree, tests)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _pytest(tree: Path, tests: Sequence[str]) -> int:
    """pytest's exit code; nothing of the project that lies in ROOT is imported."""
    import pytest
    from hypothesis import Phase, settings

    # A failing example is enough, it need not be a small one.
    settings.register_profile("mutate", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("mutate")
    os.chdir(tree)
    sys.dont_write_bytecode = True  # files of one size and second would share their bytecode
    sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    # One seed for hypothesis: a mutation is killed always or never.
    return int(
        pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--rootdir", str(tree), *tests])
    )


class Pool:
    """Runs mutations, one in each tree at a time."""

    def __init__(self, trees: Sequence[Path], timeout: float = TIMEOUT) -> None:
        self.free = list(trees)
        self.timeout = timeout
        self.running: dict[int, Running] = {}

    def run(self, mutations: Sequence[Mutation]) -> Iterator[Outcome]:
        """The outcomes as they come."""
        waiting = list(mutations)
        try:
            while waiting or self.running:
                while waiting and self.free:
                    if stale := self._start(waiting.pop(0)):
                        yield stale
                if outcome := self._collect():
                    yield outcome
                else:
                    time.sleep(0.02)
        finally:
            for child in self.running:
                os.killpg(child, signal.SIGKILL)

    def _start(self, mutation: Mutation) -> Outcome | None:
        tree = self.free[-1]
        file = tree / mutation.file
        try:
            file.write_text(mutated((ROOT / mutation.file).read_text(), mutation))
        except (OSError, ValueError) as error:
            return Outcome(mutation, "stale", 0.0, str(error))
        self.free.pop()
        self.running[run_tests(tree, mutation.tests, tree.parent / "log")] = Running(mutation, tree, time.monotonic())
        return None

    def _collect(self) -> Outcome | None:
        for child, run in self.running.items():
            ended, status = os.waitpid(child, os.WNOHANG)
            late = time.monotonic() - run.start > self.timeout
            if not ended and late:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            if ended or late:
                del self.running[child]
                return self._finish(run, None if not ended else os.waitstatus_to_exitcode(status))
        return None

    def _finish(self, run: Running, code: int | None) -> Outcome:
        shutil.copyfile(ROOT / run.mutation.file, run.tree / run.mutation.file)
        self.free.append(run.tree)
        word = {_PASSED: "survived", _FAILED: "killed", None: "timeout"}.get(code, "stale")
        output = (run.tree.parent / "log").read_text(errors="replace")
        return Outcome(run.mutation, word, time.monotonic() - run.start, output)


def passes_unchanged(tree: Path, mutations: Sequence[Mutation]) -> bool:
    """Whether the named tests pass as long as nothing is mutated: a test that always fails notices nothing."""
    tests = list(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    log = tree.parent / "log"
    _, status = os.waitpid(run_tests(tree, tests, log), 0)
    if os.waitstatus_to_exitcode(status) == _PASSED:
        return True
    print(log.read_text(errors="replace"))
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the mutations and prints a line for each; 0 where all were killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description="Do the tests notice a cut wire?")
    parser.add_argument("words", nargs="*", help="only mutations whose file, texts or tests contain one of these")
    parser.add_argument("--jobs", type=int, default=2, help="mutations that run at a time (default 2)")
    options = parser.parse_args(arguments)
    mutations = chosen(options.words)
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in _LIBRARIES:
        importlib.import_module(name)
    outcomes = []
    with copies(max(options.jobs, 1)) as trees:
        if not passes_unchanged(trees[0], mutations):
            print("the tests fail without any mutation: mend them first")
            return 1
        for outcome in Pool(trees).run(mutations):
            print(f"{outcome.word:8} {outcome.seconds:5.1f} s  {outcome.mutation}", flush=True)
            if outcome.word in ("stale", "timeout"):
                print(outcome.output)
            outcomes.append(outcome)
    counts = {word: sum(outcome.word == word for outcome in outcomes) for word in _WORDS}
    print(", ".join(f"{count} {word}" for word, count in counts.items()), f"of {len(outcomes)} mutations")
    return 0 if counts["killed"] == len(outcomes) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
