"""The commands of the rules: each calls the function of its name, in the module of its name."""

# No `from __future__ import annotations` here: on Python 3.9, typer cannot read annotations that are strings.
from pathlib import Path
from typing import Annotated, Optional

import typer

from rescan.cli.options import (
    Arm,
    Device,
    DeviceName,
    Fold,
    JobsPerGpu,
    Log,
    Preparation,
    Processes,
    Resolved,
    Runtime,
    Seed,
    Threads,
)
from rescan.cli.running import paths_of, running, running_run
from rescan.log import start
from rescan.paths import AutoencoderFolder, RunFolder


def download(study: Resolved, log: Log = None) -> None:
    """Bring the data into place, from Kaggle, a URL or a local path, or make phantoms. Makes source.json."""
    start(log)
    from rescan.data.sources.download import download
    from rescan.study import read

    resolved = read(study)
    with running("download", paths_of(resolved).source, study=resolved):
        download(resolved)


def weights(
    encoder: Annotated[str, typer.Argument(help="an encoder's name, such as resnet18")],
    file: Annotated[Optional[Path], typer.Option(help="a file of weights of your own, instead of a download")] = None,
    log: Log = None,
) -> None:
    """Bring an encoder's published weights, or those in a file of your own, to data/weights, as safetensors."""
    start(log)
    from rescan.data.sources.weights import files_of, weights

    file = None if file is None else file.resolve()
    outputs = files_of(encoder, file)
    with running("weights", *outputs, name=encoder if file is None else Path(outputs[0]).stem):
        weights(encoder, file)


def index(study: Resolved, log: Log = None) -> None:
    """List the samples. Makes manifest.csv."""
    start(log)
    from rescan.data.index import index
    from rescan.study import read

    resolved = read(study)
    paths = paths_of(resolved)
    with running("index", paths.manifest, paths.dropped, study=resolved):
        index(resolved)


def audit(study: Resolved, processes: Processes = 1, log: Log = None) -> None:
    """Look for unreadable files, duplicates, label conflicts and confounds. Makes audit.json and groups.csv."""
    start(log)
    from rescan.data.audit.audit import audit
    from rescan.study import read

    resolved = read(study)
    paths = paths_of(resolved)
    with running("audit", paths.audit, paths.groups, study=resolved, processes=processes):
        audit(resolved, processes)


def split(study: Resolved, log: Log = None) -> None:
    """Split the samples by group into train, validation and test. Makes splits.csv."""
    start(log)
    from rescan.data.split import split
    from rescan.study import read

    resolved = read(study)
    with running("split", paths_of(resolved).splits, study=resolved):
        split(resolved)


def preprocess(
    study: Resolved,
    preparation: Preparation,
    processes: Processes = 1,
    log: Log = None,
) -> None:
    """Prepare every sample into the packed store."""
    start(log)
    from rescan.preparation.preprocess import preprocess
    from rescan.study import read

    resolved = read(study, preparation=preparation)
    store = paths_of(resolved).store(preparation)
    with running("preprocess", store, study=resolved, name=preparation, processes=processes):
        preprocess(resolved, preparation, processes)


def explore(study: Resolved, log: Log = None) -> None:
    """Draw the class distribution, sample grids, augmented samples and a t-SNE."""
    start(log)
    from rescan.reporting.figures.explore import explore
    from rescan.study import read

    resolved = read(study)
    with running("explore", paths_of(resolved).explore, study=resolved):
        explore(resolved)


def train(
    study: Resolved,
    arm: Arm,
    fold: Fold = 0,
    seed: Seed = 0,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    runtime: Runtime = 0,
    log: Log = None,
) -> None:
    """Train an arm once. Can be killed at any time, and goes on where it was."""
    start(log)
    from rescan.reporting.figures.training_figures import curves
    from rescan.study import Run, read
    from rescan.training.job import Clock
    from rescan.training.lease import Machine
    from rescan.training.train import train

    run, clock = Run(read(study, arm, fold=fold), arm, fold, seed), Clock(runtime or None)
    files = run.folder
    made = (run.state_folder, files.model, files.history, files.losses, files.network, files.curves)

    def draw(outputs: str) -> None:
        curves(RunFolder(outputs).history, files.curves, graded=run.study.data.ordered, vectors=False)

    with running_run("train", run, *made, stop_waiting=clock.time_is_up, must=True, device=device):
        train(run, Machine(device, threads, jobs_per_gpu), clock, draw)


