"""Draws a picture such as the README's: what checkpoints detect on pictures of a folder each.

python -m benchmarks.picture --of blood/weights/best.pt ../shared/datasets/bccd/images/val \
    --of air/weights/best.pt ../shared/datasets/hituav/images/val
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from data.media.image import IMAGE_SUFFIXES, read_image
from engine.backends import open_backend
from engine.cli.flags import positive_int, unit_interval
from engine.cli.run import run_cli
from engine.detect.predictor import Predictor
from engine.detections import CLASS_NAME
from engine.device import select_device
from engine.errors import EngineError
from engine.report.draw import draw_detections, draw_grid
from files.atomic import atomic_path

_SIDE = 480  # px; long side of each picture, to which it is brought before labels are drawn


def main(argv: Sequence[str] | None = None) -> int:
    """Detects on pictures spread evenly over each folder and writes them as a grid, one row for each checkpoint."""
    parser = argparse.ArgumentParser(prog="benchmarks.picture", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--of",
        nargs=2,
        action="append",
        required=True,
        metavar=("WEIGHTS", "FOLDER"),
        help="a checkpoint, and the folder of pictures that it looks at; may be given several times",
    )
    parser.add_argument("--out", type=Path, default=Path("docs/detections.jpg"))
    parser.add_argument("--count", type=positive_int, default=4, help="pictures of each folder")
    parser.add_argument("--conf-thres", type=unit_interval, default=0.4, help="least score of a detection")
    options = parser.parse_args(argv)

    pictures = []
    for weights, folder in options.of:
        predictor = Predictor(open_backend(weights, device=select_device("cpu")), conf_thres=options.conf_thres)
        pictures += [_detected(path, predictor) for path in _spread(Path(folder), options.count)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out) as temporary:
        cv2.imwrite(str(temporary), draw_grid(pictures, columns=options.count, tile=_SIDE))
    print(f"{len(pictures)} pictures in {options.out}")
    return 0


def _spread(folder: Path, count: int) -> list[Path]:
    """`count` pictures of a folder, at equal distances in the order of their names.

    Raises:
        EngineError: it has not as many.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(paths) < count:
        raise EngineError(f"{folder}: has {len(paths)} pictures, not {count}; name another folder or a smaller --count")
    return [paths[index * len(paths) // count] for index in range(count)]


def _detected(path: Path, predictor: Predictor) -> np.ndarray:
    """A picture with what was found in it, its long side at `_SIDE` pixels."""
    image = read_image(path)
    found = predictor(image)
    names = found.data[CLASS_NAME].tolist()
    labels = [f"{name} {score:.2f}" for name, score in zip(names, found.confidence, strict=True)]
    scale = _SIDE / max(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    return draw_detections(image, found.xyxy * scale, found.class_id.tolist(), labels, thickness=1)


if __name__ == "__main__":
    sys.exit(run_cli(main))
