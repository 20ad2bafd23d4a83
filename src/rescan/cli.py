"""The command line: one subcommand a rule of the workflow, and those for people. No logic lives here.

Every step takes the resolved study (`results/<scale>/<study>/study.json`) and finds its inputs and outputs beside it
(`rescan.paths`), in the folder that it is run in.
"""

# No `from __future__ import annotations` here: on Python 3.9, typer cannot read annotations that are strings.
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from rescan import log as messages
from rescan.errors import RescanError

# Threads of torch that wait must not keep cores busy: three trainings that shared two cores took six times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


class DeviceName(str, Enum):
    """What can be asked for; `auto` takes a GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Resolved = Annotated[Path, typer.Argument(help="the resolved study: results/<scale>/<study>/study.json")]
Log = Annotated[Optional[Path], typer.Option(help="write the messages to this file too")]
Arm = Annotated[str, typer.Option(help="the arm's name")]
Fold = Annotated[int, typer.Option(help="the fold, from 0")]
Seed = Annotated[int, typer.Option(help="the seed of the run")]
Device = Annotated[DeviceName, typer.Option(help="what to compute on", envvar="RESCAN_DEVICE")]
Threads = Annotated[
    int, typer.Option(help="torch threads on a CPU; another number changes last digits", envvar="RESCAN_THREADS")
]
Processes = Annotated[int, typer.Option(help="processes that read images")]
JobsPerGpu = Annotated[int, typer.Option(help="how many jobs may share one GPU", envvar="RESCAN_JOBS_PER_GPU")]


@app.command()
def resolve(
    study_file: Annotated[Path, typer.Argument(help="the study file (YAML)")],
    out: Annotated[Path, typer.Option(help="where to write the resolved study (JSON)")],
    scale: Annotated[str, typer.Option(help="demo or full")] = "demo",
    weights: Annotated[Optional[str], typer.Option(help="replaces every arm's network.weights")] = None,
    seed: Annotated[Optional[list[int]], typer.Option(help="replaces split.seeds; give it once a seed")] = None,
    source: Annotated[Optional[str], typer.Option(help="a local folder or archive, instead of data.source")] = None,
    folds: Annotated[Optional[int], typer.Option(help="replaces split.folds")] = None,
    arm: Annotated[Optional[list[str]], typer.Option(help="an arm to run; give it once an arm")] = None,
    task: Annotated[Optional[str], typer.Option(help="a task of the study file")] = None,
    log: Log = None,
) -> None:
    """Merge and check a study file; write every arm's whole recipe as JSON."""
    messages.start(log)
    from rescan.study.file import load, write_resolved

    write_resolved(load(study_file, scale, weights, seed, source, folds=folds, arms=arm, task=task), out)


@app.command()
def download(study: Resolved, log: Log = None) -> None:
    """Bring the data: phantoms, Kaggle, an URL, or a local folder or archive. Makes source.json."""
    messages.start(log)
    from rescan.data.sources.download import download
    from rescan.study import read

    download(read(study))


@app.command()
def weights(
    encoder: Annotated[str, typer.Argument(help="an encoder's name, such as resnet18")], log: Log = None
) -> None:
    """Bring an encoder's ImageNet weights to data/weights, as safetensors."""
    messages.start(log)
    from rescan.data.sources.weights import fetch

    fetch(encoder)


@app.command()
def index(study: Resolved, log: Log = None) -> None:
    """List the samples. Makes manifest.csv."""
    messages.start(log)
    from rescan.data.index import index
    from rescan.study import read

    index(read(study))


@app.command()
def audit(study: Resolved, processes: Processes = 1, log: Log = None) -> None:
    """Look for unreadable files, duplicates, label conflicts and confounds. Makes audit.json and groups.csv."""
    messages.start(log)
    from rescan.data.audit.audit import audit
    from rescan.study import read

    audit(read(study), processes)


@app.command()
def split(study: Resolved, log: Log = None) -> None:
    """Split the samples by group into train, validation and test. Makes splits.csv."""
    messages.start(log)
    from rescan.data.split import split
    from rescan.study import read

    split(read(study))