def pretrain(
    study: Resolved,
    autoencoder: Annotated[str, typer.Option(help="the autoencoder's name")],
    fold: Fold = 0,
    seed: Seed = 0,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    runtime: Runtime = 0,
    log: Log = None,
) -> None:
    """Pre-train an autoencoder once, as `train`. Makes encoder.safetensors, history.csv and reconstructions."""
    start(log)
    from rescan.reporting.figures.autoencoder_figures import reconstructions
    from rescan.reporting.figures.training_figures import curves
    from rescan.study import AutoencoderRun, read
    from rescan.training.job import Clock
    from rescan.training.lease import Machine
    from rescan.training.pretrain import pretrain

    run = AutoencoderRun(read(study, autoencoder=autoencoder, fold=fold), autoencoder, fold, seed)
    files, clock = run.folder, Clock(runtime or None)

    def draw(outputs: str) -> None:
        made = AutoencoderFolder(outputs)
        curves(made.history, files.curves, vectors=False)
        reconstructions(Path(made.reconstructions), Path(files.reconstructions_figure))

    with running_run("pretrain", run, run.state_folder, files, stop_waiting=clock.time_is_up, must=True, device=device):
        pretrain(run, Machine(device, threads, jobs_per_gpu), clock, draw)


def infer(
    study: Resolved,
    arm: Arm,
    fold: Fold = 0,
    seed: Seed = 0,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    log: Log = None,
) -> None:
    """Write a trained run's outputs for every item. Makes predictions.csv."""
    start(log)
    from rescan.study import Run, read
    from rescan.training.infer import infer
    from rescan.training.lease import Machine

    run = Run(read(study, arm, fold=fold), arm, fold, seed)
    files = run.folder
    outputs = files.predictions, files.vectors, files.diagnosis, files.training_range
    with running_run("infer", run, *outputs, device=device):
        infer(run, Machine(device, threads, jobs_per_gpu))


def ensemble(study: Resolved, arm: Arm, seed: Seed = 0, log: Log = None) -> None:
    """Average the predictions of an ensemble's members. Makes predictions.csv."""
    start(log)
    from rescan.evaluation.ensemble import ensemble
    from rescan.study import read

    resolved = read(study, arm)
    files = paths_of(resolved).run(arm, 0, seed)
    with running("ensemble", files.predictions, files.diagnosis, study=resolved, name=arm, fold=0, seed=seed):
        ensemble(resolved, arm, seed)


def posttrain(study: Resolved, arm: Arm, log: Log = None) -> None:
    """Fit temperatures, a linear neuron, cut points; never on the test part. Makes posttraining.json."""
    start(log)
    from rescan.evaluation.posttrain import posttrain
    from rescan.study import read

    resolved = read(study, arm)
    with running("posttrain", paths_of(resolved).arm(arm).posttraining, study=resolved, name=arm):
        posttrain(resolved, arm)


def evaluate(study: Resolved, arm: Arm, log: Log = None) -> None:
    """Score an arm, with intervals. Makes metrics.json and its figures."""
    start(log)
    from rescan.evaluation.evaluate import evaluate
    from rescan.files import together
    from rescan.reporting.figures.evaluation_figures import evaluation
    from rescan.study import read

    resolved = read(study, arm)
    folder = paths_of(resolved).arm(arm)
    with running("evaluate", folder.metrics, folder.figures, folder.submission, study=resolved, name=arm), together():
        evaluation(resolved, arm, evaluate(resolved, arm))


def gradcam(
    study: Resolved,
    arm: Arm,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    log: Log = None,
) -> None:
    """Draw Grad-CAM maps of right and wrong test images, check them, and score them where lesion masks are known."""
    start(log)
    from rescan.explanation.gradcam import gradcam
    from rescan.reporting.figures.map_check_figures import map_checks
    from rescan.study import read
    from rescan.training.lease import Machine

    resolved = read(study, arm)
    with running("gradcam", paths_of(resolved).arm(arm).gradcam, study=resolved, name=arm, device=device):
        gradcam(resolved, arm, Machine(device, threads, jobs_per_gpu), map_checks)


def compare(
    study: Resolved,
    arm: Annotated[Optional[list[str]], typer.Option(help="the arms that were scored; all, if not given")] = None,
    log: Log = None,
) -> None:
    """Compare arms with each other and with the published numbers. Makes comparison.csv and its figures."""
    start(log)
    from rescan.evaluation.compare import compare
    from rescan.files import together
    from rescan.reporting.figures.comparison_figures import comparison
    from rescan.study import read

    resolved = read(study)
    paths = paths_of(resolved)
    with running("compare", paths.comparison, paths.comparison_figures, study=resolved), together():
        compare(resolved, arm)
        comparison(resolved, arm)


def report(
    studies: Annotated[
        Optional[list[Path]],
        typer.Argument(help="resolved studies: results/<scale>/<study>/study.json; none: only the page of all studies"),
    ] = None,
    log: Log = None,
) -> None:
    """Write the page of each study, and results/index.html of all that lie there; what has not run is listed so."""
    start(log)
    from rescan.reporting.page.overview import overview
    from rescan.reporting.page.report import report
    from rescan.study import read
    from rescan.trace.crate import write_crate

    for study in studies or []:
        resolved = read(study)
        paths = paths_of(resolved)
        with running("report", paths.page, paths.card, paths.tables, study=resolved):
            report(resolved)
        write_crate(resolved)
    overview()
