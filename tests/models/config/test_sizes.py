"""Families: one file with `scales`, many names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from files.places import CONFIGS
from models.config.reader import SHELF, config_names, find_config, load_config
from models.config.sizes import families_of
from models.errors import ConfigError

SIZES = {"n": (0.33, 0.25), "s": (0.33, 0.50), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}
SUFFIXES = ("", "-saconv", "-spconv")
NEWER = {
    "yolov8": ("", "-saconv", "-spconv", "-p2", "-p6", "-ghost", "-ghost-p2", "-ghost-p6"),
    "yolo11": ("", "-saconv"),
    "yolo12": ("",),
    "yolo26": ("", "-saconv", "-p2", "-p6"),
}
FAMILY = """\
nc: 3
scales:
  n: {depth_multiple: 0.33, width_multiple: 0.25}
  m: {depth_multiple: 0.67, width_multiple: 0.75}
anchors: 3
backbone: [[-1, 1, Conv, [16]]]
head: [[-1, 1, Detect, [nc, anchors]]]
"""


def write(folder: Path, name: str, text: str = FAMILY) -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", SIZES)
def test_every_name_and_path_that_ever_worked(
    size: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").symlink_to(CONFIGS.parent)
    name = f"yolov5{size}{suffix}"
    bare = load_config(name)
    assert (bare.depth_multiple, bare.width_multiple) == SIZES[size]
    for other in (f"{name}.yaml", CONFIGS / f"{name}.yaml", f"project/configs/{name}.yaml", SHELF.folder / name):
        assert load_config(other).plain() == bare.plain()
    monkeypatch.chdir(CONFIGS.parent)
    assert load_config(f"configs/{name}.yaml").plain() == bare.plain()


def test_plain_content_has_no_trace_of_the_family() -> None:
    assert list(load_config("yolov5m").plain()) == [
        "nc",
        "depth_multiple",
        "width_multiple",
        "anchors",
        "backbone",
        "head",
    ]


def test_the_file_that_is_spelled_out_is_size_s_of_its_family() -> None:
    spelled = load_config(SHELF.folder / "yolov5s-saconv.yaml")
    family = yaml.safe_load((SHELF.folder / "yolov5-saconv.yaml").read_text())
    assert spelled.plain() == load_config({**family, "scale": "s"}).plain()
    assert "scales" not in (SHELF.folder / "yolov5s-saconv.yaml").read_text()


def test_a_place_names_the_file_that_was_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    config = load_config("yolov5m-spconv")
    text = (SHELF.folder / "yolov5-spconv.yaml").read_text().splitlines()
    line = next(number for number, each in enumerate(text, 1) if "SPConv, [256" in each)
    assert config.locate(3) == f"configs/models/yolov5-spconv.yaml, line {line}, row 3 (SPConv)"
    monkeypatch.chdir(tmp_path)
    assert load_config("yolov5m-spconv").locate(3).startswith(f"{SHELF.folder / 'yolov5-spconv.yaml'}, line {line}")


def test_known_names() -> None:
    names = {f"yolov5{size}{suffix}" for size in SIZES for suffix in SUFFIXES}
    names |= {f"{kind}{size}{suffix}" for kind, suffixes in NEWER.items() for suffix in suffixes for size in SIZES}
    assert config_names() == sorted(names | {"yolov10n", "yolov10s"})
    with pytest.raises(ConfigError, match=r"no such model configuration; did you mean 'yolov5m-spconv\.yaml'"):
        load_config("yolov5m-spcomv")
    with pytest.raises(
        ConfigError, match=r"; give a path, or one of yolo11n-saconv.yaml, yolo11n.yaml, yolo12n.yaml, "
    ) as far:
        load_config("zzzzzzzz")
    assert str(far.value).count(".yaml") == len(SHELF.files())


def test_a_family_of_ones_own(tmp_path: Path) -> None:
    file = write(tmp_path, "my-yolov5m.yaml")
    assert load_config(file).depth_multiple == 0.67
    assert load_config(file).locate(0) == f"{file}, line 6, row 0 (Conv)"
    write(tmp_path, "net.yaml", f"{FAMILY}scale: n\n")
    assert load_config(tmp_path / "net.yaml").width_multiple == 0.25
    family = write(tmp_path, "net2.yaml")
    assert find_config(tmp_path / "net2m.yaml") == (family, "net2m")
    assert load_config(tmp_path / "net2m.yaml").width_multiple == 0.75
    with pytest.raises(ConfigError, match=r"net2x.yaml: no such model configuration"):
        load_config(tmp_path / "net2x.yaml")


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("yolov5m-p2", [("yolov5-p2", "m")]),
        ("yolo11x", [("yolo11", "x")]),
        ("yolov5x6", [("yolov56", "x")]),
        ("yolo11x2", [("yolo112", "x")]),
        ("yolo11-3x3", []),
        ("their11n-3x3s", [("their11-3x3s", "n"), ("their11n-3x3", "s")]),
        ("yolo11", []),
        ("net-33x1", []),
    ],
)
def test_what_a_name_says_of_sizes(stem: str, expected: list[tuple[str, str]]) -> None:
    assert list(families_of(stem)) == expected


def test_a_mapping_with_sizes() -> None:
    content = yaml.safe_load(FAMILY)
    assert load_config({**content, "scale": "m"}).width_multiple == 0.75
    with pytest.raises(ConfigError, match=r"^model configuration: describes the sizes n, m; write 'scale: n'$"):
        load_config(content)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (
            "yolov5.yaml",
            "",
            "",
            "line 2: describes the sizes n, m; ask for one by name, such as yolov5n.yaml, or write",
        ),
        ("yolov5x.yaml", "", "", "line 2: describes the sizes n, m"),
        ("yolov5m.yaml", "nc: 3", "nc: 3\nscale: n", "line 2: 'scale' says 'n', but the name 'yolov5m' says 'm'"),
        ("net.yaml", "nc: 3", "nc: 3\nscale: x", "line 2: 'scale' must be one of 'scales', not 'x'; there are n, m"),
        ("net.yaml", "nc: 3", "nc: 3\nscale: [n]", "line 2: 'scale' must be one of 'scales', not ['n']"),
        ("yolov5m.yaml", "nc: 3", "nc: 3\ndepth_multiple: 1.0", "line 2: 'depth_multiple' stands in each of 'scales'"),
        ("yolov5m.yaml", "depth_multiple: 0.67, ", "", "line 4: size 'm': the key 'depth_multiple' is missing"),
        ("yolov5m.yaml", "0.67", "-1", "line 4: size 'm': 'depth_multiple' must be a positive number, not -1"),
        ("yolov5m.yaml", "0.33", "one", "line 3: size 'n': 'depth_multiple' must be a positive number, not 'one'"),
        (
            "yolov5m.yaml",
            "width_multiple: 0.75",
            "with_multiple: 0.75",
            "line 4: size 'm': unknown key 'with_multiple'; did you mean",
        ),
        ("yolov5m.yaml", "{depth_multiple: 0.67, width_multiple: 0.75}", "[0.67, 0.75]", "line 4: size 'm' must be {"),
        ("yolov5m.yaml", "  m:", "  5:", "line 4: a size must be named by letters, such as n, not 5"),
        ("yolov5m.yaml", "  m:", "  n:", "line 4: the key 'n' occurs twice"),
    ],
)
def test_mistakes_in_a_family(tmp_path: Path, name: str, old: str, new: str, expected: str) -> None:
    file = write(tmp_path, name, FAMILY.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}, ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scales", ["", "[n]", "{}", "3"])
def test_scales_that_are_none(tmp_path: Path, scales: str) -> None:
    start, rest = FAMILY.index("scales:"), FAMILY.index("anchors")
    file = write(tmp_path, "yolov5m.yaml", f"{FAMILY[:start]}scales: {scales}\n{FAMILY[rest:]}")
    with pytest.raises(ConfigError, match="line 2: 'scales' must be a map of sizes"):
        load_config(file)


def test_a_scale_without_scales(tmp_path: Path) -> None:
    file = write(tmp_path, "net.yaml", "scale: m\n" + FAMILY.replace("scales:", "x:"))
    with pytest.raises(ConfigError, match="line 1: 'scale' chooses one of 'scales', which are missing"):
        load_config(file)
