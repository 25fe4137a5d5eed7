"""A small COCO-format data set that the project draws itself, so that training needs no download.

Every picture is a function of its seed alone: a textured background, clutter that belongs to no class, and one to five
shapes of random size, texture and rotation that may cover one another. As with real things, colour is a hint: each
class has its own range of hues, which background and clutter have as well. `python -m data.demo` draws the set and
prints where its YAML lies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.errors import DataError
from files.atomic import LEFTOVER_AGE_S, atomic_folder, remove_leftovers, write_bytes
from files.cache import VARIABLE, cache_folder
from files.exit_codes import ExitCode
from files.places import CONFIGS
from files.printable import printable
from files.terminal import terminal

TRAIN_IMAGES = 400
VAL_IMAGES = 100
MAX_OBJECTS = 5
MIN_SIDE, MAX_SIDE = 24, 90
"""Range of an object's diameter in pixels, drawn log-uniformly."""
MAX_OCCLUSION = 0.5
"""An object is not drawn when a larger share of it is covered, or cut off by the border."""
IMAGE_SIZES_HW = ((160, 160), (128, 160), (160, 128))
CLASS_NAMES = ("circle", "triangle", "square", "cross")
HUE_SPREAD = 18
"""Half the range of a class's hues, of OpenCV's 180; the classes' middles are 45 apart."""

VERSION = 1
"""Part of the cache folder's name: raise it whenever a change here changes a picture."""
CONFIG = CONFIGS / "data" / "demo.yaml"
"""The data-set YAML, of which every drawn set has a copy in its folder. What it names lies beside that copy."""

_SUPERSAMPLING = 4
_SPLITS = {"train": (TRAIN_IMAGES, 0), "val": (VAL_IMAGES, 1)}
_JPEG_QUALITY = 92

Colour = np.ndarray
"""BGR in 0..255, float32, shape (3,)."""


@dataclass(frozen=True)
class Shape:
    """One drawn object.

    Attributes:
        label: index into `CLASS_NAMES`.
        coverage: (H, W) float32 in [0, 1], the share of each pixel that the object covers, its occluded parts included.
        full_area: pixels that the object would cover if the image had no border.
    """

    label: int
    coverage: np.ndarray
    full_area: float

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: pixels that the object covers for the greater part."""
        return self.coverage >= 0.5

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """The tight box around the mask, in pixels: left, top, width, height."""
        x, y, w, h = cv2.boundingRect(self.mask.astype(np.uint8))
        return int(x), int(y), int(w), int(h)


def ensure_demo_dataset(root: Path | None = None) -> Path:
    """Draws the data set unless it is there already, and returns the path of its data-set YAML.

    Args:
        root: folder of the data set; default `default_root()`.

    Raises:
        DataError: `root` exists and holds something else, or it cannot be written.
    """
    target = default_root() if root is None else Path(root)
    try:
        if not _is_complete(target):
            _build(target)
        return _copy_config(target)
    except OSError as error:
        raise DataError(
            f"{target}: the demo data set cannot be written ({error.strerror}); name another cache folder: {VARIABLE}"
        ) from None


def default_root() -> Path:
    """Folder of the data set in the user's cache folder."""
    return cache_folder() / f"demo-v{VERSION}"


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, list[Shape]]:
    """Draws one picture: (H, W, 3) uint8 BGR, and its objects from back to front."""
    height, width = IMAGE_SIZES_HW[rng.integers(len(IMAGE_SIZES_HW))]
    image, ground = _background(rng, height, width)
    for _ in range(rng.integers(1, 5)):
        _draw_clutter(rng, image)
    shapes = _visible(_place_shapes(rng, height, width))
    for shape in shapes:
        paint = _texture(rng, height, width, _class_colour(rng, shape.label, ground))
        alpha = shape.coverage[..., None]
        image = image * (1 - alpha) + paint * alpha
    image = image + rng.normal(0, rng.uniform(1, 5), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), shapes


def _is_complete(root: Path) -> bool:
    if not all((root / "annotations" / f"instances_{split}.json").is_file() for split in _SPLITS):
        return False
    return all(len(list((root / "images" / split).glob("*.jpg"))) == count for split, (count, _) in _SPLITS.items())


