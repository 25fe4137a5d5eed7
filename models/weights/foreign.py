"""What a pickled model of YOLOv5 or of ultralytics says of itself: weights, architecture, activations, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.budget import current_budget
from models.config.schema import ModelConfig
from models.detector import BATCH_NORM_EPS
from models.errors import WeightsError
from models.weights.checks import check_kinds
from models.weights.unpickling import StandIn, module_content

# DataParallel; torch.compile; YOLOv5's AutoShape and DetectMultiBackend, whose attribute is called as the model's own.
_WRAPPERS = ("module.", "_orig_mod.", "model.model.", "model.module.", "model._orig_mod.")
_DEFAULT_ACTIVATION = "nn.SiLU()"
_NO_ACTIVATION = "nn.Identity()"

# What describes the architecture in the YAML of a checkpoint, which has other entries beside it.
_KEYS = {*ModelConfig.model_fields, "scales", "scale", "channels", "reg_max", "end2end", "legacy_class_branch"}

OTHER_TASKS = {
    "SegmentationModel": "instance segmentation",
    "SemanticSegmentationModel": "semantic segmentation",
    "PoseModel": "pose estimation",
    "OBBModel": "oriented boxes (OBB)",
    "ClassificationModel": "image classification",
    "RTDETRDetectionModel": "RT-DETR, a transformer",
    "WorldModel": "YOLO-World, which detects what a text says",
    "YOLOEModel": "YOLOE, which detects what a text or a picture says",
    "YOLOESegModel": "YOLOE's segmentation of what a text or a picture says",
}
"""What models are for that are no detectors of boxes, by the class of the whole model."""

FOLDED = "its BatchNorms are folded into the convolutions, since the model was fused before it was saved"
"""Why some weights detect, and teach nothing."""


@dataclass(frozen=True)
class ForeignModel:
    """A model of another program.

    Attributes:
        origin: what kind of file it is, for people.
        state: tensors as in the file, by the keys that the detector itself has.
        yaml: model configuration, as `build_model` takes it; None where the file does not say.
        activations: by path in the model, text of each activation that `yaml` says nothing of.
        names: of the classes, as the file has them: a list, or a map from index to name.
        imgsz: network input size of the training as the file has it; None where it does not say.
        folded: whether BatchNorms were folded into convolutions before it was saved; they are back, without what they
            had measured.
    """

    origin: str
    state: dict[str, Tensor] = field(repr=False)
    yaml: dict[str, Any] | None
    activations: Mapping[str, str]
    names: Any
    imgsz: Any
    folded: bool


def weights_in(content: Any) -> Any:
    """The model, or the state dict, in a checkpoint: `content` itself, or what lies under one of the usual keys."""
    found = content
    for key in ("model", "ema"):  # the average of the weights, where there is one, is what validates best
        if isinstance(content, Mapping) and isinstance(content.get(key), StandIn | Mapping):
            found = content[key]
    return found


def foreign_model(model: StandIn, content: Mapping[str, Any]) -> ForeignModel:
    """Describes the model of a checkpoint.

    Args:
        content: the checkpoint, for what lies beside the model.

    Raises:
        WeightsError: it is for another task than detection, or a tensor is none of plain real numbers.
        ValueError, KeyError: it is no model.
        BudgetError: it has more modules or numbers than a model may have.
    """
    if type(model).__name__.endswith("Parallel"):
        model = model.get("_modules")["module"]
    _check_task(model)
    found = module_content(model)
    tensors = _unfolded(found.state, found.folded)
    state = {plain_key(key): tensor for key, tensor in tensors.items()}
    state = {key: tensor for key, tensor in state.items() if key.startswith("model.")}  # a loss may have tensors too
    yaml, activations = _with_activations(_yaml(model.get("yaml"), state), found.activations)
    return ForeignModel(
        origin=_origin(model, content),
        state=state,
        yaml=yaml,
        activations=activations,
        names=model.get("names"),
        imgsz=_image_size(content.get("opt"), content.get("train_args"), model.get("args")),
        folded=bool(found.folded),
    )


def plain_key(key: str) -> str:
    """A key as the detector itself has it, without the prefixes of what it was wrapped into."""
    while key.startswith(_WRAPPERS):
        key = key.partition(".")[2]
    return key


def _check_task(model: StandIn) -> None:
    task = OTHER_TASKS.get(type(model).__name__)
    if task is not None:
        raise WeightsError(
            f"is a model for {task} ({type(model).__name__}); here are detectors of boxes: take a detection model, "
            "such as yolo11n.pt"
        )


def _origin(model: StandIn, content: Mapping[str, Any]) -> str:
    program = "ultralytics" if type(model).__module__.startswith("ultralytics.") else "YOLOv5"
    if content.get("optimizer") is None:
        return f"{program} checkpoint"
    return f"{program} checkpoint in the middle of a training, of which only the weights are taken"


def _yaml(value: Any, state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The entries that describe the architecture, and what only the tensors say of it."""
    if not isinstance(value, dict):
        return None
    yaml = {key: entry for key, entry in value.items() if key in _KEYS}
    if "scales" in yaml:  # which go before factors for that program
        yaml = {key: entry for key, entry in yaml.items() if key not in ("depth_multiple", "width_multiple")}
    if "channels" in yaml:  # newer releases call them so, and some write both
        yaml = {"ch": yaml["channels"], **{key: entry for key, entry in yaml.items() if key != "channels"}}
    legacy = _has_legacy_class_branch(state)
    return yaml if legacy is None else {**yaml, "legacy_class_branch": legacy}


