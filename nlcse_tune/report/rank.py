"""How grave a remark is."""

from enum import IntEnum

# What a reader must know, the gravest first. A NOTE can be read later.
Rank = IntEnum(
    "Rank",
    "SEARCH_SEED NO_ARM NO_GAIN IDLE_SIDE CANNOT_REJECT DECLARED NO_SCORE WITH_METHOD TUNING SETTINGS OTHER_SETTING "
    "MANY_TESTS SKEWED N LEFT_OUT NOTE",
)
Line = tuple[Rank, str]
