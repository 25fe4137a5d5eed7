"""The options of a detection run, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectOptions:
    """What `detect.py` takes.

    Attributes:
        weights: file whose ending chooses the back end.
        cfg: model YAML to run the weights in; '' takes their own architecture.
        source: what to look at; see `data.sources.open_source`.
        imgsz: network input in pixels: () as the weights were trained; one number: the long side, the other one as
            short as the picture allows; two: exactly this height and width. Rounded up to the network's stride.
        conf_thres: least score of a detection, [0, 1].
        iou_thres: of two boxes of a class that overlap more, the weaker one goes; IoU, [0, 1].
        max_det: most detections per picture.
        device: '' (first GPU, else CPU), 'cpu', '0', ...
        view_img: show the pictures in a window.
        save_txt, save_conf: a text file of normalised boxes per picture; with scores.
        save_crop: every detection as a picture of its own.
        save_json: all detections as a COCO-results list.
        nosave: no annotated pictures and videos.
        classes: indices or names of the classes to keep; () keeps all.
        agnostic_nms: boxes of different classes suppress each other too.
        project, name, exist_ok: the run's folder is `project/name`, numbered unless `exist_ok`.
        line_thickness: of drawn boxes, pixels; None: by the size of the picture.
        hide_labels, hide_conf: draw no texts; draw no scores.
        half, bf16, fp32: precision of the network; see `engine.device.detection_precision`.
        vid_stride: of a video or stream, every how many frames to use one.
    """

    weights: str
    source: str
    cfg: str = ""
    imgsz: tuple[int, ...] = ()
    conf_thres: float = 0.25
    iou_thres: float = 0.45
    max_det: int = 1000
    device: str = ""
    view_img: bool = False
    save_txt: bool = False
    save_conf: bool = False
    save_crop: bool = False
    save_json: bool = False
    nosave: bool = False
    classes: tuple[str, ...] = ()
    agnostic_nms: bool = False
    project: str = "runs/detect"
    name: str = "exp"
    exist_ok: bool = False
    line_thickness: int | None = None
    hide_labels: bool = False
    hide_conf: bool = False
    half: bool = False
    bf16: bool = False
    fp32: bool = False
    vid_stride: int = 1

    @property
    def saves(self) -> bool:
        """Whether the run writes anything."""
        return not self.nosave or self.save_txt or self.save_crop or self.save_json
