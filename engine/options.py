"""The options of the commands, one frozen value each.

An option is written once: name, type, default, and its flag, with the help that `--help` prints and the values that it
takes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from data.media.limits import MAX_PIXELS
from engine.errors import EngineError
from engine.flag import UNIT_INTERVAL, below_project, check_values, documented, filled, flag, whole
from engine.format_names import format_names, known_format

TASKS = ("val", "test", "train")
OPTIMIZERS = ("SGD", "Adam", "AdamW")
CACHES = ("ram", "disk")
MANY_CLASSES = 50  # with more classes, their table is printed on --verbose only

# Upper ends that nobody needs to reach, and below which nothing fills the memory by itself.
_SIZES = whole(1, 65_536)  # px
_BATCHES = whole(1, 65_536)
_PROCESSES = whole(0, 1_024)
_EPOCHS = whole(1, 1_000_000)
_EPOCHS_OR_NEVER = whole(0, 1_000_000)
_ROWS = whole(0, 10_000)
_SEEDS = whole(0, 2**32 - 1)  # what NumPy's older generator takes
_BOXES = whole(1, 1_000_000)
_PIXELS = whole(1, 10**12)
_THICKNESSES = whole(1, 1_000)  # px
_FRAMES = whole(1, 1_000_000)
_BUDGETS = whole(1, 1_000_000)
_OPSETS = whole(1, 1_000)

_DEVICE = flag("cpu, mps, or the number of a GPU (default: first GPU, else CPU)")
_WORKERS = flag("processes that load images; 0 loads in the main process", numbers=_PROCESSES)
_CACHE = flag("keep decoded images", choices=CACHES, alone="ram")
_PROJECT = flag("folder of the runs", text=filled)
_NAME = flag("folder of this run, inside --project; numbered when it exists", text=below_project)
_MODEL_BUDGET = flag("build models this many times as large as a file may usually ask for", numbers=_BUDGETS)
_EXIST_OK = flag("use the folder even when it exists")
_OTHER_CFG = flag("model YAML to run the weights in (default: their own architecture)")
_SIDES = ("--img", "--img-size")
_STRICT = flag("a picture that is broken or damaged is an error, not left out")
_MAX_PIXELS = flag("pictures with more pixels are not decoded", numbers=_PIXELS)


@documented
@dataclass(frozen=True)
class TrainOptions:
    """What `train` takes.

    For hyp, optimizer, epochs, batch_size and imgsz, '' and 0 mean as the data-set YAML says, else the default.

    Raises:
        EngineError: a value that its option does not take.
    """

    cfg: str = field(
        default="",
        metadata=flag("model YAML: path, or name in configs/models/ (default: that of --weights, else yolov5s)"),
    )
    weights: str = field(default="", metadata=flag("checkpoint to start from (default: from scratch)"))
    data: str = field(
        default="",
        metadata=flag("data-set YAML: a path, or a name in configs/data/ (default: the generated demo)", text=filled),
    )
    hyp: str = field(
        default="",
        metadata=flag("hyperparameter YAML: path, or name in configs/hyps/ (default: data set's, else scratch)"),
    )
    epochs: int = field(
        default=0,
        metadata=flag("length of the training (default: as the data-set YAML says, else 100)", numbers=_EPOCHS),
    )
    batch_size: int = field(
        default=0,
        metadata=flag("images per batch (default: as the data-set YAML says, else 16)", "--batch", numbers=_BATCHES),
    )
    imgsz: int = field(
        default=0,
        metadata=flag(
            "input size, px; rounded up to the stride (default: as the data-set YAML says, else 640)",
            *_SIDES,
            numbers=_SIZES,
        ),
    )
    rect: bool = field(default=False, metadata=flag("rectangular batches; no mosaic, no shuffling"))
    noval: bool = field(default=False, metadata=flag("validate after the last epoch only"))
    noautoanchor: bool = field(default=False, metadata=flag("keep the anchors, however badly they fit"))
    noplots: bool = field(default=False, metadata=flag("draw no pictures"))
    cache: str = field(default="", metadata=_CACHE)
    device: str = field(default="", metadata=_DEVICE)
    optimizer: str = field(
        default="",
        metadata=flag("rule of the steps (default: as the data-set YAML says, else SGD)", choices=OPTIMIZERS),
    )
    workers: int = field(default=2, metadata=_WORKERS)
    project: str = field(default="runs/train", metadata=_PROJECT)
    name: str = field(default="exp", metadata=_NAME)
    exist_ok: bool = field(default=False, metadata=_EXIST_OK)
    cos_lr: bool = field(default=False, metadata=flag("cosine schedule of the learning rate, in place of a line"))
    label_smoothing: float | None = field(
        default=None, metadata=flag("overrides the hyperparameter of this name", numbers=UNIT_INTERVAL)
    )
    patience: int = field(
        default=100, metadata=flag("stop after this many epochs without gain; 0: never", numbers=_EPOCHS_OR_NEVER)
    )
    freeze: tuple[int, ...] = field(
        default=(),
        metadata=flag(
            "rows of the model whose parameters stay as they are; on the command line, one number N means the first N. "
            "The statistics of their BatchNorm still move, as in YOLOv5",
            numbers=_ROWS,
        ),
    )
    save_period: int = field(
        default=0, metadata=flag("keep a checkpoint every N epochs; 0: last and best", numbers=_EPOCHS_OR_NEVER)
    )
    seed: int = field(default=0, metadata=flag("seed of initial values, shuffling and augmentation", numbers=_SEEDS))
    strict: bool = field(default=False, metadata=_STRICT)
    max_pixels: int = field(default=MAX_PIXELS, metadata=_MAX_PIXELS)
    model_budget: int = field(default=1, metadata=_MODEL_BUDGET)

    def __post_init__(self) -> None:
        check_values(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the checkpoint and `opt.yaml`."""
        return {**asdict(self), "freeze": list(self.freeze)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainOptions:
        """The inverse of `as_dict`."""
        return cls(**{**values, "freeze": tuple(values["freeze"])})


@documented
@dataclass(frozen=True)
class ResumeOptions:
    """What continues a training: its checkpoint, and what may differ from how it began.

    Device, workers and cache are how the work is done and change nothing of its result; None leaves them as they were.
    `data` is where the same data set lies now: it is compared by content. `epochs` is another length of the training:
    from the next epoch on, rates follow the schedule of a training that was that long from the beginning.

    Raises:
        EngineError: a value that its option does not take.
    """

    checkpoint: str = field(metadata=flag("a last.pt in the folder of its run, or that folder", text=filled))
    device: str | None = field(default=None, metadata=_DEVICE)
    workers: int | None = field(default=None, metadata=_WORKERS)
    cache: str | None = field(default=None, metadata=_CACHE)
    data: str | None = field(default=None, metadata=flag("data-set YAML, where the data set has moved", text=filled))
    epochs: int | None = field(default=None, metadata=flag("another length of the training", numbers=_EPOCHS))

    def __post_init__(self) -> None:
        check_values(self)

    def applied_to(self, options: TrainOptions) -> TrainOptions:
        """The options of the training, with what is given here."""
        given = {name: value for name, value in asdict(self).items() if name != "checkpoint" and value is not None}
        return replace(options, **given)


@documented
@dataclass(frozen=True)
class ValOptions:
    """What `validate` takes.

    Raises:
        EngineError: a value that its option does not take.
    """

    weights: str = field(
        metadata=flag(
            "checkpoint: runs/train/exp/weights/best.pt, YOLOv5's or ultralytics' own; or what export.py wrote",
            text=filled,
        )
    )
    cfg: str = field(default="", metadata=_OTHER_CFG)
    data: str = field(
        default="",
        metadata=flag(
            "data-set YAML: a path, or a name in configs/data/ (default: that of the weights' run)", text=filled
        ),
    )
    imgsz: int | None = field(
        default=None,
        metadata=flag(
            "input size, px; rounded up to the stride (default: that of the training)", *_SIDES, numbers=_SIZES
        ),
    )
    batch_size: int = field(default=32, metadata=flag("images per batch", "--batch", numbers=_BATCHES))
    conf_thres: float = field(
        default=0.001, metadata=flag("boxes below this score do not count", numbers=UNIT_INTERVAL)
    )
    iou_thres: float = field(
        default=0.6,
        metadata=flag(
            "drop a box that overlaps a better one of its class by more than this (IoU)", numbers=UNIT_INTERVAL
        ),
    )
    max_det: int = field(default=300, metadata=flag("most boxes per image (COCO counts the first 100)", numbers=_BOXES))
    task: str = field(default="val", metadata=flag("the split to measure on", choices=TASKS))
    device: str = field(default="", metadata=_DEVICE)
    workers: int = field(default=2, metadata=_WORKERS)
    half: bool = field(default=False, metadata=flag("compute in float16, on a GPU"))
    bf16: bool = field(default=False, metadata=flag("compute in bfloat16"))
    save_json: bool = field(default=False, metadata=flag("write predictions.json with the data set's own ids"))
    verbose: bool = field(
        default=False, metadata=flag(f"print the per-class table, also for more than {MANY_CLASSES} classes")
    )
    strict: bool = field(default=False, metadata=_STRICT)
    max_pixels: int = field(default=MAX_PIXELS, metadata=_MAX_PIXELS)
    project: str = field(default="runs/val", metadata=_PROJECT)
    name: str = field(default="exp", metadata=_NAME)
    exist_ok: bool = field(default=False, metadata=_EXIST_OK)
    model_budget: int = field(default=1, metadata=_MODEL_BUDGET)
    benchmark: bool = field(
        default=False,
        metadata=flag(
            "one table in place of all else: AP, ms and size of the checkpoint on every back end, in every precision"
        ),
    )

    def __post_init__(self) -> None:
        check_values(self)


@documented
@dataclass(frozen=True)
class DetectOptions:
    """What `predict` takes, and what `detect.py` also writes and shows.

    `imgsz` is () for the size that the weights were trained at; one number for the long side, the other one as short as
    the picture allows; two for exactly this height and width. It is rounded up to the network's stride.

    Raises:
        EngineError: a value that its option does not take.
    """

    weights: str = field(
        metadata=flag("trained weights: runs/train/exp/weights/best.pt, YOLOv5's or ultralytics' own", text=filled)
    )
    source: str = field(
        metadata=flag("picture, video, folder, glob, webcam number, rtsp/http address, or a .txt of them", text=filled)
    )
    cfg: str = field(default="", metadata=_OTHER_CFG)
    imgsz: tuple[int, ...] = field(
        default=(),
        metadata=flag(
            "input size, px: long side, or height width; rounded up to the stride (default: as trained)",
            *_SIDES,
            numbers=_SIZES,
        ),
    )
    conf_thres: float = field(default=0.25, metadata=flag("least score of a detection", numbers=UNIT_INTERVAL))
    iou_thres: float = field(
        default=0.45,
        metadata=flag("drop a box that overlaps a better one by more than this (IoU)", numbers=UNIT_INTERVAL),
    )
    max_det: int = field(default=1000, metadata=flag("most detections per picture", numbers=_BOXES))
    device: str = field(default="", metadata=_DEVICE)
    view_img: bool = field(default=False, metadata=flag("show the results in a window"))
    save_txt: bool = field(
        default=False, metadata=flag("write labels/*.txt: class, centre, width and height (normalised)")
    )
    save_conf: bool = field(default=False, metadata=flag("with --save-txt: write scores too"))
    save_crop: bool = field(
        default=False, metadata=flag("write every detection as a picture of its own: crops/<class>/*.jpg")
    )
    save_json: bool = field(default=False, metadata=flag("write predictions.json, a COCO-results list"))
    nosave: bool = field(default=False, metadata=flag("write no annotated pictures and videos"))
    classes: tuple[str, ...] = field(
        default=(), metadata=flag("keep these classes only: indices or names", metavar="CLASS")
    )
    agnostic_nms: bool = field(default=False, metadata=flag("let boxes of different classes suppress each other"))
    project: str = field(default="runs/detect", metadata=_PROJECT)
    name: str = field(default="exp", metadata=_NAME)
    exist_ok: bool = field(default=False, metadata=_EXIST_OK)
    line_thickness: int | None = field(
        default=None,
        metadata=flag("width of drawn lines, px (default: by the size of the picture)", numbers=_THICKNESSES),
    )
    hide_labels: bool = field(default=False, metadata=flag("draw boxes without text"))
    hide_conf: bool = field(default=False, metadata=flag("draw labels without scores"))
    half: bool = field(default=False, metadata=flag("compute in float16 (GPU, where it is the default)"))
    bf16: bool = field(default=False, metadata=flag("compute in bfloat16"))
    fp32: bool = field(default=False, metadata=flag("compute in float32 (the default except on GPUs)"))
    vid_stride: int = field(default=1, metadata=flag("use every n-th frame of a video or stream", numbers=_FRAMES))
    max_pixels: int = field(default=MAX_PIXELS, metadata=_MAX_PIXELS)
    model_budget: int = field(default=1, metadata=_MODEL_BUDGET)
    data: str = field(
        default="", metadata=flag("data-set YAML that names the classes of an exported file without names", text=filled)
    )

    def __post_init__(self) -> None:
        check_values(self)
        if len(self.imgsz) > 2:
            raise EngineError("--imgsz: takes one number, or height and width")
        if self.save_conf and not self.save_txt:
            raise EngineError("--save-conf: only says something together with --save-txt")

    @property
    def saves(self) -> bool:
        """Whether the run writes anything."""
        return not self.nosave or self.save_txt or self.save_crop or self.save_json


@documented
@dataclass(frozen=True)
class ExportOptions:
    """What `export` takes.

    `imgsz` is () for the size that the weights were trained at; one number for both sides; two for height and width.

    Raises:
        EngineError: a value that its option does not take, or two that exclude each other.
    """

    weights: str = field(
        metadata=flag("trained weights: runs/train/exp/weights/best.pt, YOLOv5's or ultralytics' own", text=filled)
    )
    include: tuple[str, ...] = field(
        default=("onnx",),
        metadata=flag(
            f"formats to write, beside the weights: {', '.join(format_names())} (default: onnx)",
            metavar="FORMAT",
            text=known_format,
        ),
    )
    cfg: str = field(default="", metadata=_OTHER_CFG)
    data: str = field(
        default="",
        metadata=flag(
            "data-set YAML: its validation pictures are what files are compared on (default: the generated demo), its "
            "training pictures what int8 is calibrated by",
            text=filled,
        ),
    )
    imgsz: tuple[int, ...] = field(
        default=(),
        metadata=flag(
            "input size, px: both sides, or height width; rounded up to the stride (default: as trained)",
            *_SIDES,
            numbers=_SIZES,
        ),
    )
    batch_size: int = field(default=1, metadata=flag("pictures per call", "--batch", numbers=_BATCHES))
    dynamic: bool = field(default=False, metadata=flag("take any batch, and any size that the stride divides"))
    opset: int | None = field(default=None, metadata=flag("version of ONNX's operators (default: 20)", numbers=_OPSETS))
    half: bool = field(default=False, metadata=flag("weights and network in float16"))
    int8: bool = field(default=False, metadata=flag("quantise to int8, calibrated on --data's training pictures"))
    nms: bool = field(default=False, metadata=flag("put suppression into the file: it gives boxes, scores, classes"))
    conf_thres: float = field(
        default=0.25, metadata=flag("with --nms: least score of a detection", numbers=UNIT_INTERVAL)
    )
    iou_thres: float = field(
        default=0.45,
        metadata=flag(
            "with --nms: drop a box that overlaps a better one by more than this (IoU)", numbers=UNIT_INTERVAL
        ),
    )
    topk_all: int = field(default=100, metadata=flag("with --nms: most detections per picture", numbers=_BOXES))
    agnostic_nms: bool = field(
        default=False, metadata=flag("with --nms: let boxes of different classes suppress each other")
    )
    simplify: bool = field(default=False, metadata=flag("simplify the ONNX graph by the package onnxslim"))
    simplify_blocks: float | None = field(
        default=None,
        metadata=flag(
            "write a block as the simpler one that it is on --data's training pictures within this tolerance, such as "
            "1e-3: SAConv2d as a plain convolution, where its switch is 1 and its contexts do nothing",
            numbers=UNIT_INTERVAL,
        ),
    )
    model_budget: int = field(default=1, metadata=_MODEL_BUDGET)

    def __post_init__(self) -> None:
        check_values(self)
        if len(self.imgsz) > 2:
            raise EngineError("--imgsz: takes one number, or height and width")
        if self.half and self.int8:
            raise EngineError("--half: excludes --int8; give one of them")
        if self.simplify_blocks is not None and not self.data:
            raise EngineError("--simplify-blocks: looks at training pictures; name their data set with --data")

    @property
    def precision(self) -> str:
        """'fp32', 'fp16' or 'int8'."""
        return "int8" if self.int8 else "fp16" if self.half else "fp32"
