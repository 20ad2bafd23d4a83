"""The steps of a MONAI bundle that are Rescan's own: from a file to a network's input, and from outputs to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Optional

import numpy as np
import pandas as pd
from pydantic import Field

from rescan.arm_models import fitting
from rescan.arm_rows import class_columns, named, row_of
from rescan.data.gray_levels import of_store
from rescan.data.index import Files
from rescan.errors import RescanError
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import of_new
from rescan.files import write_table
from rescan.predict import files_to_predict
from rescan.preparation.sample import prepare_all
from rescan.results.json_result import JsonResult, Part
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import ModelHeader

if TYPE_CHECKING:
    import torch

NETWORKS, POSTTRAINING = "rescan/networks.json", "rescan/posttraining.json"  # in the bundle


class ScriptedNetwork(Part):
    """One of the networks in a bundle's models/model.ts.

    Attributes:
        header: What its model file said of it.
        widths: The number of outputs of each head, in the order in which they stand side by side.
    """

    header: ModelHeader
    widths: dict[str, int]


class ScriptedNetworks(JsonResult):
    """All networks in a bundle's models/model.ts, in the order of their outputs; their images are prepared alike."""

    step: ClassVar[str] = "export --format monai"

    networks: list[ScriptedNetwork] = Field(min_length=1)

    @property
    def first(self) -> ModelHeader:
        """The header of the first."""
        return self.networks[0].header


def read_networks(bundle_root: str) -> ScriptedNetworks:
    """What a bundle says of its networks.

    Raises:
        RescanError: It is no bundle of Rescan, or is damaged.
    """
    return ScriptedNetworks.read(Path(bundle_root, NETWORKS))


def samples(bundle_root: str, folder: str) -> list[dict[str, str]]:
    """The images or volumes in a folder, as `rescan predict` finds them: the data of MONAI's Dataset.

    Raises:
        RescanError: There are none.
    """
    reads_volumes = read_networks(bundle_root).first.preparation.reads == "volume"
    return [{"image": str(path)} for path in files_to_predict([Path(folder)], reads_volumes)]


class Prepare:
    """The bundle's preprocessing: a file is read, and taken through the steps of the arm's preparation."""

    def __init__(self, bundle_root: str, extent: Optional[Sequence[float]] = None) -> None:
        """Read what the network takes.

        Args:
            bundle_root: The bundle.
            extent: Millimeters that volumes measure along depth, height and width, where their files do not say it.
        """
        self.header = read_networks(bundle_root).first
        self.extent = None if extent is None else tuple(extent)

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Turn {"image": path} into {"image": (C, *spatial) float32 in [0, 255], "file": path}.

        Raises:
            RescanError: The file cannot be read, or the network does not take it.
        """
        path = str(data["image"])
        files = [Files(Path(path), extent=self.extent)]
        (prepared,) = (fitting(result, self.header) for result in prepare_all(files, self.header.preparation))
        if isinstance(prepared, str):
            raise RescanError(f"{path}: {prepared}")
        levels = np.moveaxis(of_store(prepared.items[0]), -1, 0)
        return {**data, "image": np.ascontiguousarray(levels, np.float32), "file": path}


class Read:
    """The bundle's postprocessing: the networks' outputs are averaged, and read with what post-training fitted."""

    def __init__(self, bundle_root: str) -> None:
        self.networks = read_networks(bundle_root).networks
        self.posttraining = Posttraining.read(Path(bundle_root, POSTTRAINING))

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Add to {"pred": (W,) outputs} what `rescan predict` writes: predicted, grade, a probability per class."""
        values, start, runs = np.asarray(data["pred"], np.float32)[None], 0, []
        for seed, network in enumerate(self.networks):
            outputs: dict[str, Any] = {}
            for head, width in network.widths.items():
                outputs[head], start = values[:, start : start + width], start + width
            row = {"part": "new", "fold": 0, "seed": seed, "sample": 0, "item": 0, "group": ""}
            runs.append(Predictions(pd.DataFrame([row]), outputs))
        return {**data, **row_of(of_new(self.posttraining, runs), 0, self.networks[0].header.classes)}


class Evaluator:
    """Runs a bundle's network over its data, and writes the table that `rescan predict` would write."""

    def __init__(
        self,
        bundle_root: str,
        dataloader: Iterable[dict[str, Any]],
        inferer: Callable[..., torch.Tensor],
        network: torch.nn.Module,
        postprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        device: torch.device,
        out: str,
    ) -> None:
        """Take the parts of configs/inference.json.

        Args:
            bundle_root: The bundle.
            dataloader: Of batches: `image` (B, C, *spatial), and `file`, their paths.
            inferer: MONAI's.
            network: From (B, C, *spatial) to (B, W).
            postprocessing: From `pred` (W,) and `file` to a row of the table.
            device: Where the network is.
            out: The table to write.
        """
        self.classes = read_networks(bundle_root).first.classes
        self.dataloader, self.inferer, self.network = dataloader, inferer, network
        self.postprocessing, self.device, self.out = postprocessing, device, out

    def run(self) -> None:
        """Write the table: image, predicted, and grade or a column per class."""
        import torch

        rows = []
        with torch.no_grad():
            for batch in self.dataloader:
                outputs = self.inferer(batch["image"].to(self.device), self.network).cpu().numpy()
                for file, output in zip(batch["file"], outputs):
                    rows.append({"image": named(file), **self.postprocessing({"pred": output})})
        columns = ["image", "predicted", "grade", *class_columns(self.classes)]
        write_table(self.out, pd.DataFrame(rows)[[name for name in columns if name in rows[0]]])
