"""One checkpoint on every back end: which rows there are, and that each has its own figures."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine import format_names, processor
from engine.backends import Backend
from engine.cli.run import run_cli
from engine.cli.val import benchmark_text, main
from engine.errors import EngineError
from engine.exporting import benchmark as module
from engine.exporting import timing
from engine.exporting.benchmark import Benchmark, Row, benchmark
from engine.exporting.check import Differences
from engine.exporting.export import Exported
from engine.options import ExportOptions, ValOptions
from engine.processor import describe_processor
from models.heads.base import Predictions
from tests.engine.exporting.small import SIDE, save_detector, switchable_detector, write_pets


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pets.yaml` and a checkpoint `best.pt` that finds plenty."""
    folder = tmp_path_factory.mktemp("benchmark")
    detector = switchable_detector()
    detector.head.m[0].bias.data += 5  # type: ignore[union-attr, operator, index]
    save_detector(detector, folder / "best.pt", data=str(write_pets(folder)))
    return folder


class Formats:
    """Stands in for the exporter: a format that writes checkpoints, which cannot do int8, and one without package."""

    def __init__(self) -> None:
        self.asked: list[ExportOptions] = []

    def __call__(self, options: ExportOptions) -> list[Exported]:
        self.asked.append(options)
        (name,) = options.include
        if name == "absent":
            raise EngineError('--include absent: needs a package that is not installed; run: pip install "absent"')
        weights = Path(options.weights)
        file = weights.with_name(f"{weights.stem}_{options.precision}.pt")
        if options.int8:
            raise EngineError(f"{file}: not written, since its boxes differ")
        shutil.copyfile(weights, file)
        return [Exported(file, name, options.precision, Differences(), 12.5)]


@pytest.fixture
def formats(monkeypatch: pytest.MonkeyPatch) -> Formats:
    class Copies:
        tolerances = ("fp32", "int8")

    fake = Formats()
    monkeypatch.setattr(module, "export", fake)
    for place in (module, format_names):
        monkeypatch.setattr(place, "format_names", lambda: ["absent", "copy"])
    monkeypatch.setattr(module, "format_named", lambda name: Copies)
    monkeypatch.setattr(module, "ROUNDS", 1)
    return fake


def test_a_row_for_every_format_and_precision(files: Path, formats: Formats, tmp_path: Path) -> None:
    options = ValOptions(str(files / "best.pt"), workers=0, device="cpu", project=str(tmp_path / "runs"))
    found = benchmark(options)
    assert [(row.name, row.precision, bool(row.fault)) for row in found.rows] == [
        ("torch", "fp32", False),
        ("absent", "fp32", True),
        ("absent", "int8", True),
        ("copy", "fp32", False),
        ("copy", "int8", True),
    ]
    own, copy = found.rows[0], found.rows[3]
    assert own.ap == copy.ap > 0
    assert own.ms > 0
    assert copy.ms > 0
    assert own.megabytes == pytest.approx((files / "best.pt").stat().st_size / 1e6)
    assert copy.megabytes == 12.5
    assert (found.task, found.pictures, found.imgsz) == ("val", 1, SIDE)
    lost = found.rows[4]
    assert lost.fault == "best_int8.pt: not written, since its boxes differ"  # without the folder that is gone
    assert math.isnan(lost.ap)
    assert math.isnan(lost.ms)
    assert not (tmp_path / "runs").exists()
    assert not Path(formats.asked[0].weights).parent.exists()


def test_what_the_exporter_is_asked_for(files: Path, formats: Formats) -> None:
    benchmark(ValOptions(str(files / "best.pt"), imgsz=50, workers=0, device="cpu", model_budget=7))
    asked = {(one.include, one.precision): one for one in formats.asked}
    assert set(asked) == {(("absent",), "fp32"), (("absent",), "int8"), (("copy",), "fp32"), (("copy",), "int8")}
    for one in formats.asked:
        assert (one.data, one.imgsz, one.model_budget) == (str(files / "pets.yaml"), (50,), 7)
        assert not one.dynamic


