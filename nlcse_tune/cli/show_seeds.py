"""What `seeds` prints while it runs."""

from nlcse_tune.cli.live import LiveView, to_go
from nlcse_tune.cli.show import console, outcome
from nlcse_tune.errors import plural
from nlcse_tune.launch.events import SeedsView
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import Declaration, KeptRule, RunRecord
from nlcse_tune.report.numbers import TEST_LABELS
from nlcse_tune.report.verdict_words import column_name, look_words


def show_declared(declared: Declaration | None) -> None:
    """What the comparison is about, before anything is tested; a single arm compares nothing."""
    if declared is not None:
        columns = ", ".join(map(column_name, declared.columns))
        console.print(
            f"declared: {TEST_LABELS[declared.test]} on {columns}, level {declared.level:g}, equivalence within "
            f"{declared.margin:g} points, {' '.join(map(str, declared.looks))} seeds per arm; all else is exploratory"
        )


class ConsoleView(LiveView, SeedsView):
    """One line per finished run, above those under way."""

    def __init__(self) -> None:
        super().__init__("starting Ray (15 to 20 s)")

    def started(self, runs: int, at_a_time: int) -> None:
        console.print(f"{plural(runs, 'run')} to train and test, {at_a_time} at a time")
        self.head = to_go(0, runs)

    def note(self, text: str) -> None:
        console.print(text)

    def finished(self, spec: RunSpec, record: RunRecord | None, done: int, runs: int) -> None:
        console.print(f"  [{done}/{runs}] {spec.study.study} seed {spec.seed}  {outcome(record)}")
        self.head = to_go(done, runs)

    def rule(self, kept: KeptRule, new: bool) -> None:
        looks, seeds = ", ".join(map(str, kept.rule.looks)), kept.seeds
        console.print(
            f"stopping rule: {TEST_LABELS[kept.rule.test]}, looks at {looks} seeds per arm of {seeds[0]} to "
            f"{seeds[-1]}, error rate {kept.rule.alpha:g} over all looks"
        )
        if kept.rule.skipped:
            skipped = ", ".join(map(str, kept.rule.skipped))
            console.print(f"  no look at {skipped} seeds: with so few no scores could have stopped under this rule")
        if not new:
            console.print("  it was fixed by an earlier call, before the first look; --n and --max do not change it")
        elif seeds[0] > 1:
            console.print("  these are fresh seeds: what was looked at before cannot count under a rule")

    def looked(self, kept: KeptRule) -> None:
        decision = kept.taken[-1]
        following = f"on to {decision.next_n} seeds" if decision.next_n else "the rule ends without a difference"
        console.print(
            f"  look at {look_words(decision)}; {'a difference is found' if decision.significant else following}"
        )
