"""`--simplify-blocks`: which blocks are written as simpler ones, what it changes, and what is said of it."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data.config import load_dataset_config
from engine.backends import open_backend
from engine.backends.exported import ExportedBackend
from engine.backends.metadata import Metadata
from engine.cli.export import simplification_text
from engine.errors import EngineError
from engine.exporting import simplification
from engine.exporting.check import Differences
from engine.exporting.export import export
from engine.exporting.format import ExportJob
from engine.exporting.pictures import inputs_of, picture_paths
from engine.exporting.simplification import Simplification, simplified
from engine.metrics.evaluate import evaluate
from engine.options import ExportOptions
from files.classes import Classes
from models.detector import Detector
from models.simplify import Simplified
from tests.engine.exporting.small import SIDE, save_detector, switchable_detector, write_pets


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pets(tmp_path_factory.mktemp("pets"))


@pytest.fixture
def detector() -> Detector:
    return switchable_detector()


def job_of(data: Path, **options: float) -> ExportJob:
    given = ExportOptions("best.pt", data=str(data), **options)  # type: ignore[arg-type]
    metadata = Metadata(names=("cat", "dog"), ids=(0, 1), imgsz=(SIDE, SIDE), stride=2)
    return ExportJob(given, (SIDE, SIDE), load_dataset_config(data), metadata)


def inputs(job: ExportJob) -> list[Tensor]:
    assert job.dataset is not None
    return list(inputs_of(picture_paths(job.dataset, "val", 8), job.imgsz))


def test_nothing_happens_unless_asked(pets: Path, detector: Detector) -> None:
    before = copy.deepcopy(detector)
    job = job_of(pets)
    assert simplified(detector, job, inputs(job)) is None
    assert str(detector) == str(before)


def test_what_is_simpler_is_replaced_and_measured(pets: Path, detector: Detector) -> None:
    trained = copy.deepcopy(detector)
    job = job_of(pets, simplify_blocks=1e-3)
    found = simplified(detector, job, inputs(job))
    assert found is not None
    assert [(block.place, block.replaced) for block in found.blocks] == [("model.1", True), ("model.2", False)]
    assert found.pictures == 2  # those to train on
    assert [type(module).__name__ for module in detector.model[1:3]] == ["Conv", "SAConv2d"]
    assert isinstance(detector.model[1].bn, torch.nn.BatchNorm2d)  # type: ignore[union-attr] # every format fuses its own
    assert found.differences is not None
    assert found.differences.boxes_px < 1e-3
    assert found.ap is not None
    assert found.ap[0] == pytest.approx(found.ap[1], abs=1e-6)
    images = torch.rand(1, 3, SIDE, SIDE)
    torch.testing.assert_close(detector.predict(images).boxes_xyxy, trained.predict(images).boxes_xyxy)


def test_differences_and_ap_are_those_of_the_trained_and_the_simpler_network(
    pets: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def recorded(network: Detector, *args: object, **options: object) -> object:
        measured.append([type(module).__name__ for module in network.model[1:3]])
        return evaluate(network, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("engine.exporting.accuracy.evaluate", recorded)
    job = job_of(pets, simplify_blocks=1.0)
    with torch.no_grad():  # small enough for a wide tolerance, large enough to be seen
        detector.model[2].switch.bias.fill_(1.1)  # type: ignore[union-attr, operator]
    found = simplified(detector, job, inputs(job))
    assert found is not None
    assert found.replaced == 2
    assert found.differences is not None
    assert found.differences.boxes_px > 1e-3
    assert measured == [["SAConv2d", "SAConv2d"], ["Conv", "Conv"]]


def test_where_nothing_is_replaced_nothing_is_measured(pets: Path, detector: Detector) -> None:
    with torch.no_grad():
        detector.model[1].switch.bias.fill_(0.5)  # type: ignore[union-attr, operator]
    job = job_of(pets, simplify_blocks=1e-3)
    found = simplified(detector, job, inputs(job))
    assert found is not None
    assert (found.replaced, found.differences, found.ap) == (0, None, None)


def test_of_many_pictures_some_are_drawn(pets: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplification, "MOST", 1)
    job = job_of(pets, simplify_blocks=1e-3)
    found = simplified(detector, job, inputs(job))
    assert found is not None
    assert found.pictures == 1


def test_other_classes_are_refused_before_the_work(pets: Path, detector: Detector) -> None:
    detector.classes = Classes.of(("horse", "dog"))
    job = job_of(pets, simplify_blocks=1e-3)
    with pytest.raises(
        EngineError,
        match=r"its classes are not those of the checkpoint \(best.pt does not know cat; the data set lacks horse\)",
    ):
        simplified(detector, job, inputs(job))


def test_the_flag_needs_a_data_set() -> None:
    with pytest.raises(EngineError, match=r"^--simplify-blocks: looks at training pictures; name their data set with"):
        ExportOptions("best.pt", simplify_blocks=1e-3)
    with pytest.raises(EngineError, match=r"^--simplify-blocks: -0.1 is not a number from 0 to 1"):
        ExportOptions("best.pt", data="my.yaml", simplify_blocks=-0.1)


@pytest.mark.slow
def test_what_is_written_is_the_simpler_network(pets: Path, detector: Detector, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    weights = save_detector(detector, tmp_path / "best.pt")
    nodes = []
    for tolerance in (None, 1e-3):
        (written,) = export(ExportOptions(str(weights), data=str(pets), simplify_blocks=tolerance))
        backend = open_backend(written.path, device=torch.device("cpu"))
        assert isinstance(backend, ExportedBackend)
        assert backend.metadata.simplify_blocks == tolerance
        assert (written.simplification is None) == (tolerance is None)
        nodes.append(sum(node.op_type == "Conv" for node in onnx.load(written.path).graph.node))
    full, simpler = nodes
    assert simpler < full


BLOCKS = (
    Simplified(3, "model.3", "SAConv2d", "Conv", {"switch": 0.00021, "output": 0.0004}, replaced=True),
    Simplified(4, "model.4.m.0.cv2", "SAConv2d", "Conv", {"switch": 0.31, "output": 1.25}),
)
TABLE = """\
row    block            switch off by    output off by    exported as
-----  ---------------  ---------------  ---------------  ------------------
3      model.3          0.00021          0.0004           Conv
4      model.4.m.0.cv2  0.31             1.2              SAConv2d, as it is
"""


def test_the_table_names_the_rows_and_what_changes() -> None:
    differences = Differences(0.25, 0.0012, torch_ms=30.0, file_ms=20.0, pictures=8, cells=800)
    found = Simplification(1e-3, 205, BLOCKS, differences, (0.6, 0.5988))
    assert simplification_text(found) == (
        f"{TABLE}1 of 2 blocks are simpler ones within 0.001 on 205 training pictures: boxes change by up to 0.25 px, "
        "scores by 0.0012; PyTorch needs 20.0 ms, 30.0 as trained; AP 0.5988, 0.6000 as trained (-0.0012)"
    )


def test_the_table_without_a_simpler_block_or_an_object_to_find() -> None:
    kept = Simplification(1e-3, 1, BLOCKS[1:])
    assert simplification_text(kept).endswith("\n0 of 1 blocks are simpler ones within 0.001 on 1 training picture")
    assert simplification_text(Simplification(1e-3, 1, ())).startswith("--simplify-blocks: this model has no block")
    differences = Differences(0.25, 0.0012, torch_ms=30.0, file_ms=20.0, pictures=8, cells=800)
    undefined = Simplification(1e-3, 205, BLOCKS, differences, (math.nan, math.nan))
    assert simplification_text(undefined).endswith("; no object to find, so AP is undefined")
