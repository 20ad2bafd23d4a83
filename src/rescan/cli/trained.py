"""The commands for people that use a trained arm, or hand it over."""

# No `from __future__ import annotations` here: on Python 3.9, typer cannot read annotations that are strings.
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from rescan.cli.options import At, Device, DeviceName, Extent, Log, TrainedArm, finite
from rescan.log import start


class Format(str, Enum):
    """What `rescan export` writes."""

    nifti = "nifti"
    onnx = "onnx"
    torchscript = "torchscript"
    monai = "monai"


class RuntimeName(str, Enum):
    """What computes the networks; `auto` takes torch where it is installed, and its files are there."""

    auto = "auto"
    torch = "torch"
    onnx = "onnx"


Records = Annotated[
    Optional[Path],
    typer.Option(help="write a picture and a report of each DICOM input into this folder, for the patient's record"),
]
Computed = Annotated[
    RuntimeName, typer.Option(help="what computes the networks: torch, or onnxruntime, on the CPU and without torch")
]


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="of nifti: the resolved study, results/<scale>/<study>/study.json; else an arm's folder, or a bundle"
        ),
    ],
    out: Annotated[Path, typer.Option(help="the folder to write into")],
    format: Annotated[  # noqa: A002 - the option's name
        Format,
        typer.Option(help="a study's prepared volumes (nifti), or a trained arm's networks (onnx, torchscript, monai)"),
    ] = Format.nifti,
    preparation: Annotated[Optional[str], typer.Option(help="of nifti: the preparation's name")] = None,
    sample: Annotated[
        Optional[list[str]], typer.Option(help="of nifti: a sample, repeat it for several; all by default")
    ] = None,
) -> None:
    """Write a trained arm's networks for other programs, or prepared volumes as NIfTI files, each with its affine."""
    start(None)
    if format is not Format.nifti:
        if preparation is not None or sample:
            unused = "--preparation" if preparation is not None else "--sample"
            raise typer.BadParameter(f"{unused} belongs to --format nifti; leave it out with {format.value}")
        from rescan.bundle_files import check_apart, opened
        from rescan.handover.arm_export import export_arm

        check_apart(source, out)
        with opened(source) as folder:
            export_arm(folder, out, format.value)
        return
    if preparation is None:
        raise typer.BadParameter("--format nifti needs --preparation; to export a trained arm, give another --format")
    from rescan.preparation.export import export
    from rescan.study import read

    export(read(source, preparation=preparation), preparation, out, sample or ())


def predict(
    arm: TrainedArm,
    images: Annotated[list[Path], typer.Argument(help="image files or volumes, or folders of them")],
    gradcam: Annotated[
        Optional[Path], typer.Option(help="draw a Grad-CAM overlay of each image into this folder")
    ] = None,
    out: Annotated[Path, typer.Option(help="the table to write")] = Path("predictions.csv"),
    report: Annotated[
        Optional[Path], typer.Option(help="write one page for people who read images, such as out.html")
    ] = None,
    dicom: Records = None,
    extent: Extent = None,
    patient: Annotated[str, typer.Option(help="a regular expression of the names of patients' folders")] = "patient.*",
    at: At = None,
    runtime: Computed = RuntimeName.auto,
    device: Device = DeviceName.auto,
    log: Log = None,
) -> None:
    """Classify new images with a trained arm, as its test images were read; its networks' outputs are averaged."""
    start(log)
    from rescan.bundle_files import check_apart, opened
    from rescan.predict import predict

    check_apart(arm, out, gradcam, report, dicom)
    with opened(arm) as folder:
        predict(folder, images, out, gradcam, device, extent, patient, at, report, dicom, runtime)


def evaluate_on(
    arm: TrainedArm,
    table: Annotated[
        Path,
        typer.Option(
            help="a table of labeled files: path, label (or a column per label) and, if known, patient, eye, study"
        ),
    ],
    out: Annotated[Path, typer.Option(help="the scores to write; the predictions are written beside")] = Path(
        "evaluation.json"
    ),
    extent: Extent = None,
    at: At = None,
    runtime: Computed = RuntimeName.auto,
    device: Device = DeviceName.auto,
    log: Log = None,
) -> None:
    """Score a trained arm on labeled files that it never saw; nothing is fitted or trained."""
    start(log)
    from rescan.bundle_files import check_apart, opened
    from rescan.evaluate_on import evaluate_on

    check_apart(arm, out)
    with opened(arm) as folder:
        lines = evaluate_on(folder, table, out, device, extent, at, runtime)
    for line in lines:
        typer.echo(line)


def bundle(
    arm: TrainedArm,
    out: Annotated[Path, typer.Option("--out", "-o", help="the file to write")] = Path("model.rescan.zip"),
    license_text: Annotated[
        str, typer.Option("--license", help="the license of networks and training data, for the model card")
    ] = "",
    intended_use: Annotated[str, typer.Option(help="what the networks are meant for, for the model card")] = "",
    onnx: Annotated[bool, typer.Option("--onnx", help="add the networks as ONNX files, which need no torch")] = False,
    log: Log = None,
) -> None:
    """Write a trained arm as one file: networks, post-training, scores and a model card; predict takes it as a folder.

    It holds no ids of samples or patients, and nothing that runs when it is read.
    """
    start(log)
    from rescan.bundle_files import check_apart, opened
    from rescan.handover.bundling import bundle

    check_apart(arm, out)
    with opened(arm) as folder:
        bundle(folder, out, {"license": license_text, "intended_use": intended_use}, onnx=onnx)


def watch(
    arm: TrainedArm,
    folder: Annotated[Path, typer.Argument(metavar="IN", help="the folder to watch; it is only read")],
    out: Annotated[Path, typer.Argument(help="the folder to write into; not in the other, and not around it")],
    settle: Annotated[
        float,
        typer.Option(min=0, max=86400, callback=finite, help="seconds for which a finished file has not changed"),
    ] = 10.0,
    every: Annotated[
        float, typer.Option(min=0.05, max=3600, callback=finite, help="seconds between two looks into the folder")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="predict what is there, and end")] = False,
    gradcam: Annotated[
        Optional[Path], typer.Option(help="draw a Grad-CAM overlay of each image into this folder")
    ] = None,
    dicom: Records = None,
    extent: Extent = None,
    at: At = None,
    runtime: Computed = RuntimeName.auto,
    device: Device = DeviceName.auto,
    log: Log = None,
) -> None:
    """Predict what arrives in a folder, each file once, into a table that grows: OUT/predictions.csv."""
    start(log)
    from rescan.bundle_files import check_apart
    from rescan.handover.watch import watch

    check_apart(arm, out, gradcam, dicom)
    watch(
        arm,
        folder,
        out,
        settle=settle,
        every=every,
        once=once,
        device=device,
        gradcam=gradcam,
        dicom=dicom,
        extent=extent,
        at=at,
        runtime=runtime,
    )
