"""Where a run writes: `project/name`, `project/name2`, ...; and what it was started with."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import EngineError
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
            raise EngineError(f"{folder}: cannot be created ({error.strerror}); choose another --project") from None
        if not os.access(folder, os.W_OK):
            raise EngineError(f"{folder}: cannot be written; choose another --project or change its permissions")
        return folder


def recorded_data(weights: str | Path) -> str:
    """The data-set YAML of the training that weights come from; '' where they do not lie in the folder of a run.

    Checkpoints do not name it, since they are handed on and their author's paths mean nothing elsewhere; `opt.yaml`
    stays where it was written.

    Raises:
        EngineError: the options of the run are there, but cannot be read.
    """
    folder = Path(weights).expanduser().resolve().parent
    options = folder.parent / OPTIONS
    if folder.name != "weights" or not options.is_file():
        return ""
    form = "name the data set with --data"
    data = read_yaml(options, EngineError, form).content.get("data")
    if not isinstance(data, str) or not data:
        raise EngineError(f"{options}: does not say which data set was trained on; {form}")
    return data
