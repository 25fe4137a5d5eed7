"""What is written, and what is said: disks that are full, names that cannot be shown, formats that hold no more."""

from __future__ import annotations

from tests.mutations.mutation import cut

_ATOMIC = "tests/files/test_atomic.py"
_VIDEO = "tests/engine/detect/test_predict_video.py"
_OUTPUTS = "tests/engine/detect/test_predict_outputs.py"
_TERMINAL = "tests/files/test_terminal.py"

MUTATIONS = (
    *cut(
        "files/atomic.py",
        f"{_ATOMIC}::test_leftovers_of_a_killed_process",
        ("        self._lock = lock(self.temporary)\n", "        self._lock = None\n"),
        ("    held = lock(work)\n", "    held = None\n"),
        ("if held or (held is None", "if (held is None"),
    ),
    *cut(
        "files/atomic.py",
        f"{_ATOMIC}::test_a_full_disk_leaves_the_previous_file_and_no_temporary_one",
        ("        raise OutputError(path, error) from None\n\n\n@contextmanager", "        raise\n\n\n@contextmanager"),
    ),
    *cut(
        "engine/checkpoint.py",
        "tests/engine/test_checkpoint.py::test_a_full_disk_is_one_line_and_the_previous_checkpoint_stays",
        ("            raise into_temporary.fault from None\n", "            raise\n"),
    ),
    *cut(
        "engine/report/events.py",
        "tests/engine/report/test_events.py::test_a_full_disk_is_one_line_and_whole_records_stay",
        ("                    os.truncate(self.path, size)\n", "                    pass\n"),
    ),
    *cut(
        "data/loading/store.py",
        "tests/data/loading/test_store.py::test_what_a_kill_left_goes_at_once_and_what_is_being_written_stays",
        ("        remove_leftovers(file.parent, LEFTOVER_AGE_S)", "        pass"),
    ),
    *cut(
        "files/terminal.py",
        f"{_TERMINAL}::test_the_work_is_done_whatever_becomes_of_its_lines",
        ("    _open_closed_descriptors()\n", ""),
        ("                stream.abandon()\n", "                pass\n"),
        (" or isinstance(fault, BrokenPipeError):", ":"),
    ),
    *cut(
        "files/terminal.py",
        f"{_TERMINAL}::test_every_name_can_be_shown",
        ("self.write_as_it_is(printable_lines(text))", "self.write_as_it_is(text)"),
        ("encodable(text, self._stream.encoding)", "text"),
    ),
    *cut(
        "files/progress.py",
        f"{_TERMINAL}::test_bars_move_the_cursor_and_are_put_aside",
        ("desc=printable(label)", "desc=label"),
    ),
    *cut(
        "engine/cli/run.py",
        "tests/engine/cli/test_cli.py::test_our_lines_are_shown_and_those_of_libraries_are_not",
        ('.partition(".")[0] in _OURS', ".isascii()"),
        ("else printable(str(value))", "else str(value)"),
        ("        root.removeHandler(handler)\n", ""),
    ),
    *cut(
        "engine/detect/video.py",
        f"{_VIDEO}::test_the_nearest_rate_is_written",
        ("holdable_fps(fps), self._size)", "fps, self._size)"),
    ),
    *cut(
        "engine/detect/video.py",
        f"{_VIDEO}::test_a_writer_that_loses_frames_is_noticed",
        ("capture.get(cv2.CAP_PROP_FRAME_COUNT) == frames", "True"),
        ("            if not _is_whole(self._file.temporary, self._frames):\n", "            if False:\n"),
    ),
    *cut(
        "engine/detect/video.py",
        f"{_VIDEO}::test_a_full_disk_during_a_video",
        ("shutil.disk_usage(self.path.parent).free == 0", "False"),
        ("                self._raise_fault()\n                raise", "                raise"),
    ),
    *cut(
        "engine/detect/output.py",
        f"{_OUTPUTS}::test_a_picture_that_cannot_be_encoded_takes_nothing_else_with_it",
        ("            self._remarks.append(Remark(entry, str(error), lost=True))\n", "            raise\n"),
    ),
    *cut(
        "engine/detect/output.py",
        f"{_VIDEO}::test_a_full_disk_during_a_video",
        ("        fault = self._finish_videos()\n        if self", "        fault = None\n        if self"),
    ),
    *cut(
        "engine/cli/detect.py",
        f"{_OUTPUTS}::test_a_reader_that_is_gone",
        ("            return  # nobody reads the lines", "            pass  # nobody reads the lines"),
    ),
    *cut(
        "data/media/fonts.py",
        "tests/engine/report/test_fonts.py::test_letters_that_no_font_has_are_spelt_out",
        ("letter if font_of(letter) else spelt_out(letter)", "letter"),
        (" if not _is_invisible(letter)]", "]"),
    ),
)
