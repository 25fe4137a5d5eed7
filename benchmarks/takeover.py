"""How far a detector with other convolutions is from the checkpoint that it starts from, before any training.

    python -m benchmarks.takeover --weights ../shared/weights/yolov5n.pt --images ../shared/datasets/bccd/images/val

prints, as Markdown, the largest difference over all predictions of all pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from data.letterbox import Letterbox
from data.media.image import read_image
from files.classes import Classes
from models import Detector, build_model
from models.weights.report import Outcome
from models.weights.source import load_source
from models.weights.transfer import transfer_weights

HEADERS = ["started as", "taken as is", "converted", "left", "boxes, px", "scores", "mean score"]


def compare(weights: Path, configurations: list[str], images: list[Tensor]) -> list[list[str]]:
    """One line of the table per configuration; the first is the checkpoint's own network."""
    source = load_source(weights)
    assert source.yaml is not None
    classes = source.classes or Classes.numbered(80)
    own = build_model(source.yaml, num_classes=len(classes))
    own.load_state_dict(source.state)
    before = _predictions(own, images)
    lines = []
    for cfg in configurations:
        model = build_model(cfg, num_classes=len(classes))
        model.classes = classes
        report = transfer_weights(model, source)
        after = _predictions(model, images)
        difference = (after - before).abs()
        counts = [str(len(report.keys(outcome))) for outcome in Outcome]
        boxes, scores = difference[:, :4].max(), difference[:, 4:].max()
        lines.append([cfg, *counts, f"{boxes:.1e}", f"{scores:.1e}", f"{after[:, 4].mean():.6f}"])
    return lines


@torch.inference_mode()
def _predictions(model: Detector, images: Iterable[Tensor]) -> Tensor:
    model.eval()
    return torch.cat([model(image)[0].flatten(0, 1) for image in images])


def _read(path: Path, imgsz: int) -> Tensor:
    picture = read_image(path)
    padded = Letterbox.rectangle(picture.shape[:2], imgsz, 32).apply(picture)
    return torch.from_numpy(padded[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255


def main() -> None:
    """Parses the flags and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of .jpg pictures")
    parser.add_argument("--count", type=int, default=10, help="use the first N pictures")
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--cfg", nargs="+", default=["yolov5n.yaml", "yolov5n-saconv.yaml", "yolov5n-spconv.yaml"])
    options = parser.parse_args()
    images = [_read(path, options.imgsz) for path in sorted(options.images.glob("*.jpg"))[: options.count]]
    if not images:
        parser.error(f"no .jpg in {options.images}")
    print(tabulate(compare(options.weights, options.cfg, images), HEADERS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
