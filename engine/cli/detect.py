"""The flags of `detect.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from engine.cli.run import positive_int, unit_interval
from engine.options import DetectOptions

_DESCRIPTION = "Detect objects in pictures, videos, webcams and network streams."


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags and detects.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.detect.predict import predict

    return predict(options)


def parse_options(argv: Sequence[str] | None = None) -> DetectOptions:
    """The options of a command line."""
    parser = _parser()
    values = vars(parser.parse_args(argv))
    if len(values["imgsz"]) > 2:
        parser.error("argument --imgsz: takes one number, or height and width")
    if values["save_conf"] and not values["save_txt"]:
        parser.error("argument --save-conf: only says something together with --save-txt")
    return DetectOptions(**{**values, "imgsz": tuple(values["imgsz"]), "classes": tuple(values["classes"])})


def _parser() -> argparse.ArgumentParser:
    defaults = DetectOptions(weights="", source="")
    parser = argparse.ArgumentParser(prog="detect.py", description=_DESCRIPTION)
    add = parser.add_argument
    add("--weights", required=True, help="trained weights, such as runs/train/exp/weights/best.pt, or YOLOv5's own")
    add("--cfg", default="", help="model YAML to run the weights in (default: their own architecture)")
    add(
        "--source",
        required=True,
        help="picture, video, folder, glob, webcam number, rtsp/http address, or a .txt of them",
    )
    add(
        "--imgsz",
        "--img",
        "--img-size",
        type=positive_int,
        nargs="+",
        default=[],
        help="input size, px: long side, or height width (default: as trained)",
    )
    add("--conf-thres", type=unit_interval, default=defaults.conf_thres, help="least score of a detection")
    add("--iou-thres", type=unit_interval, default=defaults.iou_thres, help="overlap at which the weaker box goes")
    add("--max-det", type=positive_int, default=defaults.max_det, help="most detections per picture")
    add("--device", default="", help="cpu, mps, or the number of a GPU (default: first GPU, else CPU)")
    add("--view-img", action="store_true", help="show the results in a window")
    add("--save-txt", action="store_true", help="write labels/*.txt: class, centre and size (normalised)")
    add("--save-conf", action="store_true", help="with --save-txt: write scores too")
    add("--save-crop", action="store_true", help="write every detection as a picture: crops/<class>/*.jpg")
    add("--save-json", action="store_true", help="write predictions.json, a COCO-results list")
    add("--nosave", action="store_true", help="write no annotated pictures and videos")
    add("--classes", nargs="+", default=[], metavar="CLASS", help="keep these classes only: indices or names")
    add("--agnostic-nms", action="store_true", help="let boxes of different classes suppress each other")
    add("--project", default=defaults.project, help="folder of the runs")
    add("--name", default=defaults.name, help="folder of this run, inside --project")
    add("--exist-ok", action="store_true", help="use the folder even when it exists")
    add("--line-thickness", type=positive_int, help="of the boxes, px (default: by the size of the picture)")
    add("--hide-labels", action="store_true", help="draw boxes without text")
    add("--hide-conf", action="store_true", help="draw labels without scores")
    add("--half", action="store_true", help="compute in float16 (GPU, where it is the default)")
    add("--bf16", action="store_true", help="compute in bfloat16")
    add("--fp32", action="store_true", help="compute in float32 (the default but on GPUs)")
    add("--vid-stride", type=positive_int, default=defaults.vid_stride, help="use every how-manieth frame of a video")
    return parser
