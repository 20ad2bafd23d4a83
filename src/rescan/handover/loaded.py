"""A trained arm in a program: `rescan.load(path)` reads it once, and it predicts and explains from then on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

import numpy as np
import pandas as pd

from rescan.arm_models import Arm, Chunk, in_chunks, load_arm
from rescan.arm_networks import on_device
from rescan.arm_rows import named, points_at, table_of
from rescan.bundle_files import CONTENT, opened
from rescan.catalogue import suggest
from rescan.data.index import Files
from rescan.errors import RescanError
from rescan.handover.arrays_given import Given, files_of
from rescan.heads.outputs import HEADS
from rescan.preparation.sample import Prepared
from rescan.readouts.readout import computes_maps, how_explained, map_section
from rescan.results.bundle_file import Bundle
from rescan.study import Explanation

if TYPE_CHECKING:
    import torch

    from rescan.explanation.maps import Explained
    from rescan.preparation.placement import Placement

DEVICES, RUNTIMES = ("auto", "cpu", "cuda"), ("auto", "torch", "onnx")


class SampleMap(NamedTuple):
    """Where an image or a volume speaks for what it is read as.

    Attributes:
        image: The sample: its path, or such as `array 0`.
        problem: Why there is no map, or none on the source's grid; "" if there is.
        target: What the map is evidence for: a class, or `higher grade`, `lower grade`.
        head: The output of the network that it explains.
        method: How the map was made, in words.
        prepared: (N, *spatial) float32 in [0, 1], of what the network was shown: N is 1, or the number of patches.
        map: The same on the source's grid: (H, W) of the image as read, upright; (I, J, K) of a NIfTI file, in its own
            order of axes, of other volumes (W, H, D), of an array as it was given. 0 where the network saw nothing.
        affine: (4, 4), from the index of a volume's map to millimeters; None of images.
    """

    image: str
    problem: str
    target: str = ""
    head: str = ""
    method: str = ""
    prepared: Optional[np.ndarray] = None
    map: Optional[np.ndarray] = None
    affine: Optional[np.ndarray] = None


class LoadedModel:
    """A trained arm, ready to use; several threads may use it, one at a time computes.

    Attributes:
        classes: K names, in the order of the columns.
        points: The names of its operating points.
    """

    def __init__(self, arm: Arm, device: torch.device | str, card: Bundle | None) -> None:
        self.classes = arm.classes
        self.points = list(dict.fromkeys(point.name for point in arm.posttraining.points))
        self._arm, self._device, self._card = arm, device, card
        try:
            self._section: Explanation | RescanError = map_section(arm)
        except RescanError as error:  # of an older Rescan, which only explaining needs
            self._section = error
        self._lock = threading.Lock()

    @property
    def card(self) -> Bundle:
        """What it is: study, arm, classes, networks, the training data in numbers, license, intended use."""
        if self._card is None:
            from rescan.handover.bundling import described
            from rescan.handover.gathered import read_or_warn
            from rescan.paths import ArmFolder
            from rescan.results.metrics_file import Metrics

            folder = self._arm.folder
            self._card, _ = described(folder, read_or_warn(Metrics, ArmFolder(folder).metrics))
        return self._card

    def predict(
        self,
        samples: Sequence[Given] | Given,
        *,
        at: str | None = None,
        extent: tuple[float, float, float] | None = None,
    ) -> pd.DataFrame:
        """Classify images or volumes; the outputs of all networks are averaged.

        Args:
            samples: Paths of image files, of volumes (a file, or a folder of slices), or arrays; or one of them. Of an
                image (H, W), gray, or (H, W, 3), RGB, uint8, uint16 or floats; of a volume (D, H, W).
            at: The name of an operating point: a column of answers, yes or no, is added.
            extent: Millimeters that volumes measure along depth, height and width, where their files do not say it;
                arrays never do.

        Returns:
            A row per sample, in their order, with the columns of `rescan predict`: image (the path, or `array 0`),
            predicted, grade or a probability per class, flags (what is unlike the training images), problem (why a
            sample could not be read; else "").

        Raises:
            RescanError: No such file or operating point; an array of another shape or type.
        """
        points = points_at(self._arm.posttraining, at)
        names, files = files_of(samples, self._arm.reads_volumes, extent)
        with self._lock:
            rows = [row for chunk in in_chunks(self._arm, files, self._device, points) for row in chunk.rows]
        rows = [{"image": named(name), **row} for name, row in zip(names, rows)]
        return table_of(rows, self.classes, points)

    def explain(
        self,
        samples: Sequence[Given] | Given,
        *,
        target: str | None = None,
        extent: tuple[float, float, float] | None = None,
    ) -> list[SampleMap]:
        """Map where samples speak for what they are read as, by the first network, as the maps of the study are made.

        Args:
            samples: As for `predict`.
            target: The class to explain; by default the predicted one (of several labels the likeliest that is found).
                Of a model that reads grades: `higher grade`, the default, or `lower grade`.
            extent: As for `predict`.

        Returns:
            One per sample, in their order.

        Raises:
            RescanError: As `predict`; or there is no such class, or torch does not compute the networks.
        """
        if not computes_maps(self._arm):
            raise RescanError("explain: needs networks that torch runs, for their gradients; load with runtime='torch'")
        if isinstance(self._section, RescanError):
            raise self._section
        self._check_target(target)
        names, files = files_of(samples, self._arm.reads_volumes, extent)
        maps: list[SampleMap] = []
        with self._lock:
            for chunk in in_chunks(self._arm, files, self._device):
                maps += self._of_chunk(chunk, names[chunk.start :], target)
        return maps

    def _check_target(self, target: str | None) -> None:
        from rescan.explanation.maps import DIRECTIONS

        grades = any(not HEADS[head].of_classes for head in self._arm.models[0].header.recipe.network.heads)
        known = [*self.classes, *(DIRECTIONS.values() if grades else ())]
        if target is not None and target not in known:
            raise RescanError(f"target: the model has no class {target!r}{suggest(target, known)}")

    def _of_chunk(self, chunk: Chunk, names: Sequence[str], target: str | None) -> list[SampleMap]:
        """The maps of a chunk's samples."""
        maps = [SampleMap(name, str(row["problem"])) for name, row in zip(names, chunk.rows)]
        if chunk.reading is None:
            return maps
        samples = [sample for place in chunk.readable if isinstance(sample := chunk.samples[place], Prepared)]
        placed = self._placements([chunk.files[place] for place in chunk.readable], samples)
        for place, (label, explained, raw), where in zip(chunk.readable, self._raw(chunk, samples, target), placed):
            highest = raw.max()
            prepared = raw / highest if highest > 0 else raw
            own = maps[place]._replace(target=label, head=explained.head, method=explained.note(raw.shape[1:]))
            of_volume = self._arm.reads_volumes
            maps[place] = _laid_back(own._replace(prepared=prepared), where, of_volume)
        return maps

    def _explained(self, target: str | None, *, by_grade: bool) -> Explained:
        """What is explained: the head of the study's maps, or another one that answers in the target's terms."""
        from rescan.explanation.maps import head_of

        section = self._section if isinstance(self._section, Explanation) else None
        explained = how_explained(self._arm, section)
        of_classes = target in self.classes or (target is None and not by_grade and HEADS[explained.head].of_classes)
        heads = [head for head in explained.network.heads if HEADS[head].of_classes == of_classes]
        return explained._replace(head=head_of(heads, explained.head)) if heads else explained

    def _raw(
        self, chunk: Chunk, samples: Sequence[Prepared], target: str | None
    ) -> Iterator[tuple[str, Explained, np.ndarray]]:
        """Of each readable sample: what its map is evidence for, how it was made, and the raw map of each item."""
        from rescan.explanation.maps import DIRECTIONS, in_batches
        from rescan.explanation.new_maps import targets_of_new

        reading = chunk.reading
        if reading is None:
            return
        logs = reading.log_probabilities
        explained = self._explained(target, by_grade=logs is None)
        probabilities = np.empty((len(samples), 0)) if logs is None else np.exp(logs)
        of_classes = HEADS[explained.head].of_classes
        words = dict(enumerate(self.classes)) if of_classes else dict(DIRECTIONS)
        if target is not None and target not in words.values():
            raise RescanError(f"target: the model is explained by {', '.join(words.values())}, not {target!r}")
        targets = targets_of_new(explained.head, reading.predicted, probabilities, 1)[0][:, :1]
        if target is not None:
            targets = np.full_like(targets, next(key for key, name in words.items() if name == target))
        counts = [len(sample.items) for sample in samples]
        items = np.stack([item for sample in samples for item in sample.items])
        batches = in_batches(explained, items, range(len(items)), np.repeat(targets, counts, axis=0))
        raw = (own[0] for _, of_batch, _ in batches for own in of_batch)
        for number, count in enumerate(counts):
            yield words[int(targets[number, 0])], explained, np.stack([next(raw) for _ in range(count)])

    def _placements(self, files: Sequence[Files], samples: Sequence[Prepared]) -> Iterator[Placement | Exception]:
        """Where each sample lies in its file, or why that is not known."""
        from rescan.data.readers.images import Unreadable
        from rescan.preparation.placement import Placement, placements
        from rescan.preparation.scan_reading import source_of

        preparation = self._arm.models[0].header.preparation
        if preparation.dimensions == 2:
            yield from placements(files, preparation)
            return
        for own, sample in zip(files, samples):
            try:
                yield Placement(source_of(own), [np.eye(4) if sample.affine is None else sample.affine])
            except Unreadable as error:
                yield error


