"""`python -m tests.export_parity [ENCODER …]`: each encoder of the catalogue as ONNX and as TorchScript beside torch.

It takes minutes; the test suite does the same with the small ones. Exit code 1 if any differs by more than `MOST`.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

sys.path.insert(0, str(Path(__file__).parent))

from network_cases import recipe

from rescan import catalogue
from rescan.models.exported import Exported, onnx_graph, script
from rescan.models.networks import Network, build

MOST = 1e-4  # of outputs of the order of 1; of greater ones, as networks with random weights give, that share of them
SHAPES = {"inception_v3_3d": (1, 80, 80, 80), "radiograph_cnn": (1, 96, 96)}


def shape_of(encoder: str) -> tuple[int, ...]:
    """What an encoder is given: as small as it takes."""
    volumes = catalogue.ENCODERS[encoder].dimensions == 3
    return SHAPES.get(encoder, (1, 32, 32, 64) if volumes else (3, 96, 96))


def settled(network: Network) -> Network:
    """The network with running statistics as after a training: neither 0 nor 1."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.8, 1.2)
    return network.eval()


def differences(network: Network, shape: tuple[int, ...], normalization: str = "imagenet") -> dict[str, float]:
    """The greatest difference of any output from torch's, in either form, at several batch sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    graph = onnx_graph(network, normalization, shape)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    exported = Exported(network, normalization, shape).eval()
    traced = torch.jit.load(io.BytesIO(script(exported, shape, {})))
    found = {"onnx": 0.0, "torchscript": 0.0}
    for count in (1, 3):
        images = torch.rand(count, *shape) * 255
        with torch.no_grad():
            expected = [out.numpy() for out in exported(images)]
            results = {"onnx": session.run(exported.names, {"images": images.numpy()}), "torchscript": traced(images)}
        for form, outputs in results.items():
            assert [np.shape(out) for out in outputs] == [out.shape for out in expected]
            worst = max(
                float(abs(np.asarray(out) - own).max() / max(1, abs(own).max())) for out, own in zip(outputs, expected)
            )
            found[form] = max(found[form], worst)
    return found


def main(names: list[str]) -> int:
    """Print a line per encoder."""
    failed = 0
    for name in names or list(catalogue.ENCODERS):
        torch.manual_seed(0)
        shape, began = shape_of(name), time.monotonic()
        network = settled(build(recipe(name, heads={"classification": {}, "regression": {}}), 3, shape))
        found = differences(network, shape)
        failed += max(found.values()) > MOST
        values = "  ".join(f"{form} {value:.1e}" for form, value in found.items())
        sys.stdout.write(f"{name:22} {values}  {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
