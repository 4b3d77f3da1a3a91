"""Publishers' archives as small as can be."""

import gzip

import numpy as np

from tests.data.test_archive import archive

ROW = "g\tf\ty\t1\t{0}\ta\tb\n"


def senteval() -> dict[str, str | bytes]:
    """All of it as small as can be, below the folder of SentEval's own archive."""
    files: dict[str, str | bytes] = {f"STS/STSBenchmark/sts-{part}.csv": ROW.format(1) + ROW.format(2)
                                     for part in ("dev", "test")}  # fmt: skip
    for task in ("STS12", "STS13", "STS14", "STS15", "STS16"):
        files[f"STS/{task}-en-test/STS.input.mine.txt"] = "a\tb\nc\td\n"
        files[f"STS/{task}-en-test/STS.gs.mine.txt"] = "1\n2\n"
    files["SICK/SICK_test_annotated.txt"] = "id\tA\tB\tscore\n1\ta\tb\t1\n2\tc\td\t2\n"
    halves = {"MR/rt-polarity": "pos neg", "CR/custrev": "pos neg", "MPQA/mpqa": "pos neg"}
    for name, ends in {**halves, "SUBJ/subj": "objective subjective"}.items():
        files |= {f"{name}.{end}": "good\n" for end in ends.split()}
    files |= {f"SST/binary/sentiment-{part}": "good\t1\nbad\t0\n" for part in ("train", "dev", "test")}
    files |= {f"TREC/{part}.label": "NUM:x How far\nHUM:y Who\n" for part in ("train_5500", "TREC_10")}
    for part in ("train", "test"):
        files[f"MRPC/msr_paraphrase_{part}.txt"] = "is\t1\t2\tA\tB\n0\t1\t2\ta\tb\n1\t3\t4\tc\td\n"
    return {f"downstream/{name}": content for name, content in files.items()}


def cifar10() -> bytes:
    rng = np.random.default_rng(0)
    names = ("airplane", "automobile")
    files: dict[str, str | bytes] = {"cifar-10-batches-bin/batches.meta.txt": "\n".join(names) + "\n\n"}
    for part in range(1, 6):
        records = rng.integers(0, 256, (4, 3073), dtype=np.uint8)
        records[:, 0] = [0, 1, 1, 0]
        files[f"cifar-10-batches-bin/data_batch_{part}.bin"] = records.tobytes()
    return gzip.compress(archive(files))
