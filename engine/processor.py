"""Which processor this is, for the heads of tables: what it is good at decides which precision is fast."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_TELLING = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimddp",
)
"""Flags of Linux that decide about the speed of convolutions, in float and in int8."""


def describe_processor() -> str:
    """Name and telling flags, such as `Intel(R) Xeon(R) Processor (avx2, avx512f, avx512_vnni)`."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    name = fields.get("model name") or platform.processor() or platform.machine()
    telling = ", ".join(flag for flag in _TELLING if flag in flags)
    return f"{name} ({telling})" if telling else name
