"""`rescan export --format monai`: a MONAI bundle, whose preparation and reading of outputs are Rescan's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rescan import __version__
from rescan.arm_models import Arm
from rescan.arm_networks import torch_network
from rescan.errors import RescanError
from rescan.files import write_json, writing
from rescan.handover.monai_steps import NETWORKS, POSTTRAINING, ScriptedNetwork, ScriptedNetworks
from rescan.heads.outputs import HEADS
from rescan.paths import ArmFolder
from rescan.results.metrics_file import Metrics

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
VERSION = "1.0.0"  # of what is laid out as this module does
UNKNOWN = "not stated by who exported it"
STEPS = "rescan.handover.monai_steps"
NOT_A_DEVICE = "Not a medical device: it must not decide on the diagnosis or treatment of a person."


def write_bundle(arm: Arm, folder: Path) -> None:
    """Turn a gathered folder into a MONAI bundle: what `gather` wrote goes into its folder `rescan`.

    Args:
        arm: The arm, with networks that torch computes.
        folder: Where `gather` has written it.

    Raises:
        RescanError: The arm's networks cannot be one network of one image.
    """
    import torch

    from rescan.models.exported import Exported, Joined, script

    _check(arm)
    gathered = list(folder.iterdir())
    (folder / "rescan").mkdir()
    for path in gathered:
        path.rename(folder / "rescan" / path.name)
    shape = arm.models[0].header.input
    exported = [
        Exported(torch_network(model, "--format monai"), model.header.recipe.normalization, shape).eval()
        for model in arm.models
    ]
    example = torch.zeros(1, *shape)
    with torch.no_grad():
        widths = [{head: out.shape[1] for head, out in zip(of.names[:-1], of(example))} for of in exported]
    networks = ScriptedNetworks(
        networks=[ScriptedNetwork(header=model.header, widths=of_model) for model, of_model in zip(arm.models, widths)]
    )
    networks.write(folder / NETWORKS)
    metrics = Metrics.read_if_there(ArmFolder(folder / "rescan").metrics)
    texts = {"metadata.json": _metadata(networks, arm, metrics), "inference.json": _inference()}
    for name, content in texts.items():
        write_json(folder / "configs" / name, content)
    extras = {name: json.dumps(content) for name, content in texts.items()}
    with writing(folder / "models/model.ts") as temporary:
        temporary.write_bytes(script(Joined(exported).eval(), shape, extras))
    with writing(folder / "docs/README.md") as temporary:
        temporary.write_text(_readme(networks, arm), "utf-8")
    with writing(folder / "LICENSE") as temporary:
        temporary.write_text(
            f"License of the networks' weights: {UNKNOWN}. Ask who trained them, and mind the terms of the training "
            "data.\nRescan's code, which the bundle needs, is under the Apache License 2.0.\n",
            "utf-8",
        )


def _check(arm: Arm) -> None:
    """Refuse what one image cannot be given to."""
    fault, remedy = "", "export it with --format onnx"
    if len({model.input for model in arm.models}) > 1:
        fault, remedy = "its networks take images prepared in several ways", "export each member by itself"
    elif any(model.inference.copies for model in arm.models):
        fault, remedy = "it averages over augmented copies of an image", "export an arm without"
    elif any(step["name"] == "patches" for step in arm.models[0].header.preparation.steps):
        fault = "its preparation cuts an image into several patches"
    if fault:
        raise RescanError(f"{arm.folder}: {fault}, a MONAI bundle takes one image at a time; {remedy}")


def _metadata(networks: ScriptedNetworks, arm: Arm, metrics: Metrics | None) -> dict[str, Any]:
    """What MONAI's schema of metadata.json asks for, and what is known beside."""
    import monai
    import torch

    header, volumes = networks.first, arm.reads_volumes
    channels = ["gray"] if header.input[0] == 1 else ["red", "green", "blue"]
    names = [
        f"{network.header.arm} fold {network.header.fold} seed {network.header.seed}: {column}"
        for network in networks.networks
        for head, width in network.widths.items()
        for column in HEADS[head].columns(width)
    ]
    classes = ", ".join(f"{number}: {name}" for number, name in enumerate(header.classes))
    test = None if metrics is None else metrics.scores()
    scores = test.metrics if test else {}
    prepared: dict[str, Any] = {
        "type": "image",
        "format": "magnitude",
        "num_channels": header.input[0],
        "spatial_shape": header.input[1:],
        "dtype": "float32",
        "value_range": [0, 255],
        "is_patch_data": False,
        "channel_def": dict(zip(map(str, range(len(channels))), channels)),
    }
    outputs: dict[str, Any] = {
        "type": "tuples",
        "format": "raw",
        "num_channels": len(names),
        "spatial_shape": [],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": dict(zip(map(str, range(len(names))), names)),
    }
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "changelog": {VERSION: f"exported by Rescan {__version__}"},
        "monai_version": monai.__version__,
        "pytorch_version": str(torch.__version__),
        "numpy_version": np.__version__,
        "required_packages_version": {"rescan": __version__},
        "task": f"Classification of {'volumes' if volumes else 'images'} (study: {header.study}, arm: {header.arm})",
        "description": f"{len(networks.networks)} networks whose outputs are averaged, trained by Rescan "
        f"{header.version}. Classes: {classes}.",
        "authors": UNKNOWN,
        "copyright": UNKNOWN,
        "intended_use": f"Research. {NOT_A_DEVICE}",
        "data_source": f"the study {header.study}, at scale {header.scale}",
        "data_type": "volumes: NIfTI, DICOM, B-scans" if volumes else "images: PNG, JPEG, DICOM",
        "image_classes": "gray levels from 0 to 255, prepared as in training; normalization is in the network",
        "pred_classes": f"outputs of each network's heads; postprocessing reads the classes off them. {classes}",
        "eval_metrics": {name: estimate.value for name, estimate in scores.items() if estimate.value is not None},
        "network_data_format": {"inputs": {"image": prepared}, "outputs": {"pred": outputs}},
    }


