"""OpenVINO: a folder with the network, its weights and `metadata.yaml`."""

from __future__ import annotations

from pathlib import Path

from engine.backends.metadata import FILE
from engine.errors import EngineError
from engine.exporting.format import FP32, ExportFormat, ExportJob, Tolerance, register_format
from engine.exporting.int8 import quantised_graph
from engine.exporting.network import ExportedNetwork
from engine.exporting.openvino_graph import openvino_graph
from engine.exporting.quiet import quiet
from engine.openvino_packages import NNCF, OPENVINO, import_openvino
from engine.options import ExportOptions
from engine.packages import require_package

NETWORK = "model.xml"


@register_format
class OpenVino(ExportFormat):
    """With `--half` the weights are stored in float16, with `--int8` convolutions are computed in int8."""

    ending = "_openvino"
    options = frozenset({"dynamic", "half", "int8"})
    packages = {"openvino": OPENVINO}  # noqa: RUF012
    # Single cells say little of int8: where two places of a side are equally likely, it jumps from one to the other.
    # Its bounds tell broken files; what is lost, AP tells.
    tolerances = {"fp32": FP32, "fp16": Tolerance(4.0, 0.03), "int8": Tolerance(1000.0, 0.9)}  # noqa: RUF012

    def check(self, options: ExportOptions) -> None:
        """Also asks for what calibration needs."""
        super().check(options)
        if options.int8:
            require_package("nncf", NNCF, "--int8")
            if not options.data:
                raise EngineError("--int8: is calibrated on training pictures; name their data set with --data")

    def write(self, network: ExportedNetwork, job: ExportJob, temporary: Path) -> None:
        """See the base class."""
        model = quantised_graph(network, job) if job.options.int8 else openvino_graph(network, job)
        openvino = import_openvino("--include openvino")
        with quiet():
            openvino.save_model(model, str(temporary / NETWORK), compress_to_fp16=job.options.half)
        (temporary / FILE).write_text(job.metadata.as_yaml(), encoding="utf-8")
