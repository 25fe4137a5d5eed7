"""SAConv2d's variants, as arguments beyond the channels."""

from __future__ import annotations

VARIANTS = {
    "plain": {"k": 3},
    "stride": {"k": 3, "s": 2},
    "point": {"k": 1},
    "groups": {"k": 5, "g": 2},
    "dilated": {"k": 3, "d": 2},
    "stem": {"k": 6, "s": 2, "p": 2},
    "deform": {"k": 3, "use_deform": True},
    "deform_groups": {"k": 3, "s": 2, "g": 2, "use_deform": True},
}
