"""The options of a training, as one frozen value that a checkpoint can hold; and those of continuing one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


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
