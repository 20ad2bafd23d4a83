"""An arm's networks, computed by torch or by onnxruntime: read from their files, and run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np

from rescan.errors import RescanError
from rescan.evaluation.readings import misfit
from rescan.heads import outputs as heads
from rescan.onnx_networks import NAME, OnnxNetwork, load_onnx
from rescan.paths import RUN, ArmFolder
from rescan.results.damage import damaged
from rescan.results.posttraining import NetworkFile, Posttraining
from rescan.results.trained_model import ModelHeader
from rescan.study import Inference

if TYPE_CHECKING:
    from rescan.models.networks import Network


class Model(NamedTuple):
    """A trained network, what its file says of it, what it is shown of an image, and its file."""

    network: Union[Network, OnnxNetwork]
    header: ModelHeader
    inference: Inference
    file: str

    @property
    def input(self) -> str:
        """What tells apart models that need images prepared in other ways."""
        return repr((self.header.preparation, self.header.input))


def load_networks(folder: Path, posttraining: Posttraining, runtime: str) -> list[Model]:
    """Read the networks that an arm's predictions are averaged from.

    Args:
        folder: The arm's folder.
        posttraining: What was fitted on its predictions.
        runtime: torch, onnx or auto (see `arm_models.load_arm`).

    Raises:
        RescanError: One is not there, cannot be used, or does not belong to the others.
    """
    models = []
    if runtime == "auto":
        files = [folder / entry.file for entry in posttraining.models]
        usable = _has_torch() and all(file.exists() for file in files)
        runtime = "torch" if usable or not all(file.with_name(NAME).exists() for file in files) else "onnx"
    for entry in posttraining.models:
        trained = folder / entry.file
        file = trained.with_name(NAME) if runtime == "onnx" else trained
        if not file.exists():
            beside = ", and the arms beside it whose networks it reads" if entry.file.startswith("..") else ""
            made = "export the arm with --format onnx" if runtime == "onnx" else "train it again"
            raise RescanError(f"{file}: no such file; copy the whole folder of the arm{beside}, or {made}")
        network, header = _load_onnx(file, trained, entry) if runtime == "onnx" else _load_torch(file)
        own = RUN.format(fold=header.fold, seed=header.seed)
        if file.parent.name != own and re.fullmatch(RUN.format(fold=r"\d+", seed=r"\d+"), file.parent.name):
            raise RescanError(f"{file}: is of fold {header.fold} and seed {header.seed}; copy the whole folder again")
        models.append(Model(network, header, entry.inference, str(file)))
    _check_arms(models)
    if any(model.header.classes != models[0].header.classes for model in models):
        raise RescanError(f"{folder}: its networks were trained with different classes; run the arm again")
    shared = [head for head in heads.HEADS if all(head in model.network.heads for model in models)]
    if fault := misfit(posttraining, shared, len(models[0].header.classes)):
        raise damaged(ArmFolder(folder).posttraining, Posttraining.step, fault)
    return models


def _check_arms(models: list[Model]) -> None:
    """Refuse networks of several arms in the folder of one."""
    first: dict[Path, Model] = {}
    for model in models:
        other = first.setdefault(Path(model.file).parent.parent, model)
        for key in ("study", "scale", "arm"):
            if (own := getattr(model.header, key)) != (its := getattr(other.header, key)):
                fault = f"is of {key} {own!r}, {other.file} of {its!r}"
                raise RescanError(f"{model.file}: {fault}; copy the whole folder of the arm again")


def _has_torch() -> bool:
    try:
        return find_spec("torch") is not None
    except (ImportError, ValueError):  # whoever embeds Rescan keeps it from being imported
        return False


def _load_torch(file: Path) -> tuple[Network, ModelHeader]:
    if not _has_torch():
        raise RescanError(f"{file}: torch is not installed, which runs it; install it: pip install torch torchvision")
    from rescan.models.model_files import load

    return load(file)


def _load_onnx(file: Path, trained: Path, entry: NetworkFile) -> tuple[OnnxNetwork, ModelHeader]:
    if entry.inference.copies:
        raise RescanError(f"{file}: the arm averages over augmented copies, which torch makes; use --runtime torch")
    return load_onnx(file, trained)


def torch_network(model: Model, option: str) -> Network:
    """The network of a model that torch computes.

    Raises:
        RescanError: Another runtime computes it.
    """
    if isinstance(model.network, OnnxNetwork):
        raise RescanError(f"{option} needs gradients, which {model.file} has not: let torch run it (--runtime torch)")
    return model.network


@contextmanager
def on_device(models: Sequence[Model], device: Any) -> Iterator[Any]:
    """Hold a device while the block runs, with networks on it; yield it, None of those that onnxruntime computes.

    Args:
        models: The networks.
        device: auto, cpu or cuda; or the device that the caller holds.

    Raises:
        RescanError: There is no such device.
    """
    networks = [model.network for model in models if not isinstance(model.network, OnnxNetwork)]
    if not networks:
        if device == "cuda":
            raise RescanError("device=cuda: ONNX files are run on the CPU; use device=cpu, or --runtime torch")
        yield None
        return
    from rescan.training.lease import Machine

    lease = Machine(device, threads=None).lease() if isinstance(device, str) else nullcontext(device)
    with lease as torch_device:
        for network in networks:
            network.to(torch_device)
        yield torch_device


def outputs_of(model: Model, patches: np.ndarray, torch_device: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A network's outputs of prepared patches (N, *spatial, C), and what its heads take.

    Returns:
        Per head (N, width) float32; and (N, D) float32.
    """
    if isinstance(model.network, OnnxNetwork):
        return model.network.outputs(patches)
    from rescan.training.forward_pass import Versions, forward_pass

    outputs, vectors = forward_pass(
        model.network,
        patches,
        np.arange(len(patches)),
        model.header.recipe.normalization,
        torch_device,
        versions=Versions(model.inference, model.header.preparation.background),
        with_vector=np.ones(len(patches), bool),
    )
    return outputs, vectors.astype(np.float32)
