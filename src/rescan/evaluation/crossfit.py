"""Cross-fitting: validation rows are read with what was fitted without their fold."""

from __future__ import annotations

from hashlib import blake2b
from typing import Optional, Union

import numpy as np
import pandas as pd

from rescan.heads.head import Array, Indices
from rescan.results.posttraining import CROSSFIT, Fits

AnyFits = Union[Fits[float], Fits[list[float]], Fits[Optional[float]]]


def crossfit_fold(groups: pd.Series) -> Indices:
    """The cross-fitting fold, 0 … 4, of each group: a hash of its name, so the same in every run."""
    hashes = (blake2b(group.encode(), digest_size=8).digest() for group in groups)
    return np.array([int.from_bytes(digest, "big") % CROSSFIT for digest in hashes], dtype=np.intp)


def fit_per_row(fits: AnyFits, rows: pd.DataFrame, *, crossfit: bool) -> Array:
    """The fit that holds for each row, (n, …): of validation rows, if cross-fitted, the one without their fold.

    NaN where a fit could not be made.
    """
    whole = np.asarray(fits.whole, float)
    values = np.broadcast_to(whole, (len(rows), *whole.shape)).copy()
    if crossfit:
        validation = (rows["part"] == "validation").to_numpy()
        values[validation] = np.asarray(fits.crossfit, float)[crossfit_fold(rows["group"][validation])]
    return values
