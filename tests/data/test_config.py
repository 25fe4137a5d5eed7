from __future__ import annotations

from pathlib import Path

import pytest

from data.config import SHELF, load_dataset_config
from data.errors import DataError

GOOD = """
path: set
train: {images: images/train, annotations: train.json}
val: {images: images/val, annotations: val.json}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "my.yaml"
    file.write_text(text)
    return file


def test_paths_are_relative_to_the_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    for source in (file, "my.yaml", "./my.yaml"):
        config = load_dataset_config(source)
        assert config.file == file
        assert config.path == tmp_path / "set"
        assert config.train.images == tmp_path / "set/images/train"
        assert config.val.annotations == tmp_path / "set/val.json"
        assert (config.test, config.names, config.imgsz, config.epochs, config.batch_size) == (None,) * 5


def test_path_may_be_absent_absolute_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    without = GOOD.replace("path: set\n", "")
    assert load_dataset_config(write(tmp_path, without)).train.annotations == tmp_path / "train.json"
    assert load_dataset_config(write(tmp_path, GOOD.replace("set", "/data/x"))).path == Path("/data/x")
    assert load_dataset_config(write(tmp_path, GOOD.replace("set", "~/x"))).path == tmp_path / "home/x"


def test_optional_entries(tmp_path: Path) -> None:
    text = GOOD + "test:\nnames: {1: dog, 0: cat}\nimgsz: 320\nepochs: 5\nbatch_size: 4\n"
    text += "optimizer: AdamW\nhyp: mine.yaml\n"
    config = load_dataset_config(write(tmp_path, text))
    assert config.names == ("cat", "dog")
    assert (config.imgsz, config.epochs, config.batch_size, config.test) == (320, 5, 4, None)
    # A name, until there is such a file beside the YAML.
    assert (config.hyp, config.optimizer) == ("mine.yaml", "AdamW")
    (tmp_path / "mine.yaml").write_text("")
    assert load_dataset_config(write(tmp_path, text)).hyp == str(tmp_path / "mine.yaml")


def test_shipped_configs_are_found_by_bare_name(few_demo_pictures: None, cache_folder: Path) -> None:
    names = {file.stem for file in SHELF.files()}
    assert {"coco", "demo"} <= names
    for name in names:
        assert load_dataset_config(name) == load_dataset_config(f"{name}.yaml")
    coco = load_dataset_config("coco")
    assert coco.train.images == SHELF.folder.parents[2] / "datasets/coco/train2017"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: [1, 2\nval: x", ["line 2", "YAML syntax"]),
        ("a: b: c", ["line 1", "YAML syntax"]),
        ("\tx: 1", ["line 1", "YAML syntax"]),
        ("", ["not a map", "train and val"]),
        ("- 1", ["not a map"]),
        (GOOD + "val: {images: a, annotations: b}", ["line 5", "the key 'val' occurs twice"]),
        (GOOD + "batchsize: 4", ["unknown entry 'batchsize'", "did you mean 'batch_size'?"]),
        (GOOD + "nc: 3", ["unknown entry 'nc'", "delete the line"]),
        (GOOD + "file: x", ["unknown entry 'file'"]),
        (GOOD + "zzz: 4", ["unknown entry 'zzz'", "known are path, train"]),
        (GOOD.replace("annotations: val", "annotation: val"), ["'val.annotation", "did you mean 'annotations'"]),
        (GOOD.replace(", annotations: val.json", ""), ["'val.annotations' is missing"]),
        (GOOD.split("val:")[0], ["'val' is missing", "{images: FOLDER, annotations: FILE.json}"]),
        (GOOD.replace("images: images/val", "images: 3"), ["val.images", "3"]),
        (GOOD.replace("images: images/val", "images:"), ["val.images", "None"]),
        (GOOD + "imgsz: big", ["imgsz", "'big'"]),
        (GOOD + "epochs: 0", ["epochs", "greater than 0", "0"]),
        (GOOD + "batch_size: 2.5", ["batch_size", "2.5"]),
        (GOOD + "batch_size: true", ["batch_size", "True"]),
        (GOOD + "names: [cat, cat]", ["names", "'cat' occurs twice"]),
        (GOOD + "names: {0: cat, 2: dog}", ["names", "0, 1, 2"]),
        (GOOD + "names: {no: a, yes: b}", ["names", "in quotes"]),
        (GOOD + "names: {off: a, 1: b}", ["names", "in quotes"]),
        (GOOD + "names: [cat, yes]", ["names", "in quotes"]),
        (GOOD + "names: [1, 2]", ["names.0", "1"]),
        (GOOD + "names: []", ["names"]),
        (GOOD + "names: cat", ["names", "'cat'"]),
        (GOOD.replace("path: set", "path: [a]"), ["path", "['a']"]),
        (
            "train: images/train\nval: images/val\nnc: 2",
            ["'names' is missing", "names: [cat, dog]"],
        ),
        (
            "train: 5\nval: images/val",
            ["line 1: train: 5 is not a split", "annotations: FILE.json} or {", "of XML} or FOLDER"],
        ),
        ("train:\nval: images/val", ["line 1: train: None is not a split"]),
        ("train: ''\nval: images/val\nnames: [a]", ["line 1: train.images.0: is empty"]),
        ("train: [1]\nval: images/val\nnames: [a]", ["line 1: train.images.0: 1: must be a path"]),
        (
            'train: "images\\train"\nval: images/val\nnames: [a]',
            [r"line 1: train.images.0: 'images\train' holds"],
        ),
        ('train: {images: "a\\new", annotations: b}\nval: c', ["line 1: train.images: 'a\\new' holds an escape"]),
        ('path: "C:\\data"\n' + GOOD, ["line 1", "in double quotes \\ begins an escape"]),
        ("train:\timages\nval: a", ["line 1", "it is a tab; write spaces"]),
        (GOOD + "ignore: 0", ["line 5: ignore: 0: must be a list"]),
        ("train: []\nval: images/val\nnames: [a]", ["line 1: train.images: []: has 0 entries, and needs 1 or more"]),
        ("train: a\nval: b\nnames: [a]\nnc: 2", ["line 4: nc: 2, but 'names' has 1; correct either"]),
        (
            GOOD + "download: x",
            ["unknown entry 'download'", "nothing is downloaded"],
        ),
        ("? [1, 2]\n: x\n" + GOOD, ["YAML syntax"]),
        ("\x00", ["zero bytes"]),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    file = write(tmp_path, text)
    with pytest.raises(DataError) as error:
        load_dataset_config(file)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(file))
    for word in words:
        assert word in message


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "{'0': cat, '1': dog}", "{1: dog, '0': cat}"])
def test_names_by_number(tmp_path: Path, names: str) -> None:
    assert load_dataset_config(write(tmp_path, f"{GOOD}names: {names}")).names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize: 4", "line 5: unknown entry 'batchsize'; did you mean 'batch_size'?"),
        ("imgsz: 320\nepochs: 0", "line 6: epochs: 0: must be greater than 0"),
        ("names:\n  - cat\n  - 3", "line 7: names.1: 3: must be a text; put it in quotes"),
        ("test: {images: a, annotations: b, labels: c}", "line 5: unknown entry 'test.labels'; known are images, "),
        ("test:\n  images: a", "line 5: 'test.annotations' is missing; a split is {images"),
        ("test: 7", "line 5: test: 7 is not a split"),
        ("test: {images: a, images: b}", "line 5: the key 'images' occurs twice"),
    ],
)
def test_a_mistake_is_found_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, GOOD + text)
    with pytest.raises(DataError) as error:
        load_dataset_config(file)
    assert str(error.value).startswith(f"{file}, {message}")


def test_annotations_in_place_of_the_yaml(tmp_path: Path) -> None:
    """Said before the file is read as YAML, which takes minutes for one of many megabytes."""
    (tmp_path / "instances_train.json").write_text("{")
    with pytest.raises(
        DataError, match=r"train\.json: is a JSON, .*FOLDER, annotations: instances_train\.json\}, and val"
    ):
        load_dataset_config(tmp_path / "instances_train.json")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cocco.yaml: no such data-set YAML; did you mean 'coco.yaml'\?"):
        load_dataset_config("cocco.yaml")
    with pytest.raises(DataError, match="no such data-set YAML; give a path"):
        load_dataset_config(tmp_path / "xyzzy.yaml")
    with pytest.raises(DataError, match="is a folder"):
        load_dataset_config(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(b"\xff\xfe\x00\xd8a: b\x9c")
    with pytest.raises(DataError, match="cannot be read as UTF-8") as error:
        load_dataset_config(file)
    assert "\n" not in str(error.value)


def test_nothing_in_a_yaml_is_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="YAML syntax"):
        load_dataset_config(write(tmp_path, "path: !!python/object/apply:os.system ['touch pwned']"))


@pytest.mark.parametrize("entry", ["images", "annotations"])
@pytest.mark.parametrize("blank", ["''", "'  '"])
def test_an_empty_path_is_no_path(tmp_path: Path, entry: str, blank: str) -> None:
    split = {"images": "i", "annotations": "a.json", entry: blank}
    train = f"{{images: {split['images']}, annotations: {split['annotations']}}}"
    text = f"train: {train}\nval: {{images: i, annotations: a.json}}\n"
    with pytest.raises(DataError, match=rf"line 1: train\.{entry}: is empty"):
        load_dataset_config(write(tmp_path, text))
