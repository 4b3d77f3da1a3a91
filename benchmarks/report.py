"""How long a report takes: `python -m benchmarks.report` writes 1,000 synthetic records and times `build` and files."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nlcse_tune import report
from nlcse_tune.study import find_study
from tests.synthetic_records import make_run, make_study


def main() -> None:
    """Makes the records once and times `nlcse-tune report` as a fresh process and in this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--root", type=Path, default=None)
    args = parser.parse_args()
    root = args.root or Path(tempfile.mkdtemp())
    rng = np.random.default_rng(0)
    studies = [find_study(name) for name in ("visualcse-bert", "simcse-bert")]
    for study, shift in zip(studies, (1.0, 0.0), strict=True):
        make_study(root, study, range(1, 11), rng, shift=shift)
        for seed in range(100, 100 + args.records // 2 - 10):
            values = {"text.learning_rate": 1e-5 + seed * 1e-9}
            make_run(root, study, 42, rng, config=study.configure(values), tested=False)
    clock = time.perf_counter()
    made = report.build(["visualcse-bert"], root)
    built = time.perf_counter()
    report.write_report(made)
    print(
        f"{args.records} records under {root}: build {built - clock:.2f} s, files {time.perf_counter() - built:.2f} s"
    )
    call = f"report(['visualcse-bert'], out=Path({str(root)!r}))"
    code = f"from pathlib import Path; from nlcse_tune.cli.report import report; {call}"
    for label, extra in (("without figures", ""), ("with", ", figures=True")):
        clock = time.perf_counter()
        subprocess.run([sys.executable, "-c", code[:-1] + extra + ")"], check=True, capture_output=True)
        print(f"fresh process, {label}: {time.perf_counter() - clock:.2f} s")


if __name__ == "__main__":
    main()
