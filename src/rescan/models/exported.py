"""Networks as other programs run them: normalization inside, any number of images; as ONNX and as TorchScript."""

from __future__ import annotations

import copy
import inspect
import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rescan.errors import RescanError
from rescan.models.head_layers import LogOdds
from rescan.models.networks import Network
from rescan.models.normalization import constants

OPSET = 16  # the last that torch 1.12 writes; onnxruntime reads it since 1.11
LARGEST = 2**31 - 1  # bytes: the limit of protobuf, in which ONNX files are written
DATE = (1980, 1, 1, 0, 0, 0)  # in archives, so that equal networks are equal files


class Exported(nn.Module):
    """A network that takes gray levels, in eval mode.

    Attributes:
        names: Of its outputs: the heads, then `vectors`, what the heads take.
    """

    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, normalization: str, input_shape: Sequence[int]) -> None:
        """Copy a network.

        Args:
            network: The network.
            normalization: A name of catalogue.NORMALIZATIONS.
            input_shape: (C, *spatial) of its images.
        """
        super().__init__()
        # With gradients: without, torch computes attention by an operator that ONNX lacks.
        self.network = copy.deepcopy(network).cpu().eval().requires_grad_(True)
        for module in list(self.network.modules()):
            for name, child in module.named_children():
                if isinstance(child, LogOdds):
                    setattr(module, name, PlainLogOdds())
        scale, mean, std = constants(normalization, input_shape[0], len(input_shape) + 1, torch.device("cpu"))
        self.register_buffer("scale", torch.tensor(scale / 255))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.names = [*network.heads, "vectors"]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute every head's output, (B, width) each, and what the heads take, (B, D), all float32.

        Args:
            images: (B, C, *spatial) float32 in [0, 255].
        """
        vectors = self.network.vectors((images * self.scale - self.mean) / self.std)
        return (*self.network.read(vectors).values(), vectors)


class Joined(nn.Module):
    """Several exported networks of the same images as one: their heads' outputs side by side."""

    def __init__(self, networks: Sequence[Exported]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Compute all networks' heads' outputs, one behind the other, (B, sum of their widths) float32."""
        return torch.cat([output for network in self.networks for output in network(images)[:-1]], 1)


class PlainLogOdds(nn.Module):
    """`LogOdds` without a mask: a trace would keep that on the device that it was made on."""

    def forward(self, logits: Tensor) -> Tensor:
        """Map (B, K) to (B, K)."""
        others = [torch.cat([logits[:, :k], logits[:, k + 1 :]], 1).logsumexp(1) for k in range(int(logits.shape[1]))]
        return logits - torch.stack(others, 1)


def onnx_graph(network: Network, normalization: str, input_shape: Sequence[int]) -> bytes:
    """Write a network as an ONNX file: `images`, (B, C, *spatial) float32 in [0, 255], to the heads and `vectors`.

    Args:
        network: As for `Exported`.
        normalization: As for `Exported`.
        input_shape: As for `Exported`.

    Raises:
        RescanError: The package onnx is not there, the network is too large, or holds what ONNX lacks.
    """
    if find_spec("onnx") is None:
        raise RescanError("the package onnx is not installed; install it: pip install 'rescan[onnx]'")
    exported, written = Exported(network, normalization, input_shape), io.BytesIO()
    size = sum(weights.numel() * weights.element_size() for weights in exported.state_dict().values())
    if size > LARGEST:
        raise RescanError(f"its weights are {size / 1e9:.1f} GB, an ONNX file holds {LARGEST / 1e9:.1f} at most")
    # The exporter that torch has had since 1.0 writes what torch 1.12 and today's both have; the new one needs torch 2.
    options: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of sizes that the graph holds as numbers: they are fixed, but for the batch
            torch.onnx.export(
                exported,
                (_example(input_shape),),
                written,  # type: ignore[arg-type] # this exporter takes it
                opset_version=OPSET,
                input_names=["images"],
                output_names=exported.names,
                dynamic_axes={name: {0: "batch"} for name in ("images", *exported.names)},
                **options,
            )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise RescanError(f"torch {torch.__version__} cannot write it as ONNX ({reason})") from None
    return _pads_in_pools(written.getvalue())


def _pads_in_pools(content: bytes) -> bytes:
    """An ONNX file whose average poolings pad by themselves, and count what they pad with.

    Where a padding stands before them, onnxruntime 1.19 takes the two for one that does not count it: another mean at
    all borders. Torch 1.12 writes it so, and both write layers so that pad by themselves.
    """
    import onnx
    from onnx import helper

    graph = (model := onnx.load_model_from_string(content)).graph
    made = {name: node for node in graph.node for name in node.output}
    for pool in [node for node in graph.node if node.op_type == "AveragePool"]:
        pad = made.get(pool.input[0])
        if pad is None or pad.op_type != "Pad":
            continue
        before, after = _constant(model, pad.input[1]).reshape(2, -1)[:, 2:].tolist()
        kept = [option for option in pool.attribute if option.name not in ("pads", "count_include_pad")]
        del pool.attribute[:]
        counted = {"pads": [*before, *after], "count_include_pad": 1}
        pool.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in counted.items())])
        pool.input[0] = pad.input[0]
        if not any(name in node.input for node in graph.node for name in pad.output):
            graph.node.remove(pad)
    return bytes(model.SerializeToString())


def _constant(model: Any, name: str) -> np.ndarray:
    """A value of an ONNX graph that depends on no input, such as how much is padded."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    nodes: list[Any] = []
    needed = {name}
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.insert(0, node)
            needed |= set(node.input)
    weights = [weight for weight in model.graph.initializer if weight.name in needed]
    output = helper.make_tensor_value_info(name, TensorProto.INT64, None)
    graph = helper.make_graph(nodes, "constant", [], [output], weights)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    (value,) = ReferenceEvaluator(alone).run(None, {})
    return np.asarray(value)


def script(module: nn.Module, input_shape: Sequence[int], texts: Mapping[str, str]) -> bytes:
    """Write a module as a TorchScript file that takes any number of images.

    Args:
        module: In eval mode, on the CPU.
        input_shape: (C, *spatial) of its images.
        texts: What the file holds beside it, by name.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # as above; and of TorchScript, which is deprecated, and what MONAI Deploy takes
        traced = torch.jit.trace(module, (_example(input_shape),), check_trace=False)  # type: ignore[no-untyped-call]
        traced.requires_grad_(False)
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files=dict(texts))
    return _without_paths(content.getvalue())


def _without_paths(content: bytes) -> bytes:
    """A TorchScript file without the lines of the sources, whose paths are those of this machine."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(written, "w") as target:
        for member in source.infolist():
            if not member.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(member.filename, DATE), source.read(member))
    return written.getvalue()


def _example(input_shape: Sequence[int]) -> Tensor:
    return torch.linspace(0, 255, 2).view(2, *[1] * len(input_shape)).expand(2, *input_shape).contiguous()
