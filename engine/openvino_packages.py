"""OpenVINO and NNCF, imported without their reports about who uses them.

Both hand what they do to the package `openvino_telemetry`, which sends it over the network and keeps an identity in the
user's home, unless the user has said no before. Here it is as if that package were not installed.
"""

from __future__ import annotations

import sys
from typing import Any

from engine.packages import import_package

OPENVINO = "openvino>=2026.4"
NNCF = "nncf>=3.4"

_REPORTS = "openvino_telemetry"


def import_openvino(what: str) -> Any:
    """The module `openvino`.

    Args:
        what: file or flag that needs it.

    Raises:
        EngineError: it is not installed.
    """
    _switch_off_reports()
    return import_package("openvino", OPENVINO, what)


def import_nncf(what: str) -> Any:
    """The module `nncf`, which says nothing about its work.

    Raises:
        EngineError: it is not installed.
    """
    _switch_off_reports()
    nncf = import_package("nncf", NNCF, what)
    nncf.set_log_level("ERROR")
    return nncf


def _switch_off_reports() -> None:
    # An entry of None makes its import fail. Both packages then use stand-ins of their own.
    sys.modules.setdefault(_REPORTS, None)  # type: ignore[arg-type]