def _laid_back(own: SampleMap, where: Placement | Exception, of_volume: bool) -> SampleMap:
    """A map with that on the source's grid."""
    from rescan.explanation.volume_maps import to_source

    if isinstance(where, Exception) or own.prepared is None:
        return own._replace(problem=f"no map on the source's grid: {where}")
    whole = np.zeros(where.source.shape, np.float32)
    for item, affine in zip(own.prepared, where.items):
        solid = item if item.ndim == 3 else item[None]
        np.maximum(whole, to_source(solid, affine, whole.shape, where.source.affine), out=whole)
    return own._replace(map=whole, affine=where.source.affine) if of_volume else own._replace(map=whole[0])


def load(path: str | os.PathLike[str], *, device: str = "auto", runtime: str = "auto") -> LoadedModel:
    """Read a trained arm: its networks stay in memory, or on the GPU, for as many calls as wanted.

    Args:
        path: A bundle that `rescan bundle` made, or an arm's folder.
        device: auto (a GPU if torch can use one), cpu or cuda.
        runtime: What computes the networks: torch; onnx, without torch and without maps, where the bundle has ONNX
            files; or auto, torch where it is installed.

    Raises:
        RescanError: There is neither; the bundle is damaged, or of a newer format; or there is no such device.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise RescanError(f"path: is a {type(path).__name__}; give that of a bundle, or of an arm's folder")
    place = Path(path)
    if device not in DEVICES:
        raise RescanError(f"device {device!r}: use {', '.join(DEVICES)}")
    if runtime not in RUNTIMES:
        raise RescanError(f"runtime {runtime!r}: use {', '.join(RUNTIMES)}")
    with opened(place) as folder:
        arm = load_arm(folder, runtime)
        held = _usable(device) if computes_maps(arm) else device
        with on_device(arm.models, held):
            return LoadedModel(arm, held, Bundle.read_if_there(folder / CONTENT))


def _usable(device: str) -> torch.device:
    """The device to compute on; it is not leased, for nobody knows when a program ends."""
    import torch

    from rescan.training.lease import VISIBLE, why_unusable

    fault = "" if device == "cpu" else why_unusable([], os.environ.get(VISIBLE))
    if device == "cuda" and fault:
        raise RescanError(f"device=cuda: {fault}; or use device=cpu; see `rescan doctor`")
    return torch.device("cpu" if fault is not None else "cuda")
