"""Several tests at once."""

import numpy as np

from nlcse_tune.stats.samples import Values, as_values


def holm(p_values: Values) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    Keeps the chance of even one false finding in the family at alpha under any dependence, which matters here: the
    scores of one run on seven test sets go up and down together. The family is whatever is passed: pass every test
    that was looked at, not those that came out well.
    """
    p = as_values(p_values)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]
