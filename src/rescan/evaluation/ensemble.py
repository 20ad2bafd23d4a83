"""The predictions of an ensemble: those of its members' runs, averaged sample by sample."""

from __future__ import annotations

import pandas as pd

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.posttrain import combine, trim_of
from rescan.files import write_json, write_table
from rescan.heads import outputs as heads
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Study


def ensemble(study: Study, arm: str, seed: int) -> None:
    """Write an ensemble's predictions.csv for a seed.

    Each test and unlabelled image gets the mean over all members and their folds. A validation image gets that over the
    folds whose validation part it is in, so that no network that was trained on it counts.

    Raises:
        RescanError: A member's predictions are missing.
    """
    described = study.arms[arm].ensemble
    if described is None:
        raise RescanError(f"{study.name}: arm {arm!r} is no ensemble")
    members = [predictions.read(study, member, seed) for member in described.members]
    members = [member.where(member.rows["part"] != "train") for member in members]
    found = combine(members, trim_of(study.arms[arm]))
    run = Paths(study.scale, study.name).run(arm, 0, seed)
    rows = found.rows.assign(fold=0)
    write_table(run.predictions, pd.concat([rows, pd.DataFrame(heads.columns(found.outputs))], axis=1))
    write_json(run.diagnosis, {"collapsed": False})
    networks = [model for model in study.models(arm) if model[3] == seed]
    logger.info("%s, seed %d: %d networks averaged", arm, seed, len(networks))
