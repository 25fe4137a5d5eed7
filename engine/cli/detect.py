"""`detect.py`: its flags, a line per picture, what it writes and shows, and its exit code."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.cli.flags import options_parser, parse
from engine.errors import EngineError
from engine.options import DetectOptions
from files.exit_codes import ExitCode
from files.printable import printable
from files.terminal import reader_is_gone
from files.words import count

if TYPE_CHECKING:
    import numpy as np

    from engine.backends import Backend
    from engine.detect.output import DetectionWriter
    from engine.detect.predict import FrameDetections, Prediction

_DESCRIPTION = "Detect objects in pictures, videos, webcams and network streams."


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags and detects.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    return detect(parse_options(argv))


def parse_options(argv: Sequence[str] | None = None) -> DetectOptions:
    """The options of a command line."""
    parser = options_parser(DetectOptions, "detect.py", _DESCRIPTION)
    given = parse(parser, argv)
    try:
        return DetectOptions(**given)
    except EngineError as error:
        # Flags that exclude each other are known to the options alone.
        parser.error(f"argument {error}")


def detect(options: DetectOptions, backend: Backend | None = None) -> int:
    """Detects, prints a line per picture, and writes and shows what the options ask for.

    Args:
        backend: network to use instead of loading `options.weights`.

    Returns:
        Exit code: 0; 1 if some of several files could not be read or written; 130 after Ctrl-C, with everything so far
        written.

    Raises:
        DataError: there is no such source, or its only file cannot be read.
        EngineError: weights, device or a flag cannot be used.
        OutputError: the output cannot be written; what was found until then is kept, as far as the disk takes it.
    """
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.detect.output import DetectionWriter
    from engine.detect.predict import predict
    from engine.detect.window import require_window

    if options.view_img:
        require_window()
    prediction = predict(options, backend)
    _announce(options, prediction, loaded=backend is None)
    writer = DetectionWriter(options, prediction.source, prediction.predictor.backend.classes)
    broken: set[int] = set()
    code = ExitCode.DONE
    try:
        with writer:
            _follow(options, prediction, writer, broken)
    except KeyboardInterrupt:
        _warn("interrupted; what was detected so far is kept")
        code = ExitCode.INTERRUPTED
    finally:
        _tell_remarks(writer, broken)
    _summarise(prediction, writer, broken)
    return code or (ExitCode.INCOMPLETE if broken else ExitCode.DONE)


def _announce(options: DetectOptions, prediction: Prediction, loaded: bool) -> None:
    predictor = prediction.predictor
    backend = predictor.backend
    if loaded:
        _say(f"{options.weights}: {len(backend.classes)} classes; {backend.where()}")
        for remark in backend.remarks:
            _say(f"{options.weights}: {remark}")
    if prediction.source.skipped:
        _warn(prediction.source.skipped)


def _follow(options: DetectOptions, prediction: Prediction, writer: DetectionWriter, broken: set[int]) -> None:
    """Prints, writes and shows item by item; adds the numbers of the source's broken entries to `broken`."""
    from engine.detect.window import show

    for found in prediction:
        if found.error is not None:
            broken.add(found.frame.entry)
            _warn(f"error: {found.error}")
            continue
        if found.frame.note:
            _warn(f"warning: {found.path}: {found.frame.note}")
        position = _position(found, len(prediction.source))
        _say(f"{position} {found.path}: {_counts(found)}, {found.inference_ms:.1f}ms")
        annotated = _annotate(found, options) if options.view_img or not options.nosave else found.image
        writer.write(found.frame, found, annotated)
        _tell_remarks(writer, broken)
        if options.view_img and not show(found.frame, annotated):
            return
        if reader_is_gone() and (found.frame.kind == "stream" or not options.saves):
            return  # nobody reads the lines, and there is nothing else, or no end


def _tell_remarks(writer: DetectionWriter, broken: set[int]) -> None:
    for remark in writer.take_remarks():
        _warn(f"{'error' if remark.lost else 'warning'}: {remark.text}")
        if remark.lost:
            broken.add(remark.entry)


def _position(found: FrameDetections, entries: int) -> str:
    frame = found.frame
    position = f"{frame.kind} {frame.entry + 1}/{entries}"
    if frame.kind == "image":
        return position
    total = f"/{frame.frame_count}" if frame.frame_count else ""
    return f"{position} (frame {frame.index + 1}{total})"


def _counts(found: FrameDetections) -> str:
    """How many of which class, in class order."""
    counts = Counter(zip(found.class_id.tolist(), found.data["class_name"].tolist(), strict=True))
    return ", ".join(f"{number} {name}" for (_, name), number in sorted(counts.items())) or "no detections"


def _annotate(found: FrameDetections, options: DetectOptions) -> np.ndarray:
    """The picture with its boxes drawn."""
    from engine.report.draw import draw_detections

    labels = None
    if not options.hide_labels:
        labels = found.data["class_name"].tolist()
        if not options.hide_conf:
            labels = [f"{label} {score:.2f}" for label, score in zip(labels, found.confidence, strict=True)]
    return draw_detections(found.image, found.xyxy, found.class_id.tolist(), labels, thickness=options.line_thickness)


def _summarise(prediction: Prediction, writer: DetectionWriter, broken: set[int]) -> None:
    predictor = prediction.predictor
    if predictor.count:
        stages = ", ".join(f"{milliseconds:.1f} ms {stage}" for stage, milliseconds in prediction.speed_ms.items())
        size = " ".join(map(str, predictor.imgsz))
        _say(f"per image: {stages}; {count(predictor.count, 'image')} at --imgsz {size}")
    if writer.folder is not None:
        _say(f"results in {writer.folder}")
    if broken:
        _warn(f"{len(broken)} of {len(prediction.source)} files could not be read or written; see above")


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _warn(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