def _has_legacy_class_branch(state: Mapping[str, Tensor]) -> bool | None:
    """Whether an anchor-free head's class branch starts with a plain convolution; None for other heads.

    A file's rows say which one is usual for them, but the program that trained it may have been in between.
    """
    head = max((int(row) for row in (key.split(".")[1] for key in state) if row.isdecimal()), default=0)
    for depth, legacy in (("0.0", True), ("0.0.0", False)):
        if f"model.{head}.cv3.{depth}.conv.weight" in state:
            return legacy
    return None


def _unfolded(state: Mapping[str, Tensor], paths: Collection[str]) -> dict[str, Tensor]:
    """The state dict with a BatchNorm behind each of these convolutions that does nothing but add the bias.

    Args:
        paths: of convolution blocks without BatchNorm, with their final dot.

    Raises:
        WeightsError, BudgetError: see `check_kinds`; a kernel of a file may say that it is as large as it likes.
    """
    kernels = {path: state[f"{path}conv.weight"] for path in paths if f"{path}conv.weight" in state}
    kernels = {path: kernel for path, kernel in kernels.items() if kernel.dim()}
    if kernels:
        check_kinds(state)
        current_budget().check("bytes", sum(16 * len(kernel) for kernel in kernels.values()), "{} bytes of BatchNorms")
    unfolded = dict(state)
    for path, kernel in kernels.items():
        channels, bias = len(kernel), unfolded.pop(f"{path}conv.bias", None)
        unfolded |= {
            f"{path}bn.weight": torch.ones(channels),
            f"{path}bn.bias": torch.zeros(channels) if bias is None else bias,
            f"{path}bn.running_mean": torch.zeros(channels),
            f"{path}bn.running_var": torch.full((channels,), 1 - BATCH_NORM_EPS),
            f"{path}bn.num_batches_tracked": torch.tensor(0),
        }
    return unfolded


def _with_activations(
    configuration: dict[str, Any] | None, found: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The configuration with the activation of the Conv blocks, and by path those that it cannot express."""
    of_convs = Counter(text for block, text in found.values() if block == "Conv" and text != _NO_ACTIVATION)
    if configuration is None or not of_convs:
        return configuration, {}
    usual = of_convs.most_common(1)[0][0]
    if usual != _DEFAULT_ACTIVATION:
        configuration = {**configuration, "activation": usual}
    others = {
        plain_key(path): text
        for path, (block, text) in found.items()
        if text != (usual if block == "Conv" else _DEFAULT_ACTIVATION)
    }
    return configuration, others


def _image_size(*options: Any) -> int | None:
    """The first input size, px, that one of these says."""
    for given in options:
        value = given.get("imgsz") if isinstance(given, Mapping | StandIn) else None
        if isinstance(value, int) and value > 0:
            return value
    return None
