"""SE-ResNeXt50, which torchvision lacks: MONAI's, under MONAI's names."""

from __future__ import annotations

from monai.networks.nets.senet import SEResNext50

from rescan.models.encoder import Encoder, headless

HEADS = ("adaptive_avg_pool", "last_linear")


def se_resnext50() -> Encoder:
    """SE-ResNeXt50 32x4d (Hu et al. 2018): the last residual block's output is the target."""
    return Encoder(headless(SEResNext50(spatial_dims=2, in_channels=3), HEADS), 2048, "layer4")
