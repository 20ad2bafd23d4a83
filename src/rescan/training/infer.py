"""The step `infer`: a trained run's outputs for all its items."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.files import together, writing
from rescan.heads import outputs as heads
from rescan.log import logger
from rescan.models import model_files
from rescan.results.diagnosis_file import Diagnosis
from rescan.results.predictions_file import KEYS, MOST_VECTORS, PREDICTIONS
from rescan.results.training_range import write_range
from rescan.study import Run
from rescan.training import loader
from rescan.training.collapse import diagnose
from rescan.training.forward_pass import Versions, forward_pass
from rescan.training.lease import Machine
from rescan.training.precision import place
from rescan.training.range_of_run import chosen_items, range_of


def infer(run: Run, machine: Machine) -> None:
    """Write a run's `predictions.csv` (every head's outputs of every item), `vectors.npy` and `diagnosis.json`.

    `vectors.npy`, (n, D) float16, holds what the heads take for up to 5,000 validation and test items, the first of
    predictions.csv in these parts. Extra training data are not predicted. `training_range.safetensors` says what images
    the network was trained on (`RangeHeader`); with external data there is none, on which nothing is trained.

    Args:
        run: The run; of an arm with `models`, that arm's model is read.
        machine: What the job may use.

    Raises:
        RescanError: The model or the data are missing, or not what they should be; or there is no such device.
    """
    recipe, folder = run.settings, run.folder
    images, items = loader.read_items(run)
    is_extra = items["part"] == "extra"  # not predicted; some are looked at as training images
    every = pd.concat([items[~is_extra], items[is_extra]], ignore_index=True)
    items = every[: int((~is_extra).sum())]
    held_out = items["part"].isin(["validation", "test"]).to_numpy()
    with machine.lease() as device:
        network, header = model_files.load_run(run.trained)
        if [images.shape[-1], *images.shape[1:-1]] != header.input:  # of external data, that are prepared by themselves
            takes, are = (" × ".join(map(str, shape)) for shape in (header.input[1:], images.shape[1:-1]))
            raise RescanError(
                f"{run.store}: its images are {are}, the network takes {takes}; let the steps end with a size"
            )
        shown = held_out & (held_out.cumsum() <= MOST_VECTORS)
        chosen = chosen_items(run, every, network.size)
        rows = np.union1d(np.arange(len(items)), chosen["row"])
        shown = np.isin(rows, np.flatnonzero(shown))
        with_vector = shown | np.isin(rows, chosen["row"])
        place(network, device, images.ndim - 2)
        outputs, vectors = forward_pass(
            network.eval(),
            images,
            every["item"].to_numpy()[rows],
            recipe.normalization,
            device,
            versions=Versions(recipe.inference, run.preparation.background),
            with_vector=with_vector,
        )
        outputs = {name: output[: len(items)] for name, output in outputs.items()}
        head = heads.HEADS[recipe.epoch_head]
        predicted = head.decide(outputs[head.name], len(run.study.data.classes))
        # Of an external data set a collapse is diagnosed at home; of several labels there is no class for all images.
        diagnosis = Diagnosis(collapsed=False)
        if run.study.home is None and not run.study.data.multilabel:
            diagnosis = diagnose(run, network, images, items, predicted, device)
    if header.diverged is not None:
        diagnosis = diagnosis.model_copy(update={"diverged": header.diverged})
    if diagnosis.collapsed:
        share = 100 * (diagnosis.share or 0)
        logger.warning("%s: collapsed: %.0f %% of validation is called %s", folder, share, diagnosis.label)
    if diagnosis.accuracies and diagnosis.is_stale:
        batchwise, used, again = diagnosis.accuracies
        text = "%s: batch norm's statistics do not fit: %s accuracy %.2f, %.2f with each batch's own, %.2f recalibrated"
        logger.warning(text, folder, diagnosis.part, used, batchwise, again)
    training_range = None
    if run.study.home is None:
        of_chosen = vectors[np.isin(rows[with_vector], chosen["row"])]
        training_range = range_of(run, every, chosen, images, of_chosen)
    keys = items.assign(fold=run.fold, seed=run.seed)[KEYS]
    with together():
        PREDICTIONS.write(folder.predictions, pd.concat([keys, pd.DataFrame(heads.columns(outputs))], axis=1))
        with writing(folder.vectors) as temporary:
            with np.errstate(over="ignore"):  # infinite then, as in networks that diverge
                halves = vectors[shown[with_vector]].astype(np.float16)
            np.save(temporary, halves, allow_pickle=False)
        diagnosis.write(folder.diagnosis)
        if training_range is not None:
            write_range(folder.training_range, training_range)
