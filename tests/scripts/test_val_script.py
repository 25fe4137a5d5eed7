"""val.py as a person runs it, and the one line that each kind of bad input gets."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from data.config import load_dataset_config
from engine import validate
from engine.checkpoint import save_checkpoint
from engine.cli.run import run_cli
from engine.cli.val import main, parse_options
from engine.errors import EngineError
from engine.metrics.coco import FIGURES
from engine.options import ValOptions
from engine.runs import recorded_data
from engine.validation import load_split
from models import build_model
from models.weights.load import load_detector
from tests.engine.metrics.measured import coco_average_precision
from tests.places import ROOT, SMALL_DISK

NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a tiny data set, and a checkpoint of a network that detects plenty, if nothing sensible."""
    folder = tmp_path_factory.mktemp("val")
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number, (height, width) in enumerate([(60, 90), (80, 50), (64, 64)]):
        cv2.imwrite(str(folder / f"{number}.jpg"), random.integers(0, 255, (height, width, 3), dtype=np.uint8))
        images.append({"id": 500 + number, "file_name": f"{number}.jpg", "height": height, "width": width})
        annotations.append({"id": number, "image_id": 500 + number, "category_id": 9, "bbox": [5, 5, 30, 40]})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    split = "{images: ., annotations: instances.json}"
    (folder / "pets.yaml").write_text(f"train: {split}\nval: {split}\n")
    save_untrained(folder / "best.pt", NAMES, data=str(folder / "pets.yaml"))
    return folder


def save_untrained(path, names, data=""):
    torch.manual_seed(0)
    model = build_model("yolov5n.yaml", num_classes=len(names))
    for layer in model.head.m:
        layer.bias.data += 4
    # Statistics of real activations, without which all scores are the same.
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.momentum = None
    model.train()(torch.rand(4, 3, 64, 64))
    content = {
        "model": model.state_dict(),
        "yaml": model.yaml,
        "names": list(names),
        "category_ids": [4, 9, 11][: len(names)],
    }
    save_checkpoint(path, {**content, "imgsz": 64, "data": data})


