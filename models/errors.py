"""The errors that `models` raises for input it cannot use."""

from __future__ import annotations

from files.errors import InputError


class ConfigError(InputError):
    """A model configuration is wrong. The message is one line that names the file, the entry and the remedy."""


class BudgetError(ConfigError):
    """A model is larger than a file may ask for; see `models.budget`. The message names the flag that allows it."""


class WeightsError(InputError):
    """A checkpoint cannot be read or does not fit. The message is one line that names the file and the remedy."""
