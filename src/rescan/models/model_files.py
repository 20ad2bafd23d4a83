"""Model files: a network's weights as safetensors, with a header from which the network can be built again."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rescan import touched
from rescan.catalogue import timm_encoders
from rescan.catalogue.encoder_shapes import network_of
from rescan.catalogue.encoders import ENCODERS
from rescan.data.sources.renamed import renewed
from rescan.errors import NotInstalledError, RescanError
from rescan.files import write_tensors
from rescan.log import logger
from rescan.models.networks import Network, build
from rescan.models.weight_names import FEW, matched
from rescan.results.arrays import CHECKSUM, checksum
from rescan.results.damage import damaged, missing
from rescan.results.trained_model import EncoderHeader, ModelHeader, StartWeights
from rescan.study import Run


def save(path: str | Path, network: nn.Module, header: ModelHeader | EncoderHeader) -> None:
    """Write a network's state as safetensors, with `header` as JSON under "rescan" in the file's metadata."""
    # A copy each: safetensors refuses tensors that share memory, and those that are not contiguous (channels last).
    state = {
        key: value.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    content = header.model_dump(mode="json")
    content[CHECKSUM] = _checksum(state, content)
    # One key: several are written in a random order, and equal files shall be equal.
    write_tensors(path, save_file, state, {"rescan": json.dumps(content, ensure_ascii=False)})


def _checksum(state: dict[str, Tensor], header: dict[str, Any]) -> str:
    tensors = {
        key: (str(value.dtype), value.shape, value.reshape(-1).view(torch.uint8).numpy().data)
        for key, value in state.items()
    }
    return checksum(tensors, header)


def _read(path: str | Path, step: str) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Read a safetensors file that `step` makes.

    Returns:
        Its tensors, on the CPU; and its header, None where it has none. Files of older versions have no checksum.

    Raises:
        RescanError: It is missing or damaged, not as it was written, or holds numbers that are not finite.
    """
    touched.read(path)
    try:
        with safe_open(str(path), framework="pt") as stored:
            state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            text = (stored.metadata() or {}).get("rescan")
        header = None if text is None else dict(json.loads(text))
    except FileNotFoundError:
        raise missing(path, step) from None
    except (SafetensorError, OSError) as error:
        raise damaged(path, step, f"not a safetensors file ({error})") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(path, step, f"its header is no JSON object ({error})") from None
    expected = header.pop(CHECKSUM, None) if header else None
    if expected is not None and header is not None and expected != _checksum(state, header):
        raise damaged(path, step, "its weights or its header are not as they were written")
    if bad := [name for name, weights in state.items() if not weights.isfinite().all()]:
        raise damaged(path, step, f"{bad[0]} holds values that are no numbers, as of a training that diverged")
    return state, header


def load(path: str | Path) -> tuple[Network, ModelHeader]:
    """Read a model file and build its network from the header alone.

    Returns:
        The network, on the CPU and in eval mode, and the header.

    Raises:
        RescanError: No such file, not a model file that this version of Rescan can read, or not as it was written; or
            numbers are not finite.
    """
    state, content = _read(path, "train")
    if content is None or "recipe" not in content:
        raise RescanError(
            f"{path}: holds weights but not a Rescan model (no recipe); give a model.safetensors that `train` wrote"
        )
    try:
        header = ModelHeader.model_validate_json(json.dumps(content))
        network = build(header.recipe, len(header.classes), tuple(header.input))
        network.load_state_dict(state)
    except NotInstalledError as error:
        raise RescanError(f"{path}: {error}") from None
    except (ValueError, TypeError, RuntimeError, RescanError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RescanError(
            f"{path}: this version of Rescan cannot read this model ({reason}); run train again"
        ) from None
    return network.eval(), header


def load_run(run: Run) -> tuple[Network, ModelHeader]:
    """Read the model file of a run, as `load` does.

    Raises:
        RescanError: See `load`; or it is of another run, or of other classes.
    """
    path = run.folder.model
    network, header = load(path)
    study = run.study
    own = {"study": study.name, "scale": study.scale, "arm": run.name, "fold": run.fold, "seed": run.seed}
    for key, expected in {**own, "classes": study.data.classes}.items():
        if (found := getattr(header, key)) != expected:
            raise damaged(path, "train", f"is of {key} {found!r}, not of {expected!r}")
    return network, header


def load_encoder_weights(network: Network, path: str | Path, encoder: str = "") -> StartWeights | None:
    """Load pretrained weights into the encoder (`weight_names.matched`); the old head's are ignored.

    Args:
        network: The network.
        path: What the step `weights` or `pretrain` made.
        encoder: The encoder's name in the catalogue: under older names its weights are found, too.

    Returns:
        The file that `weights` made it of; None of an autoencoder's encoder.

    Raises:
        RescanError: No such file, or it lacks weights of this encoder, or they have other shapes; or it is not as it
            was written, or numbers are not finite.
    """
    state, content = _read(path, "weights or pretrain")
    header = content or {}
    body, state = network.encoder.body, network.encoder.fitted(state)
    try:
        weights, ignored = _matched(state, body.state_dict(), encoder)
    except RescanError as error:
        source = f" (made of {header['source']})" if "source" in header else ""
        other = network_of(tuple(value.shape) for value in state.values())
        own = (None, encoder, timm_encoders.architecture(encoder))
        whose = f"it has those of {other}" if other not in own else "give a file of this network"
        raise RescanError(f"{path}{source}: {error}; {whose}") from None
    body.load_state_dict(weights, strict=False)
    if ignored:
        more = f" and {len(ignored) - FEW} more" * (len(ignored) > FEW)
        logger.info("%s: left out, as no part of the encoder: %s%s", path, ", ".join(ignored[:FEW]), more)
    return StartWeights(source=str(header["source"]), sha256=header.get("sha256")) if "source" in header else None


def _matched(
    state: dict[str, Tensor], expected: dict[str, Tensor], encoder: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Match the weights in a file with the encoder's, if need be by the names that older files have."""
    has_more, record = encoder.startswith(timm_encoders.PREFIX), ENCODERS.get(encoder)
    older = getattr(record.weights, "renamed", ()) if record else ()
    try:
        return matched(state, expected, has_more=has_more)
    except RescanError:
        with suppress(RescanError):
            return matched(dict(renewed(older, key, value) for key, value in state.items()), expected)
        raise
