"""Names that options and files take, each set declared once. Imports nothing, so that `--help` answers at once."""

from typing import Literal

MAX_SEED = 2**31 - 1  # NumPy's older generators, which Optuna uses, take no seed of more than 32 bits

SamplerName = Literal["tpe", "random", "grid"]
SchedulerName = Literal["none", "asha", "median"]
TestName = Literal["welch", "student", "paired", "permutation", "signflip", "wilcoxon"]
Correction = Literal["none", "holm"]
Setting = Literal["all", "mean", "wmean"]  # how the sub-sets of an STS task are joined
Precision = Literal["fp32", "bf16"]  # of an evaluation
Protocol = Literal["scikit-learn", "senteval", "senteval-fast"]  # the classifier of transfer tasks
ReportFormat = Literal["terminal", "markdown", "latex", "csv", "json"]
TrackerName = Literal["none", "tensorboard", "mlflow", "wandb"]  # where curves are kept besides the records
DataName = Literal[
    "wiki1m", "nli", "senteval", "wiki-de", "wiki-fr", "wiki-ru", "wiki-zh", "stsb_multi_mt", "cifar10", "imagenet60",
    "librispeech50", "fsdd", "flickr30k", "demo",
]  # fmt: skip
