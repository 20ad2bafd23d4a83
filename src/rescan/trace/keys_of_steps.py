"""The fingerprint of what a step depends on in the study file."""

from __future__ import annotations

from rescan.study import Study
from rescan.study.keys import autoencoder_key, preparation_key, recipe_key, result_key, study_key


def key_of_step(step: str, study: Study, name: str | None) -> str:
    """What a step depends on in the study file, as a fingerprint; "" where it has none.

    Args:
        step: The step.
        study: The study.
        name: Of the arm, the preparation or the autoencoder, where the step is of one.
    """
    if name is None:
        return study_key(study) if step == "report" else ""
    if step == "preprocess":
        return preparation_key(study, name)
    if step == "pretrain":
        return autoencoder_key(study, name)
    if step in ("posttrain", "evaluate"):
        return result_key(study, name)
    if step in ("train", "infer", "gradcam"):
        return recipe_key(study.trainer, study.arms[name].models or name)
    return ""