def _inference() -> dict[str, Any]:
    """The config that `python -m monai.bundle run` takes; no name of a class or sample is in it."""
    root = "@bundle_root"
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": f"${root} + '/images'",
        "output_dir": f"${root} + '/eval'",
        "extent": None,
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "torch.jit.load",
            "f": f"${root} + '/models/model.ts'",
            "map_location": "@device",
        },
        "network": "$@network_def.eval()",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": f"{STEPS}.Prepare", "bundle_root": root, "extent": "@extent"}],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": {"_target_": f"{STEPS}.samples", "bundle_root": root, "folder": "@dataset_dir"},
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": [{"_target_": f"{STEPS}.Read", "bundle_root": root}]},
        "evaluator": {
            "_target_": f"{STEPS}.Evaluator",
            "bundle_root": root,
            "dataloader": "@dataloader",
            "inferer": "@inferer",
            "network": "@network",
            "postprocessing": "@postprocessing",
            "device": "@device",
            "out": "$@output_dir + '/predictions.csv'",
        },
        "run": ["$@evaluator.run()"],
    }


def _readme(networks: ScriptedNetworks, arm: Arm) -> str:
    kind = "volumes" if arm.reads_volumes else "images"
    size = (
        'Where files do not say how large volumes are, add `--extent "[2, 3, 3]"` (mm). ' if arm.reads_volumes else ""
    )
    return f"""# A network that Rescan trained, as a MONAI bundle

**{NOT_A_DEVICE}**

It needs Rescan (`required_packages_version` in `configs/metadata.json`), which prepares the {kind} as those of its
training and reads the networks' outputs as `rescan predict` does. In the bundle's folder:

    python -m monai.bundle run --config_file configs/inference.json --dataset_dir FOLDER_OF_{kind.upper()}

writes `eval/predictions.csv`. {size}`models/model.ts` (TorchScript; networks: {len(networks.networks)}) takes
prepared {kind}, gray levels from 0 to 255, any number of them, and gives the outputs that
`network_data_format` in `configs/metadata.json` names; probabilities are made of these by
`{POSTTRAINING}`, with the temperature that was fitted.
"""
