"""One rule for a model's `ch` in training, validation and detection: pictures are read with three channels."""

from __future__ import annotations

from engine.errors import EngineError

CHANNELS = 3


def require_colour(channels: int, where: str) -> None:
    """Refuse a network for pictures that nobody reads, such as those of four channels.

    Args:
        channels: of the network's input.
        where: file, and line where known, that says so.

    Raises:
        EngineError: it is not for three channels.
    """
    if channels != CHANNELS:
        raise EngineError(
            f"{where}: ch: {channels}, but pictures are read with {CHANNELS} channels (blue, green, red); use a model "
            f"with ch: {CHANNELS}, or delete the line"
        )
