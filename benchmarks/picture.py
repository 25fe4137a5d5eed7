"""Draws the README's picture: what a checkpoint detects on validation pictures of the generated demo data set.

python -m benchmarks.picture --weights runs/train/exp/weights/best.pt --out docs/detections.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from data.config import load_dataset_config
from data.demo import ensure_demo_dataset
from data.media.image import read_image
from engine.backends import open_backend
from engine.cli.flags import positive_int, unit_interval
from engine.cli.run import run_cli
from engine.detect.predictor import Predictor
from engine.detections import CLASS_NAME
from engine.device import select_device
from engine.report.draw import draw_detections, draw_grid
from files.atomic import atomic_path

_SCALE = 2  # the demo's pictures are small; labels need room


def main(argv: Sequence[str] | None = None) -> int:
    """Detects on the first validation pictures and writes them as a grid."""
    parser = argparse.ArgumentParser(prog="benchmarks.picture", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="checkpoint of a training on the demo data set")
    parser.add_argument("--out", type=Path, default=Path("docs/detections.jpg"))
    parser.add_argument("--count", type=positive_int, default=8, help="pictures in the grid")
    parser.add_argument("--conf-thres", type=unit_interval, default=0.4, help="least score of a detection")
    options = parser.parse_args(argv)

    predictor = Predictor(open_backend(options.weights, device=select_device("cpu")), conf_thres=options.conf_thres)
    folder = load_dataset_config(ensure_demo_dataset()).val.images
    pictures = []
    for path in sorted(folder.glob("*.jpg"))[: options.count]:
        image = read_image(path)
        found = predictor(image)
        names = found.data[CLASS_NAME].tolist()
        labels = [f"{name} {score:.2f}" for name, score in zip(names, found.confidence, strict=True)]
        large = cv2.resize(image, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_CUBIC)
        pictures.append(draw_detections(large, found.xyxy * _SCALE, found.class_id.tolist(), labels, thickness=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out) as temporary:
        cv2.imwrite(str(temporary), draw_grid(pictures, columns=4))
    print(f"{len(pictures)} pictures in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