def call(*arguments):
    return run_cli(main, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_run_prints_the_tables_and_leaves_the_files(files, tmp_path):
    command = [sys.executable, ROOT / "val.py", "--weights", files / "best.pt", "--data", files / "pets.yaml"]
    command += ["--batch-size", "2", "--workers", "0", "--save-json", "--project", tmp_path / "runs", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for figure in FIGURES:
        assert re.search(rf"^{figure} .*(0\.\d{{3}}|-)$", done.stdout, re.MULTILINE)
    assert re.search(r"^dog +3 +3 +0\.\d{3} +0\.\d{3}$", done.stdout, re.MULTILINE)
    assert re.search(r"^cat +0 +0 +- +-$", done.stdout, re.MULTILINE)
    assert re.search(r"^Speed: .* ms pre-process, .* ms inference, .* ms NMS per image$", done.stdout, re.MULTILINE)
    assert re.search(r"^device: cpu.*channels last, float32$", done.stdout, re.MULTILINE)

    folder = tmp_path / "runs" / "exp"
    pictures = {f"val_batch{k}_{kind}.jpg" for k in (0, 1) for kind in ("labels", "pred")}
    pictures |= {"PR_curve.png", "confusion_matrix.png"}
    assert {entry.name for entry in folder.iterdir()} == pictures | {"predictions.json"}
    assert all(cv2.imread(str(folder / name)) is not None for name in pictures)

    predictions = json.loads((folder / "predictions.json").read_text())
    assert {entry["image_id"] for entry in predictions} == {500, 501, 502}
    assert {entry["category_id"] for entry in predictions} == {4, 9}
    printed = float(re.search(r"^AP50 .* (\S+)$", done.stdout, re.MULTILINE).group(1))
    assert coco_average_precision(files / "instances.json", predictions).ap50 == pytest.approx(printed, abs=2e-3)


@pytest.mark.slow
def test_the_data_set_of_the_training_is_the_default_and_runs_are_numbered(files, tmp_path, capsys):
    for _ in range(2):
        assert call("--weights", files / "best.pt", "--workers", 0, "--project", tmp_path, "--device", "cpu") == 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"exp", "exp2"}
    assert "Speed" in capsys.readouterr().out
    assert not (tmp_path / "exp" / "predictions.json").exists()


@pytest.mark.slow
def test_classes_follow_the_checkpoint_where_their_order_differs(files, tmp_path):
    save_untrained(tmp_path / "swapped.pt", NAMES[::-1])
    arguments = ("--data", files / "pets.yaml", "--workers", 0, "--save-json", "--device", "cpu", "--project", tmp_path)
    assert call("--weights", tmp_path / "swapped.pt", "--name", "swapped", *arguments) == 0
    assert call("--weights", files / "best.pt", "--name", "straight", *arguments) == 0
    swapped, straight = (json.loads((tmp_path / n / "predictions.json").read_text()) for n in ("swapped", "straight"))
    # the same weights, so class 0 is class 0: only what it is called differs
    exchange = {4: 9, 9: 4}
    expected = [{**entry, "category_id": exchange[entry["category_id"]]} for entry in straight]
    assert swapped == expected


@pytest.mark.slow
def test_python_gets_the_figures_and_nothing_is_printed(files, tmp_path, capsys):
    options = ValOptions(str(files / "best.pt"), workers=0, device="cpu", project=str(tmp_path), save_json=True)
    result = validate(options)
    assert set(result.metrics.figures) == set(FIGURES)
    assert result.folder == tmp_path / "exp"
    assert [entry["score"] for entry in json.loads((result.folder / "predictions.json").read_text())] == [
        round(entry["score"], 5) for entry in result.detections
    ]
    assert capsys.readouterr() == ("", "")


def test_a_full_disk_loses_the_pictures_and_not_the_figures(files, small_disk, capsys):
    (small_disk / "ballast").write_bytes(bytes(SMALL_DISK - (8 << 10)))
    arguments = ("--workers", 0, "--project", small_disk, "--device", "cpu")
    assert call("--weights", files / "best.pt", *arguments) == 2
    output = capsys.readouterr()
    assert re.search(r"^AP50 .*(0\.\d{3}|-)$", output.out, re.MULTILINE)
    assert re.search(r"error: .*exp/PR_curve\.png: cannot be written: the disk is full; make room", output.err)


def test_the_data_set_of_a_run_is_in_its_options(files, tmp_path):
    weights = tmp_path / "exp" / "weights" / "best.pt"
    weights.parent.mkdir(parents=True)
    assert recorded_data(weights) == ""
    options = weights.parents[1] / "opt.yaml"
    options.write_text(f"epochs: 3\ndata: {files / 'pets.yaml'}\n")
    assert recorded_data(weights) == str(files / "pets.yaml")
    assert recorded_data(tmp_path / "exp" / "best.pt") == ""
    for broken in ("epochs: 3\n", "data:\n", "data: 3\n", ""):
        options.write_text(broken)
        with pytest.raises(EngineError, match=r"opt\.yaml: .*name the data set with --data"):
            recorded_data(weights)
    options.write_text("data: [")
    with pytest.raises(EngineError, match=r"opt\.yaml, line 1: not valid YAML"):
        recorded_data(weights)


def test_weights_in_the_folder_of_a_run_are_measured_on_its_data_set(files, tmp_path, capsys):
    weights = tmp_path / "exp" / "weights" / "best.pt"
    weights.parent.mkdir(parents=True)
    save_untrained(weights, NAMES)
    flags = ("--weights", weights, "--workers", 0, "--project", tmp_path / "runs", "--device", "cpu")
    assert call(*flags) == 2
    assert re.search(r"best\.pt: does not say which data set .*--data", capsys.readouterr().err)
    (tmp_path / "exp" / "opt.yaml").write_text(f"data: {files / 'pets.yaml'}\n")
    # The split is looked for in the data set that was found.
    assert call(*flags, "--task", "test") == 2
    assert re.search(r"pets\.yaml: has no 'test' split", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "{tmp}/none.pt"], r"none\.pt: .*--weights"),
        (["--weights", "{files}/pets.yaml"], r"pets\.yaml: "),
        (["--weights", "{files}/best.pt", "--data", "{tmp}/none.yaml"], r"none\.yaml: "),
        (["--weights", "{files}/best.pt", "--task", "test"], r"pets\.yaml: has no 'test' split; .*--task"),
        (["--weights", "{files}/best.pt", "--half", "--device", "cpu"], r"--half.*--bf16"),
        (["--weights", "{files}/best.pt", "--project", "{files}/pets.yaml"], r"pets\.yaml.*--project"),
        (["--weights", "{tmp}/birds.pt", "--data", "{files}/pets.yaml"], r"pets\.yaml: .*know dog.*lacks bird"),
        (["--weights", "{tmp}/birds.pt"], r"birds\.pt: .*--data"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(files, tmp_path, capsys, arguments, message):
    save_untrained(tmp_path / "birds.pt", ("cat", "bird"))
    filled = [argument.format(files=files, tmp=tmp_path) for argument in arguments]
    project = [] if "--project" in filled else ["--project", tmp_path / "runs"]
    assert call("--workers", 0, *project, *filled) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert re.match(rf"error: .*{message}", error[-1])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--weights"],
        ["--weights", "a.pt", "--conf-thres", "1.5"],
        ["--weights", "a.pt", "--iou-thres", "nan"],
        ["--weights", "a.pt", "--batch-size", "0"],
        ["--weights", "a.pt", "--task", "speed"],
        ["--weights", "a.pt", "--no-such-flag"],
    ],
)
def test_a_wrong_flag_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_flags_and_defaults():
    assert parse_options(["--weights", "a.pt"]) == ValOptions(weights="a.pt")
    given = (
        "--weights a.pt --cfg c --data d --img 320 --batch 4 --conf-thres .01 --iou-thres .5 --max-det 9 --task test"
    )
    given += " --device cpu --workers 0 --half --bf16 --save-json --verbose --project p --name n --exist-ok"
    assert parse_options(given.split()) == ValOptions(
        "a.pt",
        "c",
        "d",
        320,
        4,
        0.01,
        0.5,
        9,
        "test",
        "cpu",
        0,
        True,
        True,
        True,
        True,
        project="p",
        name="n",
        exist_ok=True,
    )


