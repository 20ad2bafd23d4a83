"""A trained arm for other programs: a folder laid out as the arm's own, with its networks in a form that these run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rescan.arm_models import Arm, load_arm
from rescan.arm_networks import Model, torch_network
from rescan.errors import RescanError
from rescan.files import writing
from rescan.handover.gathered import gather
from rescan.log import logger
from rescan.onnx_networks import NAME, with_header
from rescan.paths import ArmFolder
from rescan.replacing import replacing
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import model_checksum

SCRIPT = "model.ts"  # of a network as TorchScript, beside where its model.safetensors was


def export_arm(arm_folder: Path, out: Path, form: str) -> None:
    """Write an arm's networks, and all that reads their outputs, into a new folder.

    Args:
        arm_folder: An arm's folder of results.
        out: The folder; not there yet, or empty.
        form: onnx, torchscript or monai.

    Raises:
        RescanError: No finished arm in the folder, or it cannot be written in this form; or `out` holds files.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RescanError(f"{out}: is a file, or holds files; give a new folder")
    arm = load_arm(arm_folder, "torch")
    if form == "monai":
        from rescan.handover.monai_bundle import write_bundle

        export: Callable[[Arm, Path], None] = write_bundle
    else:
        export = {"onnx": export_onnx, "torchscript": export_torchscript}[form]
    with replacing(out) as part:
        gather(arm_folder, part, models=False)
        export(arm, part)
    logger.info("%s: %d networks as %s", out, len(arm.models), form)


def export_onnx(arm: Arm, folder: Path) -> None:
    """Write an arm's networks as ONNX files, each where its model.safetensors lies, or would lie.

    Args:
        arm: The arm, with networks that torch computes.
        folder: Where `gather` has written it.

    Raises:
        RescanError: A network cannot be written so.
    """
    from rescan.models.exported import onnx_graph

    for model, place in _places(arm, folder):
        try:
            network = torch_network(model, "--format onnx")
            graph = onnx_graph(network, model.header.recipe.normalization, model.header.input)
        except RescanError as error:
            raise RescanError(f"{model.file}: {error}") from None
        with writing(place.with_name(NAME)) as temporary:
            temporary.write_bytes(with_header(graph, model.header, model_checksum(model.file) or ""))


def export_torchscript(arm: Arm, folder: Path) -> None:
    """Write an arm's networks as TorchScript files: from gray levels to a tuple of the heads' outputs and `vectors`.

    Args:
        arm: As for `export_onnx`.
        folder: As for `export_onnx`.
    """
    from rescan.models.exported import Exported, script

    for model, place in _places(arm, folder):
        header = model.header
        exported = Exported(torch_network(model, "--format torchscript"), header.recipe.normalization, header.input)
        texts = {"rescan.json": header.model_dump_json(), "outputs.json": json.dumps(exported.names)}
        with writing(place.with_name(SCRIPT)) as temporary:
            temporary.write_bytes(script(exported.eval(), header.input, texts))


def _places(arm: Arm, folder: Path) -> list[tuple[Model, Path]]:
    """The arm's networks, and where a gathered folder has, or would have, their model.safetensors."""
    entries = Posttraining.read(ArmFolder(folder).posttraining).models
    return [(model, folder / entry.file) for model, entry in zip(arm.models, entries)]