@app.command()
def preprocess(
    study: Resolved,
    preparation: Annotated[str, typer.Option(help="the preparation's name")],
    processes: Processes = 1,
    log: Log = None,
) -> None:
    """Prepare every sample into the packed store."""
    messages.start(log)
    from rescan.preparation.preprocess import preprocess
    from rescan.study import read

    preprocess(read(study, preparation=preparation), preparation, processes)


@app.command()
def explore(study: Resolved, log: Log = None) -> None:
    """Draw the class distribution, sample grids, augmented samples and a t-SNE."""
    messages.start(log)
    from rescan.reporting.figures.explore import explore
    from rescan.study import read

    explore(read(study))


@app.command()
def train(
    study: Resolved,
    arm: Arm,
    fold: Fold = 0,
    seed: Seed = 0,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    runtime: Annotated[Optional[float], typer.Option(help="minutes after which to stop with a checkpoint")] = None,
    log: Log = None,
) -> None:
    """Train an arm once. Can be killed at any time, and goes on where it was."""
    messages.start(log)
    from rescan.paths import Paths
    from rescan.reporting.figures.training_figures import curves
    from rescan.study import read
    from rescan.training.train import train

    train(
        read(study, arm),
        arm,
        fold,
        seed,
        device=device,
        threads=threads,
        runtime_minutes=runtime,
        jobs_per_gpu=jobs_per_gpu,
    )
    run = Path(Paths.of(study.as_posix()).run(arm, fold, seed))
    curves(run / "history.csv", run / "curves.png", graded=read(study).data.ordered)


@app.command()
def pretrain(
    study: Resolved,
    autoencoder: Annotated[str, typer.Option(help="the autoencoder's name")],
    fold: Fold = 0,
    seed: Seed = 0,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    runtime: Annotated[Optional[float], typer.Option(help="minutes after which to stop with a checkpoint")] = None,
    log: Log = None,
) -> None:
    """Pre-train an autoencoder once, as `train`. Makes encoder.safetensors, history.csv and reconstructions."""
    messages.start(log)
    from rescan.paths import Paths
    from rescan.reporting.figures.autoencoder_figures import reconstructions
    from rescan.reporting.figures.training_figures import curves
    from rescan.study import AUTOENCODERS, read
    from rescan.training.train import train

    train(
        read(study, autoencoder=autoencoder),
        AUTOENCODERS + autoencoder,
        fold,
        seed,
        device=device,
        threads=threads,
        runtime_minutes=runtime,
        jobs_per_gpu=jobs_per_gpu,
    )
    run = Path(Paths.of(study.as_posix()).autoencoder(autoencoder, fold, seed))
    curves(run / "history.csv", run / "curves.png")
    reconstructions(run / "reconstructions.npy", run / "reconstructions.png")


@app.command()
def export(
    study: Resolved,
    preparation: Annotated[str, typer.Option(help="the preparation's name")],
    out: Annotated[Path, typer.Option(help="the folder to write NIfTI files into")],
    sample: Annotated[Optional[list[str]], typer.Option(help="a sample; give it once a sample; all by default")] = None,
) -> None:
    """Write prepared volumes as NIfTI files, each with its affine."""
    messages.start(None)
    from rescan.preparation.export import export
    from rescan.study import read

    export(read(study, preparation=preparation), preparation, out, sample or ())


@app.command()
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
    messages.start(log)
    from rescan.study import read
    from rescan.training.infer import infer

    infer(read(study, arm), arm, fold, seed, device=device, threads=threads, jobs_per_gpu=jobs_per_gpu)


@app.command()
def ensemble(study: Resolved, arm: Arm, seed: Seed = 0, log: Log = None) -> None:
    """Average the predictions of an ensemble's members. Makes predictions.csv."""
    messages.start(log)
    from rescan.evaluation.ensemble import ensemble
    from rescan.study import read

    ensemble(read(study, arm), arm, seed)


@app.command()
def posttrain(study: Resolved, arm: Arm, log: Log = None) -> None:
    """Fit temperatures, a linear neuron, cut points; never on the test part. Makes posttraining.json."""
    messages.start(log)
    from rescan.evaluation.posttrain import posttrain
    from rescan.study import read

    posttrain(read(study, arm), arm)


