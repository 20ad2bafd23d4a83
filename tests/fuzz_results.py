"""Random damages of every file between steps: whoever reads it next refuses it in one line, or makes the same of it.

A small study is run once, in a folder of its own; then one file at a time is damaged and the steps that read it run in
this process. What only this file knows (`Target.own`) may be another valid value: no neighbor can tell, and `rescan
verify` compares checksums. Nothing else may change a result in silence.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable
from unittest import mock

import numpy as np
import pandas as pd
from PIL import Image
from tests.mutations import mutate, touched
from tests.sample_files import make_range
from tests.time_limit import TooLong, time_limit

from rescan.data.audit import confounds
from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.run_items import items_of
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.compare import compare
from rescan.evaluation.ensemble import ensemble
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.paths import Paths
from rescan.preparation.preprocess import preprocess
from rescan.preparation.store import open_beside, open_store
from rescan.results.agreement import check_items, read_splits
from rescan.results.audit_report import AuditReport
from rescan.results.comparison import read_comparison
from rescan.results.diagnosis_file import Diagnosis
from rescan.results.history_files import HISTORY, LOSSES, read_history, read_losses
from rescan.results.metrics_file import Metrics, read_metrics
from rescan.results.predictions_file import KEYS, PREDICTIONS, read_vectors
from rescan.results.training_range import read_range, write_range
from rescan.study import Run, Study

PATHS = Paths("demo", "pets")
STORE, RUN, ARM = PATHS.store("small"), PATHS.run("one", 0, 0), PATHS.arm("one")
EACH = 10  # samples of each class
SECONDS = 20  # of computing that a case may take
STAGE = {"epochs": 1, "optimizer": "adam", "losses": {"classification": "cross_entropy"}, "samples": ["own", "more"]}
RECIPE = {
    "preparation": "small",
    "network": {"encoder": "cnn5", "weights": "none", "hidden": [4]},
    "stages": {"main": STAGE},
}


@dataclass(frozen=True)
class Target:
    """A file, and what reads it.

    Attributes:
        kind: csv, json or binary.
        file: Its path.
        reads: Each makes something of it, as text.
        own: Columns or keys that no neighbor knows: another valid value may make another result.
        leaf: Whether only figures and pages are made of it: nothing beside it says what it holds.
    """

    kind: str
    file: str
    reads: tuple[Callable[[Study], str], ...]
    own: frozenset[str] = frozenset()
    leaf: bool = False


def _made(*files: str) -> str:
    return "\n".join(Path(file).read_text("utf-8", "replace") for file in files)


def _indexed(study: Study) -> str:
    index(study)
    return _made(PATHS.manifest, PATHS.dropped)


def _audited(study: Study) -> str:
    audit(study, 1)
    return _made(PATHS.audit, PATHS.groups)


def _split(study: Study) -> str:
    split(study)
    return _made(PATHS.splits)


def _prepared(study: Study) -> str:
    preprocess(study, "small", 1)
    return _made(STORE.items) + Path(STORE.images).read_bytes().hex()


def _loaded(study: Study) -> str:
    """What `train` and `infer` read: the items of a run, their pixels and masks."""
    images, items = open_store(STORE)
    splits = read_splits(study)
    check_items(study, splits, items, STORE)
    masks = open_beside(STORE, "masks")
    used = items_of(Run(study, "one", 0, 0), splits, items[["item", "sample", "digest"]])
    return (
        used.sort_index(axis=1).to_csv()
        + images[used["item"]].tobytes().hex()
        + ("" if masks is None else masks.tobytes().hex())
    )


def _predicted(study: Study) -> str:
    rows, outputs = predictions.read(study, "one")
    return rows.to_csv() + repr({head: output.tolist() for head, output in outputs.items()})


def _fitted(study: Study) -> str:
    posttrain(study, "one")
    return _made(ARM.posttraining)


def _evaluated(study: Study) -> str:
    evaluate(study, "one")
    return _made(ARM.metrics)


def _averaged(study: Study) -> str:
    ensemble(study, "both", 0)
    return _made(PATHS.run("both", 0, 0).predictions)


def _compared(study: Study) -> str:
    compare(study)
    return _made(PATHS.comparison)


def _model(_: Study) -> str:
    from rescan.models.model_files import load

    network, header = load(RUN.model)
    return repr(header) + "".join(str(values.tolist()) for values in network.state_dict().values())


TARGETS = {
    "source": Target(
        "json",
        PATHS.source,
        (_indexed, _audited),
        frozenset({"kind", "from", "files", "bytes", "checksum", "differs", "root"}),
    ),
    "dropped": Target("json", PATHS.dropped, (_audited,), frozenset({"labels", "unlisted"})),
    # `split` and `preprocess` take the manifest at its word; what is copied from it is compared with it later.
    "manifest": Target(
        "csv",
        PATHS.manifest,
        (_audited, _split, _prepared, _loaded),
        frozenset(
            [
                "sample",
                "path",
                "label",
                "patient",
                "eye",
                "study",
                "published_part",
                "mask",
                "origin",
                "fov",
                "extent",
                "path_b",
            ]
        ),
    ),
    "groups": Target("csv", PATHS.groups, (_split, _prepared, _loaded), frozenset(("group", "problem", "conflict"))),
    "audit": Target("json", PATHS.audit, (lambda _: repr(AuditReport.read(PATHS.audit)),), leaf=True),
    "splits": Target("csv", PATHS.splits, (_loaded, _predicted), frozenset(("part",))),
    "items": Target("csv", STORE.items, (_loaded, _predicted)),
    "preparation": Target("json", STORE.preparation, (_loaded,)),
    "images": Target("binary", STORE.images, (_loaded,)),
    "masks": Target("binary", STORE.masks, (_loaded,)),
    "predictions": Target(
        "csv",
        RUN.predictions,
        (_predicted, _averaged, _fitted, _evaluated, _compared),
        frozenset(("classification_0", "classification_1")),
    ),
    "posttraining": Target(
        "json", ARM.posttraining, (_evaluated, _compared), frozenset(("temperatures", "models", "points", "trim"))
    ),
    # Of the scores, only numbers of samples can be compared with the predictions.
    "metrics": Target(
        "json",
        ARM.metrics,
        (_compared, lambda study: repr(read_metrics(study, "one"))),
        frozenset(Metrics.model_fields) - {"study", "arm", "metric", "head", "classes"},
    ),
    "diagnosis": Target("json", RUN.diagnosis, (_evaluated,), frozenset(Diagnosis.model_fields)),
    "history": Target(
        "csv",
        RUN.history,
        (lambda _: read_history(RUN.history).sort_index(axis=1).to_csv(), _evaluated),
        frozenset(column.name for column in HISTORY.columns) | {"train_accuracy", "validation_accuracy"},
    ),
    "losses": Target("csv", RUN.losses, (lambda _: repr(read_losses(RUN.losses)),), leaf=True),
    "comparison": Target("csv", PATHS.comparison, (lambda _: repr(read_comparison(PATHS.comparison)),), leaf=True),
    "vectors": Target("binary", RUN.vectors, (lambda _: repr(read_vectors(RUN.vectors)),), leaf=True),
    "training_range": Target("binary", RUN.training_range, (lambda _: repr(read_range(RUN.training_range)),)),
    "model": Target("binary", RUN.model, (_model,)),
}


def _study() -> Study:
    arms = {"one": RECIPE, "two": {**RECIPE, "normalization": "unit"}}
    data = {"source": {"path": "raw"}, "layout": "table", "classes": ["cat", "dog"]}
    return Study.model_validate(
        {
            "name": "pets",
            "scale": "demo",
            "title": "Pets",
            "data": {**data, "extra": {"more": {"source": {"path": "more"}, "layout": "table"}}},
            "split": {"test": 0.3, "validation": 0.3, "folds": 2},
            "preparations": {"small": {"steps": [{"name": "resize", "size": [32, 32]}], "channels": "gray"}},
            "arms": {**arms, "both": {**RECIPE, "ensemble": {"members": ["one", "two"]}}},
        }
    )


def _write_images() -> None:
    """Write two folders of images of noise with their tables: two are alike, two have no label, all have masks."""
    chance, rows = np.random.default_rng(0), []
    for folder in ("raw", "more"):
        Path(folder).mkdir()
    for number in range(2 * EACH + 2):
        pixels = chance.integers(0, 255, (24, 24 + number % 3), dtype=np.uint8)
        name, part = f"{number:02d}.png", "unlabeled" if number >= 2 * EACH else ""
        label = "" if part else ("cat", "dog")[number % 2]
        Image.fromarray(pixels).save(f"raw/{name}")
        Image.fromarray(np.uint8(255 * (pixels > 128))).save(f"raw/m{name}")
        rows.append([name, label, f"p{number // 2}", part, "3mm" if number % 4 else "6mm", f"m{name}"])
        if number < 2:
            Image.fromarray(pixels.T[::-1] // 2).save(f"more/{name}")
    table = pd.DataFrame(rows, columns=["path", "label", "patient", "part", "fov", "mask"])
    table.to_csv("raw/samples.csv", index=False)
    table.loc[:1, ["path", "label", "fov"]].to_csv("more/samples.csv", index=False)


def _write_run(study: Study, arm: str, fold: int) -> None:
    """Write what a training and its inference leave, with made-up outputs."""
    run, chance = Run(study, arm, fold, 0), np.random.default_rng([fold, len(arm)])
    items = items_of(run, read_splits(study), open_store(STORE)[1][["item", "sample"]])
    rows = items[items["part"] != "extra"].assign(fold=fold, seed=0)[KEYS].reset_index(drop=True)
    for name in ("classification_0", "classification_1"):
        rows[name] = chance.normal(size=len(rows))
    PREDICTIONS.write(run.folder.predictions, rows)
    Diagnosis(collapsed=False).write(run.folder.diagnosis)
    history = {"stage": "main", "epoch": range(3), "step": [2, 4, 6], "lr": 0.1, "train_loss": 1.0}
    accuracies = {"validation_loss": 1.0, "train_accuracy": 0.5, "validation_accuracy": 0.5}
    table = pd.DataFrame({**history, **accuracies, "seconds": 1.0, "images_per_second": 1.0, "kept": [0, 0, 1]})
    HISTORY.write(run.folder.history, table)
    LOSSES.write(run.folder.losses, pd.DataFrame({"step": [2, 4, 6], "loss": [1.0, 0.5, 0.25]}))
    np.save(run.folder.vectors, chance.normal(size=(len(rows), 4)).astype(np.float16))
    write_range(run.folder.training_range, make_range())


def _write_model(study: Study) -> None:
    from rescan import __version__
    from rescan.models.model_files import save
    from rescan.models.networks import build
    from rescan.results.trained_model import ModelHeader

    recipe, shape = study.arms["one"], (1, 32, 32)
    origin: dict[str, Any] = {"version": __version__, "torch": "2", "training_version": 0, "input": list(shape)}
    named = {"study": study.name, "scale": study.scale, "arm": "one", "fold": 0, "seed": 0, "classes": ["cat", "dog"]}
    header = ModelHeader(**origin, **named, recipe=recipe, preparation=study.preparations["small"])
    save(RUN.model, build(recipe, 2, shape), header)


@contextlib.contextmanager
def finished_study(target: str) -> Iterator[Study]:
    """Run the steps up to what reads a target, in a folder that is the current one until the block ends."""
    study, before = _study(), Path.cwd()
    logging.getLogger("rescan").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        stack.callback(os.chdir, before)
        os.chdir(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(mock.patch.object(confounds, "_predictions", lambda _, codes, __: codes))  # take long
        stack.enter_context(mock.patch("rescan.preparation.preprocess.time.monotonic", return_value=0.0))
        _write_images()
        download(study)
        for step in (_indexed, _audited, _split, _prepared):
            step(study)
        if target == "model":
            Path(RUN).mkdir(parents=True)
            _write_model(study)
        elif not set(TARGETS[target].reads) <= {_indexed, _audited, _split, _prepared, _loaded}:
            for arm in ("one", "two"):
                for fold in (0, 1):
                    Path(PATHS.run(arm, fold, 0)).mkdir(parents=True)
                    _write_run(study, arm, fold)
                posttrain(study, arm)
            ensemble(study, "both", 0)
            posttrain(study, "both")
            for arm in study.arms:
                evaluate(study, arm)
            compare(study)
        yield study


def run(target: str, count: int, seed: int) -> list[str]:
    """Damage a file so many times, and read it.

    Returns:
        What went wrong: another error than one line that names the file, a hang, or another result in silence.
    """
    entry, faults, chance = TARGETS[target], [], random.Random(f"{target} {seed}")
    with finished_study(target) as study:
        whole = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        right = [read(study) for read in entry.reads]
        _restore(whole)
        content = whole[Path(entry.file)]
        for number in range(count):
            name, damaged = mutate(entry.kind, content, chance)
            free = touched(entry.kind, content, damaged)
            may_differ = entry.leaf or (free is not None and free <= entry.own)
            for place, read in enumerate(entry.reads):
                Path(entry.file).write_bytes(damaged)
                fault = _fault(lambda read=read: read(study), Path(entry.file), None if may_differ else right[place])
                if fault:
                    what = f"{target} {number} of seed {seed}: {name} {sorted(free or [])}"
                    faults.append(f"{what}, read {place}: {fault}")
                _restore(whole)
    return faults


def _restore(whole: dict[Path, bytes]) -> None:
    for path, content in whole.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def _fault(read: Callable[[], str], file: Path, right: str | None) -> str | None:
    """What is wrong with how a damaged file is read; None if nothing is. Any result is right if `right` is None."""
    try:
        with time_limit(SECONDS):
            result = read()
    except RescanError as error:
        lines = str(error).splitlines()
        if len(lines) != 1 or (right is not None and file.name not in lines[0]):
            return f"the error {str(error)[:300]!r}"
        return None
    except TooLong:
        return "a hang"
    except Exception as error:  # noqa: BLE001 - any other error is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {str(error)[:200]!r}"
    return "another result in silence" if right is not None and result != right else None
