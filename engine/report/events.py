"""TensorBoard's event files: scalars by step, for its curves.

They are written by its own record writer, but not by its thread: a disk that is full would end that one with a
traceback of its own.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from files.faults import OutputError


class EventFile:
    """A file that grows by whole records.

    Args:
        folder: the run's folder.
        purge_step: values of this step and later ones, in older files of the folder, no longer count.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        self.path = folder / f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.0"
        head = [Event(file_version="brain.Event:2", step=purge_step)]
        if purge_step is not None:
            head.append(Event(session_log=SessionLog(status=SessionLog.START), step=purge_step))
        self._append(head)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Appends a value for each name.

        Raises:
            OutputError: the file cannot be written; it ends with its last whole record.
        """
        self._append([Event(summary=_scalar(name, value), step=step) for name, value in values.items()])

    def _append(self, events: list[Event]) -> None:
        records = io.BytesIO()
        writer = RecordWriter(records)
        for event in events:
            event.wall_time = time.time()
            writer.write(event.SerializeToString())
        size = None
        try:
            with self.path.open("ab", buffering=0) as file:
                size = file.tell()
                _write_all(file, records.getbuffer())
        except OSError as error:
            with suppress(OSError):
                if size:
                    os.truncate(self.path, size)
                else:
                    self.path.unlink(missing_ok=True)
            raise OutputError(self.path, error) from None


def _scalar(name: str, value: float) -> Summary:
    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def _write_all(file: io.FileIO, content: memoryview) -> None:
    """A write without a buffer may take a part only, such as what still fits on a disk."""
    while content:
        content = content[file.write(content) :]