@app.command()
def evaluate(study: Resolved, arm: Arm, log: Log = None) -> None:
    """Score an arm, with intervals. Makes metrics.json and its figures."""
    messages.start(log)
    from rescan.evaluation.evaluate import evaluate
    from rescan.reporting.figures.evaluation_figures import evaluation
    from rescan.study import read

    evaluate(read(study, arm), arm)
    evaluation(read(study, arm), arm)


@app.command()
def gradcam(
    study: Resolved,
    arm: Arm,
    device: Device = DeviceName.auto,
    threads: Threads = 2,
    jobs_per_gpu: JobsPerGpu = 1,
    log: Log = None,
) -> None:
    """Draw Grad-CAM maps of right and wrong test images, and score them where lesion masks are known."""
    messages.start(log)
    from rescan.explanation.gradcam import make
    from rescan.study import read

    make(read(study, arm), arm, device=device, threads=threads, jobs_per_gpu=jobs_per_gpu)


@app.command()
def compare(
    study: Resolved,
    arm: Annotated[Optional[list[str]], typer.Option(help="the arms that were scored; all, if not given")] = None,
    log: Log = None,
) -> None:
    """Compare arms with each other and with the published numbers. Makes comparison.csv and its figures."""
    messages.start(log)
    from rescan.evaluation.compare import compare
    from rescan.reporting.figures.comparison_figures import comparison
    from rescan.study import read

    compare(read(study), arm)
    comparison(read(study), arm)


@app.command()
def report(
    studies: Annotated[
        list[Path], typer.Argument(help="resolved studies of one scale: results/<scale>/<study>/study.json")
    ],
    log: Log = None,
) -> None:
    """Write the page of all studies; an arm without metrics.json is listed as not run."""
    messages.start(log)
    from rescan.reporting.page.report import report
    from rescan.study import read

    report([read(study) for study in studies])


@app.command()
def predict(
    arm_folder: Annotated[Path, typer.Argument(help="an arm's folder, such as results/demo/brain_tumor/resnet18")],
    images: Annotated[list[Path], typer.Argument(help="image files or volumes, or folders of them")],
    gradcam: Annotated[
        Optional[Path], typer.Option(help="draw a Grad-CAM overlay of each image into this folder")
    ] = None,
    out: Annotated[Path, typer.Option(help="the table to write")] = Path("predictions.csv"),
    extent: Annotated[
        Optional[tuple[float, float, float]], typer.Option(help="millimeters along depth, height and width")
    ] = None,
    patient: Annotated[
        str, typer.Option(help="what patients' folders are called, as a regular expression")
    ] = "patient.*",
    device: Device = DeviceName.auto,
    log: Log = None,
) -> None:
    """Classify new images with a trained arm, as its test images were read; its networks' outputs are averaged."""
    messages.start(log)
    from rescan.predict import predict

    predict(arm_folder, images, out, gradcam, device, extent, patient)


@app.command()
def check(
    study_files: Annotated[list[Path], typer.Argument(help="study files (YAML)")],
) -> None:
    """Check study files at both scales; list every fault with its key path and the nearest right name."""
    messages.start(None)
    from rescan.study.file import check

    check(study_files)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    import json

    from rescan.study.file import schema

    typer.echo(json.dumps(schema(), indent=1))


@app.command()
def doctor() -> None:
    """Say what this machine has: Python, torch, GPU, Snakemake, Apptainer, disk, Kaggle token."""
    from rescan.doctor import findings

    for name, found in findings():
        typer.echo(f"{name:12} {found}")


@app.command()
def clean(
    results: Annotated[Path, typer.Argument(help="the folder of results")] = Path("results"),
) -> None:
    """Remove the states of trainings (what they resume from). Results stay."""
    messages.start(None)
    from rescan.doctor import remove_states

    remove_states(results)


def main() -> None:
    """Run the command; a user's mistake ends in a line a fault and exit code 1."""
    try:
        app()
    except RescanError as error:
        for line in str(error).splitlines():
            messages.logger.error(line)
        sys.exit(1)
    except OSError as error:
        where = error.filename or "a file"
        messages.logger.error("%s: %s; check the path, its permissions and the disk", where, error.strerror or error)
        sys.exit(1)
    except Exception:  # noqa: BLE001 - whatever it is, the log shall have it
        messages.logger.exception("unexpected error; this is a fault of Rescan, please report it with the lines below")
        sys.exit(1)
