"""`rescan bundle`: a trained arm as one file that predicts, explains and says what it is."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from rescan import __version__
from rescan.arm_models import load_arm
from rescan.bundle_files import CARD, CONTENT, PREFIX
from rescan.errors import RescanError
from rescan.files import sha256, writing
from rescan.handover.arm_export import export_onnx
from rescan.handover.gathered import gather, inside
from rescan.handover.model_card import model_card
from rescan.handover.training_data import study_of, training_data
from rescan.log import logger
from rescan.named_files import output
from rescan.paths import ArmFolder
from rescan.results.bundle_file import FORMAT, Bundle, BundledFile, BundledNetwork
from rescan.results.metrics_file import Metrics
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import ModelHeader, header_of
from rescan.temporary_folders import temporary_folder

FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # that a zip can name: equal bundles are equal files
SAID = ("license", "intended_use")  # what only people know
PLAIN_FILE = 0o100644 << 16


def bundle(arm_folder: Path, out: Path, said: Mapping[str, str] | None = None, *, onnx: bool = False) -> None:
    """Write an arm as one zip file, which `bundle_files.opened` reads: the same bytes of the same arm.

    Nothing in it is packed: a network's weights hardly shrink.

    Args:
        arm_folder: The folder of an arm that was run to its end; its study's tables lie beside it, or not.
        out: The bundle to write.
        said: What only people know: `license`, `intended_use`.
        onnx: Whether to add the networks as ONNX files.

    Raises:
        RescanError: No finished arm in the folder, one of its networks or files is missing or damaged, or its networks
            have different classes, or cannot be written as ONNX files; or the file cannot be written.
    """
    out = output(out, [path for path in arm_folder.rglob("*") if path.is_file()])
    with temporary_folder(PREFIX) as temporary:
        folder = temporary / "arm"
        posttraining = gather(arm_folder, folder)
        if onnx:
            export_onnx(load_arm(folder, "torch"), folder)
        metrics = Metrics.read_if_there(ArmFolder(folder).metrics)
        if metrics is None:
            logger.warning("%s: no metrics.json: the bundle has no scores", arm_folder)
        content, header = described(arm_folder, metrics)
        content = content.model_copy(update={name: text for name, text in (said or {}).items() if text})
        card = model_card(content, header, posttraining, metrics)
        (folder / CARD).write_text(card, "utf-8")
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        listed = {name: BundledFile(bytes=path.stat().st_size, sha256=sha256(path)) for name, path in files.items()}
        content.model_copy(update={"files": dict(sorted(listed.items()))}).write(folder / CONTENT)
        with writing(out) as written:
            _zip({CONTENT: folder / CONTENT, **dict(sorted(files.items()))}, written)
    size = out.stat().st_size / 1e6
    logger.info("%s: %d networks of %s, %.1f MB", out, len(content.networks), content.arm, size)


def described(arm_folder: Path, metrics: Metrics | None) -> tuple[Bundle, ModelHeader]:
    """What is to be said of an arm, without the list of its files; and the header of its first network.

    Args:
        arm_folder: Where the arm lies, with its study around it, or none; an opened bundle has been described.
        metrics: Its scores, if it was evaluated.

    Raises:
        RescanError: A file is damaged, or its networks have different classes.
    """
    posttraining = Posttraining.read(ArmFolder(arm_folder).posttraining)
    headers = [header_of(arm_folder / entry.file) for entry in posttraining.models]
    first = headers[0]
    if any((own.study, own.scale, own.classes) != (first.study, first.scale, first.classes) for own in headers):
        raise RescanError(f"{arm_folder}: its networks are of different studies or classes; run the arm again")
    if metrics is not None and (metrics.study, metrics.classes) != (first.study, first.classes):
        raise RescanError(f"{ArmFolder(arm_folder).metrics}: is of other classes than its networks; run evaluate again")
    before = Bundle.read_if_there(arm_folder / CONTENT)
    study = None if before else study_of(arm_folder, first)
    arm = metrics.arm if metrics else arm_folder.resolve().name if posttraining.ensemble else first.arm
    networks = [
        BundledNetwork(file=inside(entry.file), arm=header.arm, fold=header.fold, seed=header.seed)
        for entry, header in zip(posttraining.models, headers)
    ]
    own = {
        "title": study.title if study else "",
        "cite": study.cite if study else "",
        "data": training_data(arm_folder, study, headers) if study else None,
    }
    if before:
        own = {name: getattr(before, name) for name in {*own, *SAID} & before.model_fields_set}
        arm = before.arm
    content = Bundle(
        format=FORMAT,
        version=__version__,
        study=first.study,
        scale=first.scale,
        arm=arm,
        classes=first.classes,
        networks=networks,
        files={},
        **own,
    )
    return content, first


def _zip(files: Mapping[str, Path], out: Path) -> None:
    """Write files into a zip, unpacked, of one day."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            info = zipfile.ZipInfo(name, FIRST_DAY)
            info.external_attr, info.create_system, info.file_size = PLAIN_FILE, 3, path.stat().st_size
            with archive.open(info, "w") as target, path.open("rb") as source:
                while block := source.read(1 << 20):
                    target.write(block)
