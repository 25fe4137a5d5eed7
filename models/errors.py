"""The error that `models` raises for a configuration it cannot build."""

from __future__ import annotations


class ConfigError(ValueError):
    """A model configuration is wrong. The message is one line that names the file, the entry and the remedy."""
