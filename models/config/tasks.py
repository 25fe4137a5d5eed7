"""Heads of other tasks and other models: files that name one are refused with a word about what they are for."""

from __future__ import annotations

from files.problems import short
from files.strict_yaml import Document
from models.config.rows import row_names
from models.errors import ConfigError

_SEGMENTATION = "instance segmentation"
_POSE = "pose estimation"
_ORIENTED = "oriented boxes (OBB)"
_CLASSIFICATION = "image classification"

OTHER_HEADS = {
    "Segment": _SEGMENTATION,
    "Segment26": _SEGMENTATION,
    "ISegment": _SEGMENTATION,
    "SemanticSegment": "semantic segmentation",
    "Pose": _POSE,
    "Pose26": _POSE,
    "IKeypoint": _POSE,
    "OBB": _ORIENTED,
    "OBB26": _ORIENTED,
    "Classify": _CLASSIFICATION,
    "RTDETRDecoder": "RT-DETR, a transformer",
    "WorldDetect": "YOLO-World, which detects what a text says",
    "YOLOEDetect": "YOLOE, which detects what a text or a picture says",
    "YOLOESegment": "YOLOE's segmentation of what a text or a picture says",
    "YOLOESegment26": "YOLOE's segmentation of what a text or a picture says",
    "IDetect": "YOLOv7",
    "IAuxDetect": "YOLOv7",
    "DDetect": "YOLOv9",
    "DualDDetect": "YOLOv9",
    "TripleDDetect": "YOLOv9",
}
"""What each of them is for, by the name that a row calls it."""

_TAKE = "here are detectors of boxes: take a detection model, such as yolo11n.yaml"


def refuse_other_tasks(document: Document) -> None:
    """Says of a model YAML for another task or another model what it is for, before anything else in it is judged.

    Raises:
        ConfigError: a row names a head of `OTHER_HEADS`, or the key `task` another task than `detect`.
    """
    task = document.content.get("task", "detect")
    if task != "detect":
        raise ConfigError(f"{document.where('task')}: 'task' says {short(task)}; {_TAKE}")
    for index, (section, place, name) in enumerate(row_names(document.content)):
        if name in OTHER_HEADS:
            where = f"{document.where(section, place)}, row {index} ({name})"
            raise ConfigError(f"{where}: is the head of a model for {OTHER_HEADS[name]}; {_TAKE}")
