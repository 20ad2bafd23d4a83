"""External data sets: which of their samples are tested on, and which are shared with the study's own data."""

from __future__ import annotations

import pandas as pd

from rescan.errors import RescanError
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.agreement import read_samples
from rescan.results.audit_report import GROUPS
from rescan.results.damage import damaged
from rescan.results.parts import EXTERNAL, LEFT_OUT, UNLABELED
from rescan.results.splits import SPLITS
from rescan.study import Study

SAMPLES_NAMED = 5  # in a message


def split_external(study: Study) -> None:
    """Write the `splits.csv` of an external data set, equal in all folds: all readable labeled samples are "external".

    A group with a relative in the home data (of the same patient, or a near-duplicate) is "left_out", whole.

    Args:
        study: The external data set.

    Raises:
        RescanError: No labeled sample is left.
    """
    paths = Paths(study.scale, study.name)
    samples = read_samples(study)
    if "relative" not in samples:
        raise damaged(paths.groups, GROUPS.step, "does not say what is shared with the home data")
    samples = samples[samples["problem"] == ""]
    labeled = samples["published_part"] != UNLABELED
    shared = labeled & samples["group"].isin(samples.loc[samples["relative"] != "", "group"])
    if shared.any():
        logger.warning("%s: %s", study.name, _sharing(study, samples[shared]))
    if not (labeled & ~shared).any():
        why = f" ({_sharing(study, samples[shared])})" if shared.any() else ""
        raise RescanError(f"{study.name}: no labeled sample is left to test on{why}")
    part = pd.Series(EXTERNAL, samples.index).mask(shared, LEFT_OUT).mask(~labeled, UNLABELED)
    folds = [samples.assign(fold=fold, part=part, linked=0) for fold in range(study.split.fold_count)]
    SPLITS.write(paths.splits, pd.concat(folds)[[column.name for column in SPLITS.columns]])


def _sharing(study: Study, shared: pd.DataFrame) -> str:
    """What is shared with the home data, and what to do if it only seems so."""
    pairs = [f"{own} with {other}" for own, other in zip(shared["sample"], shared["relative"]) if other]
    more = ", …" if len(pairs) > SAMPLES_NAMED else ""
    home = study.home
    by_name = "; if the hospitals number their patients independently, set same_patients: false"
    return (
        f"{len(shared)} samples of {shared['group'].nunique()} groups share a patient or an image with "
        f"{home.study if home else ''} and are left out: {', '.join(pairs[:SAMPLES_NAMED])}{more}"
        f"{by_name if home and home.same_patients and (shared['patient'] != '').any() else ''}"
    )