@pytest.mark.parametrize(
    ("categories", "names", "message"),
    [
        # The file lacks a category of the checkpoint, has one that nothing is of, and other ids.
        ({"dog": 3, "animal": 1}, None, ""),
        ({"dog": 3, "cat": 3000, "animal": 1}, None, ""),
        ({"cat": 1}, None, ""),
        # With `names`, boxes of others are dropped.
        ({"bird": 3, "cat": 1, "dog": 2}, ["dog", "cat"], ""),
        ({"bird": 3}, ["dog", "cat"], ""),
        ({"bird": 3, "cat": 1}, None, "does not know bird; the data set lacks dog"),
        ({"dog": 3}, ["dog", "bird"], "does not know bird; the data set lacks cat"),
        ({"dog": 3}, ["dog"], "the data set lacks cat"),
    ],
)
def test_categories_are_matched_by_name(files, tmp_path, capsys, caplog, categories, names, message):
    """All boxes are of the first category."""
    content = json.loads((files / "instances.json").read_text())
    content["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    for annotation in content["annotations"]:
        annotation["category_id"] = next(iter(categories.values()))
    (tmp_path / "all.json").write_text(json.dumps(content))
    split = f"{{images: {files}, annotations: all.json}}"
    (tmp_path / "other.yaml").write_text(f"train: {split}\nval: {split}\n" + (f"names: {names}\n" if names else ""))
    options = ValOptions(str(files / "best.pt"), data=str(tmp_path / "other.yaml"), device="cpu", workers=0)
    detector = load_detector(options.weights, torch.device("cpu"), "")
    if message:
        with pytest.raises(EngineError, match=rf"other\.yaml: its classes are not those .*{message}\)"):
            load_split(load_dataset_config(options.data), options, detector)
        return
    split = load_split(load_dataset_config(options.data), options, detector)
    assert split.classes.names == NAMES
    assert len(set(split.classes.ids)) == 2
    used = next(iter(categories))
    labels = [NAMES.index(used)] if used in NAMES else []
    assert [record.labels.tolist() for record in split.records] == [labels] * 3
    assert split.report.dropped == ({} if labels else {"of unused categories": 3})


@pytest.mark.slow
def test_the_second_figure_and_what_coco_cannot_count_are_notes(files, tmp_path, capsys):
    content = json.loads((files / "instances.json").read_text())
    content["annotations"][0]["bbox"] = [-500, -500, 570, 570]
    for number in range(101):
        box = [number % 25, number // 25 * 9, 3 + number % 7, 5]
        content["annotations"].append({"id": 50 + number, "image_id": 502, "category_id": 4, "bbox": box})
    (tmp_path / "all.json").write_text(json.dumps(content))
    split = f"{{images: {files}, annotations: all.json}}"
    (tmp_path / "other.yaml").write_text(f"train: {split}\nval: {split}\n")
    flags = ("--weights", files / "best.pt", "--data", tmp_path / "other.yaml", "--workers", 0, "--device", "cpu")
    for more, expected in (((), "; with 300 detections: AP 0.*, AR 0.*"), (("--max-det", 100), "")):
        assert call(*flags, *more, "--project", tmp_path) == 0
        notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
        assert re.fullmatch(
            r"note: AP is 0\.\d{3} and AP50 0\.\d{3} against the annotation file as it is; measured here is without "
            r"its mistakes: 1 clipped to the image \(annotation 0\)",
            notes[0],
        )
        assert re.fullmatch(
            rf"note: more than 100 objects of a class in 1 picture, of which COCO's figures can count 100{expected}",
            notes[1],
        )
        assert len(notes) == 2
