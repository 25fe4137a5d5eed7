"""Milliseconds and size of detectors after export, on every back end and in every precision.

    python -m benchmarks.backends --weights ../shared/weights/yolov5n.pt --data benchmarks/bccd.yaml

The networks have the same weights, taken over. What that leaves neutral (SAConv2d's switch, contexts and difference of
kernels) is moved a little, so that no runtime can leave out what does nothing. int8 is calibrated on the data set's
training pictures. AP on your own data is what `val.py --benchmark` adds to this.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tabulate import tabulate

from data.config import load_dataset_config
from engine.checkpoint import save_checkpoint
from engine.cli.flags import positive_int
from engine.cli.run import run_cli
from engine.device import describe_device
from engine.exporting.benchmark import Candidate, checkpoints, exported
from engine.exporting.pictures import check_paths, inputs_of
from engine.exporting.timing import milliseconds
from engine.options import ExportOptions, ValOptions
from engine.processor import describe_processor
from models.detector import Detector
from models.weights.load import load_detector

CONFIGURATIONS = ("yolov5n.yaml", "yolov5n-saconv.yaml", "yolov5n-spconv.yaml")
CPU = torch.device("cpu")
_MOVE = 0.01


def write_checkpoint(weights: str, cfg: str, folder: Path) -> Path:
    """The weights, taken over into another architecture, as a checkpoint of ours."""
    detector = load_detector(weights, CPU, cfg)
    move_neutral(detector)
    content = {"model": detector.state_dict(), "yaml": detector.yaml, "imgsz": detector.imgsz, "data": ""}
    names = {"names": detector.names, "category_ids": list(detector.classes.ids)}
    file = folder / f"{Path(cfg).stem}.pt"
    save_checkpoint(file, {**content, **names})
    return file


@torch.no_grad()
def move_neutral(detector: Detector) -> None:
    """Gives small values to parameters that are all 0."""
    generator = torch.Generator().manual_seed(0)
    for parameter in detector.parameters():
        if not parameter.any():
            parameter.copy_(_MOVE * torch.randn(parameter.shape, generator=generator))


def candidates_of(weights: str, cfg: str, options: argparse.Namespace, folder: Path) -> list[Candidate]:
    """One network on every back end."""
    made = folder / "made"
    made.mkdir(exist_ok=True)
    file = write_checkpoint(weights, cfg, made)
    own = checkpoints(ValOptions(str(file), imgsz=options.imgsz), CPU)
    asked = ExportOptions(str(file), data=options.data, imgsz=(options.imgsz,))
    return [*own, *exported(asked, folder, CPU)]


def table(networks: Sequence[str], found: Sequence[Sequence[Candidate]], times: Sequence[Sequence[float]]) -> str:
    """One row a back end and precision; of each network ms, MB, and how often the first network's time that is."""
    headers = ["back end", "precision"]
    for network in networks:
        headers += [f"{network}, ms", "MB", *([f"/ {networks[0]}"] if network != networks[0] else [])]
    rows = []
    for index, first in enumerate(found[0]):
        row = [first.name, first.precision]
        for number, (own, ms) in enumerate(zip(found, times, strict=True)):
            row += [_figure(ms[index], 1), _figure(own[index].megabytes, 1)]
            row += [_figure(ms[index] / times[0][index], 2)] if number else []
        rows.append(row)
    align = ("left", "left", *("right",) * (len(headers) - 2))
    return tabulate(rows, headers, "github", colalign=align, disable_numparse=True)


def _figure(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exports, measures, and prints the table."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backends", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="checkpoint whose weights the networks take over")
    parser.add_argument("--data", required=True, help="data-set YAML: its pictures are looked at, and calibrate int8")
    parser.add_argument("--cfg", nargs="+", default=CONFIGURATIONS, help="networks; the first is what others are to")
    parser.add_argument("--imgsz", type=positive_int, default=640, help="side of the images in pixels")
    parser.add_argument("--rounds", type=positive_int, default=15, help="turns of each back end")
    options = parser.parse_args(argv)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = [candidates_of(options.weights, cfg, options, Path(folder)) for cfg in options.cfg]
        paths = check_paths(load_dataset_config(options.data), 8)
        inputs = list(inputs_of(paths, (options.imgsz, options.imgsz)))
        times = in_turn(found, inputs, options.rounds)
    print(f"{describe_device(CPU)}; {describe_processor()}; {options.imgsz} px, batch 1, medians, all in turn\n")
    print(table([Path(cfg).stem for cfg in options.cfg], found, times))
    for cfg, own in zip(options.cfg, found, strict=True):
        for one in own:
            if one.fault:
                print(f"{Path(cfg).stem}, {one.name} {one.precision}: not measured: {one.fault}")
    return 0


def in_turn(found: Sequence[Sequence[Candidate]], inputs: Sequence[torch.Tensor], rounds: int) -> list[list[float]]:
    """Milliseconds of each candidate of each network; NaN where there is no back end. Networks take turns, too."""
    places = [
        (number, index)
        for index in range(len(found[0]))
        for number in range(len(found))
        if found[number][index].backend is not None
    ]
    backends = [backend for number, index in places if (backend := found[number][index].backend) is not None]
    times = [[math.nan] * len(own) for own in found]
    for (number, index), ms in zip(places, milliseconds(backends, inputs, rounds), strict=True):
        times[number][index] = ms
    return times


if __name__ == "__main__":
    sys.exit(run_cli(main))
