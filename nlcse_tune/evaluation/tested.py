"""Whether a run has the test scores that are asked for. Imports no torch: the driver of a seed study asks."""

from contextlib import suppress

from nlcse_tune.config import EvalConfig
from nlcse_tune.data.catalog import task_fingerprint
from nlcse_tune.paths import RunPaths
from nlcse_tune.records.ledger import kept_record, kept_test


def is_tested(paths: RunPaths, asked: EvalConfig) -> bool:
    """Whether a run's test record holds what is asked: the tasks, the setting, and the test sets as they are now."""
    record = kept_record(paths)
    if record is None or (test := kept_test(paths, record)) is None:
        return False
    at_hand = {}
    for task in asked.tasks:
        with suppress(FileNotFoundError):  # a task without data cannot be scored: the record says so
            at_hand[task] = task_fingerprint(asked.data, task)
    return test.setting == asked.setting and all(test.data.get(task) == value for task, value in at_hand.items())
