"""Whoever watches a seed study: called as things happen; this one looks away. Imports neither Ray nor torch."""

from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import KeptRule, RunRecord


class SeedsView:
    """Each method may be left out."""

    def started(self, runs: int, at_a_time: int) -> None:
        """Ray is up."""

    def finished(self, spec: RunSpec, record: RunRecord | None, done: int, runs: int) -> None:
        """A run was trained and tested, or ended without a record."""

    def rule(self, kept: KeptRule, new: bool) -> None:
        """What `until_decided` goes by."""

    def looked(self, kept: KeptRule) -> None:
        """A look of the rule was taken."""
