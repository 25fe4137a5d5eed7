"""Where a run writes: `project/name`, `project/name2`, ...; and what it was started with."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from engine.errors import EngineError
from files.atomic import LEFTOVER_AGE_S, remove_leftovers
from files.folder_lock import FolderInUseError, folder_lock
from files.paths import expanded
from files.strict_yaml import read_yaml

OPTIONS = "opt.yaml"
"""The options of a training, in the folder of its run."""


def next_run_dir(project: str | Path, name: str, exist_ok: bool = False) -> Path:
    """Creates and returns `project/name`, or with the first free number appended when that exists.

    Args:
        exist_ok: use `project/name` even when it exists.

    Raises:
        EngineError: the folder cannot be made or written.
    """
    base = Path(project) / name
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{base.name}{number}")
        try:
            # mkdir is atomic: of two runs that start together, one gets the folder and the other the next number.
            folder.mkdir(parents=True, exist_ok=exist_ok)
        except FileExistsError:
            if exist_ok or not folder.is_dir():
                raise EngineError(f"{folder}: is a file, not a folder; choose another --project or --name") from None
            number += 1
            continue
        except OSError as error:
            raise _not_made(folder, error) from None
        if not os.access(folder, os.W_OK):
            raise EngineError(f"{folder}: cannot be written; choose another --project or change its permissions")
        remove_leftovers(folder, LEFTOVER_AGE_S)  # of a run that was killed
        return folder


def reserve_run_dir(project: str | Path, name: str, exist_ok: bool, held: ExitStack) -> Callable[[], Path]:
    """What makes the folder of a run, see `next_run_dir`, and keeps other runs out of it until `held` is closed.

    A folder that is there already is locked at once: whoever would have to wait for another run should know it before
    the work begins. Nothing is made until the function is called.

    Raises:
        EngineError: another run writes into the folder, or it could not be made.
    """
    base = Path(project) / name
    _check_place(base)
    if exist_ok and base.is_dir():
        lock_run(base, held)
        return lambda: next_run_dir(project, name, exist_ok=True)

    def make() -> Path:
        folder = next_run_dir(project, name, exist_ok)
        lock_run(folder, held)
        return folder

    return make


def _check_place(folder: Path) -> None:
    """Raises EngineError where a folder cannot be made, as far as that shows without making it."""
    there = folder
    while _missing(there) in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG) and there != there.parent:
        there = there.parent
    for part in folder.relative_to(there).parts:  # each on its own, since the system asks for the first folder first
        if _missing(there / part) == errno.ENAMETOOLONG:
            raise _not_made(folder, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
    if not there.is_dir():
        raise EngineError(f"{there}: is a file, not a folder; choose another --project or --name")
    if not os.access(there, os.W_OK):
        raise EngineError(f"{there}: cannot be written; choose another --project or change its permissions")


def _missing(path: Path) -> int:
    """The system's number of the reason why nothing can be found at a path; 0 where something is there."""
    try:
        path.stat()
    except OSError as error:
        return error.errno or errno.ENOENT
    return 0


def _not_made(folder: Path, error: OSError) -> EngineError:
    remedy = "a shorter --name" if error.errno == errno.ENAMETOOLONG else "another --project"
    return EngineError(f"{folder}: cannot be created ({error.strerror}); choose {remedy}")


def lock_run(folder: Path, held: ExitStack, remedy: str = "wait for its end, or choose another --name") -> None:
    """Keeps other runs out of a folder until `held` is closed, or the process ends.

    Args:
        remedy: what to do where another run has it.

    Raises:
        EngineError: another run writes into it, or it cannot be written.
    """
    try:
        held.enter_context(folder_lock(folder))
    except FolderInUseError as owner:
        raise EngineError(f"{folder}: {owner} writes into it; {remedy}") from None
    except OSError as error:
        raise EngineError(f"{folder}: cannot be written ({error.strerror}); change its permissions") from None


def newest_checkpoint(project: Path) -> Path | None:
    """The `last.pt` of the run below `project` that was written last; None where there is none."""
    found = [(path.stat().st_mtime_ns, path) for path in project.glob("**/weights/last.pt") if path.is_file()]
    return max(found)[1] if found else None


def recorded_data(weights: str | Path) -> str:
    """The data-set YAML of the training that weights come from; '' where they do not lie in the folder of a run.

    Checkpoints do not name it, since they are handed on and their author's paths mean nothing elsewhere; `opt.yaml`
    stays where it was written.

    Raises:
        EngineError: the options of the run are there, but cannot be read.
    """
    folder = expanded(weights).resolve().parent
    options = folder.parent / OPTIONS
    if folder.name != "weights" or not options.is_file():
        return ""
    form = "name the data set with --data"
    data = read_yaml(options, EngineError, form).content.get("data")
    if not isinstance(data, str) or not data:
        raise EngineError(f"{options}: does not say which data set was trained on; {form}")
    return data
