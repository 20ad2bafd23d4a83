"""New samples one by one, for all who show them: what is read off them, and their maps, made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional, Protocol

import numpy as np
import pandas as pd

from rescan.arm_models import Arm, Chunk
from rescan.arm_networks import torch_network
from rescan.data.index import Files
from rescan.onnx_networks import OnnxNetwork
from rescan.paths import ArmFolder
from rescan.preparation.sample import Prepared
from rescan.results.damage import damaged
from rescan.results.map_files import MapSummary
from rescan.study import Explanation

if TYPE_CHECKING:
    from rescan.explanation.maps import Explained
    from rescan.explanation.new_maps import NewMaps


class Readout(NamedTuple):
    """A new sample, and what is read off it.

    Attributes:
        number: From 0, in the order of the table.
        name: As in the table.
        called: What its files are called after it, without an ending.
        files: Its files.
        row: Its row of the table, by column.
        prepared: As the first network takes it; None of a sample that could not be read.
        maps: Of the first network; None where there are none.
    """

    number: int
    name: str
    called: str
    files: Files
    row: dict[str, object]
    prepared: Optional[Prepared]
    maps: Optional[NewMaps]


class Reader(Protocol):
    """Who shows samples: in pictures, on a page, in DICOM files."""

    @property
    def takes_maps(self) -> bool:
        """Whether the next sample's maps are of use."""

    def add(self, readout: Readout) -> None:
        """Take the next sample; its pixels and maps are not kept."""

    def finish(self, patients: pd.DataFrame | None) -> None:
        """End, after the last sample.

        Args:
            patients: What patients are read as, a row each; None without any.
        """


def computes_maps(arm: Arm) -> bool:
    """Whether the arm's first network has maps: one that torch computes, which has gradients."""
    return not isinstance(arm.models[0].network, OnnxNetwork)


def map_section(arm: Arm) -> Explanation:
    """How the study explains an arm's first network, as its maps there say; without any, by the defaults.

    Raises:
        RescanError: Their summary is damaged, or of another network.
    """
    model = arm.models[0]
    summary = ArmFolder(Path(model.file).parent.parent).gradcam.summary
    maps = MapSummary.read_if_there(summary)
    if maps is None:
        return Explanation()
    section = Explanation(head=maps.head, layer=maps.layer, method=maps.method)
    try:
        section.layer_of(model.header.recipe.network)
    except ValueError as error:
        raise damaged(summary, MapSummary.step, f"layer: {error}") from None
    return section


def how_explained(arm: Arm, section: Explanation | None = None) -> Explained:
    """What is explained of an arm's first network; by `map_section`, if that is not given."""
    from rescan.explanation.maps import explained_by

    model = arm.models[0]
    return explained_by(torch_network(model, "a map of Grad-CAM"), model.header, section or map_section(arm))


def show(
    chunk: Chunk,
    names: Sequence[str],
    called: Sequence[str],
    explained: Explained | None,
    readers: Sequence[Reader],
) -> None:
    """Hand a chunk's samples to all readers; maps are made if one takes them (see `readouts_of`)."""
    explained = explained if any(reader.takes_maps for reader in readers) else None
    for readout in readouts_of(chunk, names, called, explained) if readers else ():
        for reader in readers:
            reader.add(readout)


def readouts_of(
    chunk: Chunk, names: Sequence[str], called: Sequence[str], explained: Explained | None
) -> Iterator[Readout]:
    """A chunk's samples in their order; maps are made a batch at a time, of patches that of the first.

    Args:
        chunk: The samples.
        names: Of all samples, as in the table.
        called: What the files of all samples are called.
        explained: How maps are made; None: there are none.
    """
    maps = _maps_of(chunk, explained)
    readable = set(chunk.readable)
    for place, (files, sample, row) in enumerate(zip(chunk.files, chunk.samples, chunk.rows)):
        number = chunk.start + place
        own = (number, names[number], called[number], files, row)
        if place in readable and isinstance(sample, Prepared):
            yield Readout(*own, sample, None if maps is None else next(maps))
        else:
            yield Readout(*own, None, None)


def _maps_of(chunk: Chunk, explained: Explained | None) -> Iterator[NewMaps] | None:
    """The maps of a chunk's readable samples."""
    if explained is None or chunk.reading is None:
        return None
    from rescan.explanation import new_maps

    log_probabilities = chunk.reading.log_probabilities
    images = [sample.items[0] for place in chunk.readable if isinstance(sample := chunk.samples[place], Prepared)]
    probabilities = None if log_probabilities is None else np.exp(log_probabilities)
    return new_maps.maps_of(explained, np.stack(images), chunk.reading.predicted, probabilities)


class MapPictures:
    """Pictures of samples under their maps, `<folder>/<name>.png`; of volumes also their maps as NIfTI files."""

    takes_maps = True

    def __init__(self, folder: Path, classes: list[str]) -> None:
        """Start without any."""
        self.folder, self.classes = folder, classes

    def add(self, readout: Readout) -> None:
        """Draw a sample, if it has maps."""
        from rescan.explanation import new_maps

        if readout.prepared is None or readout.maps is None:
            return
        image, affine = readout.prepared.items[0], readout.prepared.affine
        file = self.folder / f"{readout.called}.png"
        if image.ndim == 3:
            new_maps.draw_image(file, image, readout.maps, self.classes)
            return
        new_maps.draw_volume(file, image, affine, readout.maps, self.classes)
        if affine is not None:
            new_maps.write_volume_maps(self.folder, readout.called, readout.maps, affine, readout.files)

    def finish(self, _: pd.DataFrame | None) -> None:
        """All is drawn."""
