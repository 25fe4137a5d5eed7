"""The options of the commands, one frozen value each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

TASKS = ("val", "test", "train")
MANY_CLASSES = 50  # with more classes, their table is printed on --verbose only


@dataclass(frozen=True)
class TrainOptions:
    """What `train.py` takes.

    For hyp, optimizer, epochs, batch_size and imgsz, '' and 0 mean as the data-set YAML says, else the default.

    Attributes:
        cfg: model YAML (a path, or a name in `configs/`); '' takes the configuration of `weights`.
        weights: checkpoint to start from; '' starts from scratch.
        data: data-set YAML; '' is the generated demo.
        hyp: hyperparameter YAML (a path, or a name in `configs/hyps/`).
        optimizer: 'SGD', 'Adam' or 'AdamW'.
        epochs, batch_size, imgsz: length of the training, images per batch, network input size in pixels.
        rect: rectangular training batches, without mosaic and shuffling.
        noval: validate after the last epoch only.
        noautoanchor: keep the anchors even when they fit the boxes badly.
        noplots: no pictures.
        cache: '' decodes images anew each epoch; 'ram' and 'disk' keep them.
        device: '' (first GPU, else CPU), 'cpu', '0', ...
        workers: processes that load images; 0 loads in the main process.
        project, name, exist_ok: the run's folder is `project/name`, numbered unless `exist_ok`.
        cos_lr: cosine schedule instead of a linear one.
        label_smoothing: overrides the hyperparameter of that name.
        patience: epochs without improvement before stopping; 0 never stops early.
        freeze: rows of the model whose parameters stay as they are.
        save_period: keep a checkpoint every so many epochs; 0 keeps last and best only.
        seed: of initial values, shuffling and augmentation.
    """

    cfg: str = ""
    weights: str = ""
    data: str = ""
    hyp: str = ""
    epochs: int = 0
    batch_size: int = 0
    imgsz: int = 0
    rect: bool = False
    noval: bool = False
    noautoanchor: bool = False
    noplots: bool = False
    cache: str = ""
    device: str = ""
    optimizer: str = ""
    workers: int = 2
    project: str = "runs/train"
    name: str = "exp"
    exist_ok: bool = False
    cos_lr: bool = False
    label_smoothing: float | None = None
    patience: int = 100
    freeze: tuple[int, ...] = ()
    save_period: int = 0
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the checkpoint and `opt.yaml`."""
        return {**asdict(self), "freeze": list(self.freeze)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainOptions:
        """The inverse of `as_dict`."""
        return cls(**{**values, "freeze": tuple(values["freeze"])})


@dataclass(frozen=True)
class ResumeOptions:
    """What `train.py --resume` takes: a checkpoint, and what may differ from the training that it continues.

    The others are how the work is done and change nothing of its result; None leaves them as they were.

    Attributes:
        checkpoint: a `last.pt`, in the folder of its run.
        device, workers, cache: see `TrainOptions`.
    """

    checkpoint: str
    device: str | None = None
    workers: int | None = None
    cache: str | None = None

    def applied_to(self, options: TrainOptions) -> TrainOptions:
        """The options of the training, with what is given here."""
        given = {"device": self.device, "workers": self.workers, "cache": self.cache}
        return replace(options, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@dataclass(frozen=True)
class ValOptions:
    """What `val.py` takes.

    Attributes:
        weights: checkpoint to measure.
        cfg: model YAML to run the weights in; '' takes their own architecture.
        data: data-set YAML; '' takes the one that the checkpoint was trained with.
        imgsz: network input size, pixels; None takes that of the training.
        batch_size: images per batch.
        conf_thres, iou_thres, max_det: see `engine.postprocess.non_max_suppression`.
        task: the split, "val", "test" or "train".
        device: '' (first GPU, else CPU), 'cpu', '0', ...
        workers: processes that load images; 0 loads in the main process.
        half, bf16: run the network in float16 or bfloat16.
        save_json: write predictions.json.
        verbose: print the per-class table however many classes there are.
        project, name, exist_ok: the run's folder is `project/name`, numbered unless `exist_ok`.
    """

    weights: str
    cfg: str = ""
    data: str = ""
    imgsz: int | None = None
    batch_size: int = 32
    conf_thres: float = 0.001
    iou_thres: float = 0.6
    max_det: int = 300
    task: str = "val"
    device: str = ""
    workers: int = 2
    half: bool = False
    bf16: bool = False
    save_json: bool = False
    verbose: bool = False
    project: str = "runs/val"
    name: str = "exp"
    exist_ok: bool = False


@dataclass(frozen=True)
class DetectOptions:
    """What `detect.py` takes.

    Attributes:
        weights: file whose ending chooses the back end.
        cfg: model YAML to run the weights in; '' takes their own architecture.
        source: what to look at; see `data.media.sources.open_source`.
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