def test_ap_is_measured_by_the_limits_of_val_on_inputs_of_one_size(
    files: Path, formats: Formats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"conf_thres": 0.01, "iou_thres": 0.3, "max_det": 7}
    options = ValOptions(
        str(files / "best.pt"),
        workers=0,
        device="cpu",
        project=str(tmp_path),
        task="train",
        **limits,  # type: ignore[arg-type]
    )
    seen, measured = [], []  # type: ignore[var-annotated]
    evaluate = module.Accuracy.__init__.__globals__["evaluate"]

    def recorded(network, loader, evaluator, **given):  # type: ignore[no-untyped-def]
        seen.append({name: given[name] for name in limits})
        assert all(batch.images.shape[2:] == (SIDE, SIDE) for batch in loader)
        result = evaluate(network, loader, evaluator, **given)
        measured.append(result.metrics.ap)
        return result

    monkeypatch.setattr("engine.exporting.accuracy.evaluate", recorded)
    found = benchmark(options)
    assert seen == [limits, limits]
    assert (found.task, found.pictures) == ("train", 2)
    assert [row.ap for row in found.rows if not row.fault] == measured


def test_half_precision_of_the_checkpoint_is_a_row_of_its_own(files: Path, formats: Formats) -> None:
    found = benchmark(ValOptions(str(files / "best.pt"), workers=0, device="cpu", bf16=True))
    assert [(row.name, row.precision) for row in found.rows][:2] == [("torch", "fp32"), ("torch", "bf16")]


def test_an_exported_file_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.backends.torch_backend.TorchBackend.takes_precision", False)
    with pytest.raises(EngineError, match=r"^--benchmark: .*best.pt is exported already; give the checkpoint that it"):
        benchmark(ValOptions(str(files / "best.pt"), device="cpu"))


def test_the_command_prints_the_table(files: Path, formats: Formats, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--weights", str(files / "best.pt"), "--benchmark", "--workers", "0", "--device", "cpu"]
    assert run_cli(main, arguments) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split() == ["back", "end", "precision", "AP", "ms", "MB"]
    assert [line.split()[:2] for line in lines[2:7]] == [
        ["torch", "fp32"],
        ["absent", "fp32"],
        ["absent", "int8"],
        ["copy", "fp32"],
        ["copy", "int8"],
    ]


def test_the_text_of_the_table() -> None:
    rows = (Row("torch", "fp32", 0.5, 21.46, 3.9), Row("ncnn", "fp32", math.nan, math.nan, math.nan, "lacks it"))
    assert benchmark_text(Benchmark(rows, "val", 87, 640, "cpu")) == (
        "back end    precision    AP      ms    MB\n"
        "----------  -----------  ------  ----  ----\n"
        "torch       fp32         0.5000  21.5  3.9\n"
        "ncnn        fp32         -       -     -\n"
        "\n"
        "AP of 87 pictures of 'val', every input 640x640 px; ms of one picture, median, all in turn\n"
        "cpu\n"
        "ncnn fp32: not measured: lacks it"
    )


class Clockwork(Backend):
    """Takes the times that it is given, in turn, of a clock of our own."""

    def __init__(self, name: str, seconds: Iterator[float], clock: list[float], calls: list[str]) -> None:
        self.name, self.seconds, self.clock, self.calls = name, seconds, clock, calls
        self.device = torch.device("cpu")

    def __call__(self, images: Tensor) -> Predictions:
        self.clock[0] += next(self.seconds)
        self.calls.append(f"{self.name}{int(images)}")
        return Predictions(torch.zeros(1, 0, 4), torch.zeros(1, 0, 2))


def test_back_ends_take_turns_and_the_first_call_of_a_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []  # type: ignore[var-annotated]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    fast = Clockwork("a", iter([9.0, 1.0, 2.0, 3.0, 9.0, 2.0, 2.0, 2.0]), clock, calls)
    slow = Clockwork("b", iter([9.0, 5.0, 5.0, 6.0, 9.0, 5.0, 5.0, 7.0]), clock, calls)
    times = timing.milliseconds([fast, slow], [torch.tensor(0), torch.tensor(1)], 2)
    assert times == [2000.0, 5000.0]
    assert calls == ["a0"] * 4 + ["b0"] * 4 + ["a1"] * 4 + ["b1"] * 4


def test_the_processor_is_named_with_its_telling_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "_CPUINFO", info)
    assert describe_processor()
    info.write_text("processor : 0\nmodel name\t: A: B\nflags\t\t: fpu amx_int8 avx2 sse\nprocessor : 1\n")
    assert describe_processor() == "A: B (avx2, amx_int8)"