def _build(target: Path) -> None:
    """Draws everything; no half-drawn set is ever seen in `target`."""
    if target.exists() and any(target.iterdir()) and not (target / CONFIG.name).is_file():
        raise DataError(f"{target}: holds something other than the demo data set; name an empty folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent, LEFTOVER_AGE_S)
    # Another process of the same run may be faster; its pictures are the same.
    with atomic_folder(target, _is_complete) as work:
        for split, (count, stream) in _SPLITS.items():
            _draw_split(work, split, count, stream)
        _copy_config(work)


def _copy_config(folder: Path) -> Path:
    """The copy of the YAML in `folder`, as the project's own is now: a person may have changed its defaults."""
    copy, content = folder / CONFIG.name, CONFIG.read_bytes()
    if not copy.is_file() or copy.read_bytes() != content:
        write_bytes(copy, content)
    return copy


def _draw_split(root: Path, split: str, count: int, stream: int) -> None:
    folder = root / "images" / split
    folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        image, shapes = draw_scene(np.random.default_rng((VERSION, stream, index)))
        name = f"{split}_{index:04d}.jpg"
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        (folder / name).write_bytes(encoded.tobytes())
        height, width = image.shape[:2]
        images.append({"id": index + 1, "file_name": name, "height": height, "width": width})
        annotations += [
            {
                "id": len(annotations) + number,
                "image_id": index + 1,
                "category_id": shape.label + 1,
                "bbox": list(shape.box_xywh),
                "area": int(shape.mask.sum()),
                "iscrowd": 0,
            }
            for number, shape in enumerate(shapes, 1)
        ]
    categories = [{"id": label + 1, "name": name, "supercategory": "shape"} for label, name in enumerate(CLASS_NAMES)]
    content = {
        "info": {"description": "saconv-yolo demonstration shapes", "version": str(VERSION)},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    file = root / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W) float32 of zero mean and unit deviation: octaves of smooth noise, finer ones weaker by a random factor."""
    total = np.zeros((height, width), np.float32)
    decay = rng.uniform(0.4, 0.8)
    for octave in range(2, 6):
        cells = rng.standard_normal((2**octave, 2**octave)).astype(np.float32)
        total += decay**octave * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / (total.std() + 1e-6)


def _ramp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W) float32 from 0 to 1 along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    plane = x * np.cos(angle) + y * np.sin(angle)
    return ((plane - plane.min()) / (plane.max() - plane.min())).astype(np.float32)


def _background(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, Colour]:
    """A gradient between two near, muted colours under noise: (H, W, 3) float32, and its mean colour."""
    first = rng.uniform(30, 225, 3)
    first = (first + first.mean()) / 2
    second = np.clip(first + rng.uniform(-40, 40, 3), 0, 255)
    ramp = _ramp(rng, height, width)[..., None]
    grain = _noise(rng, height, width)[..., None] * rng.uniform(4, 18, 3)
    image = (first * (1 - ramp) + second * ramp + grain).astype(np.float32)
    return image, image.mean(axis=(0, 1))


def _class_colour(rng: np.random.Generator, label: int, ground: Colour, distance: float = 90) -> Colour:
    """A colour of the class's range of hues, at least `distance` (of at most 441) away from the ground's mean.

    A range spans dark and light, so there is always such a colour.
    """
    while True:
        hue = (label / len(CLASS_NAMES) * 180 + rng.uniform(-HUE_SPREAD, HUE_SPREAD)) % 180
        hsv = np.array([[[hue, rng.uniform(110, 255), rng.uniform(60, 255)]]], np.uint8)
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)
        if np.linalg.norm(colour - ground) >= distance:
            return colour


def _texture(rng: np.random.Generator, height: int, width: int, colour: Colour) -> np.ndarray:
    """Paint for an object, (H, W, 3) float32: plain, grained, shaded or striped variants of one colour."""
    kind = rng.integers(4)
    pattern: np.ndarray
    if kind == 0:
        pattern = np.zeros((height, width), np.float32)
    elif kind == 1:
        pattern = _noise(rng, height, width) * 12
    elif kind == 2:
        pattern = (_ramp(rng, height, width) - 0.5) * 120
    else:
        stripes = 2 * np.pi * _ramp(rng, height, width) * rng.uniform(10, 30)
        pattern = np.sin(stripes) * rng.uniform(10, 30)
    return colour + pattern[..., None].astype(np.float32)


def _draw_clutter(rng: np.random.Generator, image: np.ndarray) -> None:
    """Adds one thing that belongs to no class: a line, a curve, an elongated blob or specks."""
    height, width = image.shape[:2]
    colour = [float(channel) for channel in rng.uniform(0, 255, 3)]
    kind = rng.integers(4)
    points = (rng.uniform(-0.1, 1.1, (5, 2)) * (width, height)).astype(np.int32)
    if kind == 0:
        cv2.line(image, points[0].tolist(), points[1].tolist(), colour, int(rng.integers(1, 3)), cv2.LINE_AA)
    elif kind == 1:
        cv2.polylines(image, [points], False, colour, 1, cv2.LINE_AA)
    elif kind == 2:
        long = int(rng.integers(8, 30))
        axes = (long, max(2, long // int(rng.integers(4, 7))))
        cv2.ellipse(image, points[0].tolist(), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    else:
        for point in points:
            cv2.circle(image, point.tolist(), int(rng.integers(1, 3)), colour, -1, cv2.LINE_AA)


def _place_shapes(rng: np.random.Generator, height: int, width: int) -> list[Shape]:
    """One to `MAX_OBJECTS` shapes, back to front; mostly apart, sometimes overlapping."""
    shapes: list[Shape] = []
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        label = int(rng.integers(len(CLASS_NAMES)))
        side = float(np.exp(rng.uniform(np.log(MIN_SIDE), np.log(MAX_SIDE))))
        outline = _OUTLINES[label](rng) * (side / 2)
        allowed = rng.uniform(0, MAX_OCCLUSION)
        for _attempt in range(8):
            centre = rng.uniform(0.3 * side, np.array((width, height)) - 0.3 * side)
            shape = _rasterise(label, outline + centre, height, width)
            if all(_covered(below, shape) <= allowed for below in shapes):
                shapes.append(shape)
                break
    return shapes


def _rasterise(label: int, outline_xy: np.ndarray, height: int, width: int) -> Shape:
    """The coverage of a polygon, antialiased by drawing it several times larger."""
    large = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    cv2.fillPoly(large, [np.rint(outline_xy * _SUPERSAMPLING).astype(np.int32)], 255)
    coverage = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return Shape(label, coverage, float(cv2.contourArea(outline_xy.astype(np.float32))))


def _covered(below: Shape, above: Shape) -> float:
    return float((below.mask & above.mask).sum() / below.full_area)


def _visible(shapes: list[Shape]) -> list[Shape]:
    """Drops shapes that the border or the shapes in front hide for the greater part: they are not drawn either."""
    kept: list[Shape] = []
    hidden: np.ndarray | None = None
    for shape in reversed(shapes):
        seen = shape.mask if hidden is None else shape.mask & ~hidden
        if seen.sum() >= (1 - MAX_OCCLUSION) * shape.full_area:
            kept.append(shape)
            hidden = shape.mask if hidden is None else hidden | shape.mask
    return kept[::-1]


def _rotated(rng: np.random.Generator, outline_xy: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return outline_xy @ turn.T


def _regular(corners: int) -> np.ndarray:
    """(corners, 2): a regular polygon in the unit circle."""
    angles = np.arange(corners) * (2 * np.pi / corners)
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


def _circle(rng: np.random.Generator) -> np.ndarray:
    return _rotated(rng, _regular(64) * (1, rng.uniform(0.85, 1)))


def _triangle(rng: np.random.Generator) -> np.ndarray:
    return _rotated(rng, _regular(3) * (1, rng.uniform(0.85, 1)))


def _square(rng: np.random.Generator) -> np.ndarray:
    return _rotated(rng, _rotated_square() * (1, rng.uniform(0.85, 1)))


def _rotated_square() -> np.ndarray:
    half = np.sqrt(0.5)
    return np.array(((-half, -half), (half, -half), (half, half), (-half, half)))


def _cross(rng: np.random.Generator) -> np.ndarray:
    arm = rng.uniform(0.26, 0.36)
    quarter = np.array(((1, -arm), (1, arm), (arm, arm)))
    turn = np.array(((0, -1), (1, 0)))
    corners = [quarter @ np.linalg.matrix_power(turn, times).T for times in range(4)]
    return _rotated(rng, np.concatenate(corners))


_OUTLINES: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (_circle, _triangle, _square, _cross)
"""Per class, a function that draws an outline (n, 2) of about unit radius around the origin."""


if __name__ == "__main__":
    with terminal() as shown:
        code = ExitCode.DONE
        try:
            print(printable(str(ensure_demo_dataset())))
        except DataError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            code = ExitCode.BAD_INPUT
        sys.exit(shown.finish(code))
