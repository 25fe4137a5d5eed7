"""The parser of every command: flags by their full names, a hint for a misspelt one, and the exit codes in `--help`."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from files.exit_codes import table
from files.hints import near_names
from files.words import cut

log = logging.getLogger(__name__)

_NUMBER = re.compile(r"-\d+|-\d*\.\d+")  # what argparse takes for a negative number, not for a flag
_IGNORED = re.compile(r"(argument \S+): ignored explicit argument .*", re.DOTALL)
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212"  # word processors make these of two hyphens


class CommandParser(argparse.ArgumentParser):
    """argparse's, but stricter: an abbreviated or misspelt flag is refused with the name that may be meant.

    argparse takes `--epoch` for `--epochs`, and a version with more flags for another one. A flag that is given twice
    counts as it stands last, as anywhere; a line says so.
    """

    def __init__(self, prog: str, description: str, **settings: Any) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=table(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, after a look at the names of the flags: a wrong one comes before a missing one."""
        given = sys.argv[1:] if args is None else list(args)
        words = list(self._words(given))
        for word in words:
            if word not in self._option_string_actions:
                self._refuse(word, self._flag_before(word, given))
        for dest, number in Counter(self._option_string_actions[word].dest for word in words).items():
            if number > 1:
                log.warning("warning: --%s is given %d times; the last one counts", dest.replace("_", "-"), number)
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; what is left over is shown as it was written, control characters escaped."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            self._refuse(rest[0])
        return options

    def error(self, message: str) -> NoReturn:
        """As argparse's, which says that it ignores what it refuses."""
        ignored = _IGNORED.fullmatch(message)
        super().error(f"{ignored[1]} takes no value; write it alone, or leave it out" if ignored else message)

    def _words(self, args: Sequence[str]) -> Iterator[str]:
        """The names of the flags in a command line."""
        for word in args:
            if word == "--":
                return
            if word[:1] == "-" and len(word) > 1 and " " not in word and not _NUMBER.fullmatch(word):
                yield word.partition("=")[0]

    def _flag_before(self, word: str, args: Sequence[str]) -> str:
        """The flag whose value this word may be meant to be, such as a file `-a.jpg`; "" for none."""
        place = args.index(word) if word in args else 0  # not there: it is `word=value`
        before = self._option_string_actions.get(args[place - 1]) if place else None
        return args[place - 1] if before is not None and before.nargs != 0 else ""

    def _refuse(self, word: str, before: str = "") -> NoReturn:
        shown = cut(word if word.isprintable() else repr(word), 80)
        known = [name.lstrip("-") for name in self._option_string_actions if name.startswith("--")]
        name = word.lstrip(_DASHES)
        near = near_names(name, known) if name != word else []
        hint = f"did you mean --{near[0]}?" if near else "--help lists the flags"
        if before and not near and shown == word and not word.startswith("--"):
            hint = f"as the value of {before}, write {before}={shown}"
        self.error(f"unrecognized arguments: {shown}; {hint}")
