"""The step `ensemble`: the predictions of its members' runs, averaged sample by sample."""

from __future__ import annotations

import pandas as pd

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.predictions import combine, trim_of
from rescan.files import together
from rescan.heads import outputs as heads
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.diagnosis_file import Diagnosis
from rescan.results.predictions_file import PREDICTIONS
from rescan.study import Study


def ensemble(study: Study, arm: str, seed: int) -> None:
    """Write an ensemble's predictions.csv for a seed.

    Each test and unlabeled image gets the mean over all members and their folds. A validation image gets that over the
    folds whose validation part it is in, so that no network that was trained on it counts.

    Raises:
        RescanError: A member's predictions are missing or damaged.
    """
    recipe = study.arms[arm]
    if recipe.ensemble is None:
        raise RescanError(f"{study.name}: arm {arm!r} is no ensemble")
    members = [predictions.read(study, member, seed) for member in recipe.ensemble.members]
    mean = combine([member.where(member.rows["part"] != "train") for member in members], trim_of(recipe))
    run = Paths(study.scale, study.name).run(arm, 0, seed)
    outputs = pd.DataFrame(heads.columns(mean.outputs))
    with together():
        PREDICTIONS.write(run.predictions, pd.concat([mean.rows.assign(fold=0), outputs], axis=1))
        Diagnosis(collapsed=False).write(run.diagnosis)
    networks = [run for run in study.member_runs(arm) if run.seed == seed]
    logger.info("%s, seed %d: %d networks averaged", arm, seed, len(networks))
