from __future__ import annotations

import pytest
import torch

from rescan.doctor.fitting import IMAGES, Build, advice, fault
from rescan.doctor.graphics import installed

BOTH, OLD, NEW = "use image=cu113 or image=current", "use image=cu113", "use image=current"
UPDATE = "update the driver to 580.65.06 or newer for image=current"


@pytest.mark.parametrize(
    ("capability", "driver", "cu113", "current", "advised"),
    [
        ((3, 7), "470.256.02", None, "driver 470.256.02 is older than 580.65.06", OLD),  # K80
        ((7, 0), "580.65.06", None, "the card is sm_70, and current is built for sm_75", OLD),  # V100
        ((8, 0), "535.104.05", None, "driver", OLD),  # A100
        ((8, 0), "580.65.06", None, None, BOTH),
        ((8, 0), "450.80.02", None, "driver", OLD),  # a minor version of CUDA 11 needs no newer one
        ((8, 0), "450.51.06", "older than 450.80.02, which CUDA 11.3 of cu113 needs", "driver", "450.80.02 or newer"),
        ((8, 9), "550.54", None, "driver", OLD),  # RTX 4090, by the kernels of 8.6
        ((9, 0), "535.104.05", "the card is sm_90, and cu113 is built for sm_37", "driver", UPDATE),  # H100
        ((9, 0), "580.82.07", "sm_90", None, NEW),
        ((10, 0), "570.86", "sm_100", "driver", UPDATE),  # B200
        ((12, 0), "590.44.01", "the card is sm_120", None, NEW),  # RTX 5090
        ((12, 1), "580.95.05", "sm_121", None, NEW),  # GB10
        ((2, 0), "390.157", "driver", "driver", "no image fits this card: use device=cpu"),
        (None, "470.256.02", None, "driver", OLD),
    ],
)
def test_cards_drivers_and_images(capability, driver, cu113, current, advised):
    for flavor, expected in (("cu113", cu113), ("current", current)):
        found = fault(capability, driver, IMAGES[flavor])
        assert (found is None) == (expected is None)
        assert (expected or "") in (found or "")
    assert advised in advice(capability, driver)


def test_a_torch_for_cpus():
    assert fault((8, 0), "580.65.06", Build("torch 2.15.0+cpu", "", ())) == "torch 2.15.0+cpu is built for CPUs only"


def test_the_current_image_has_the_kernels_of_its_torch():
    build = installed()
    assert build.name == f"torch {torch.__version__}"
    assert build.cuda == (torch.version.cuda or "")
    for image in IMAGES.values():
        if build.cuda == image.cuda:
            assert list(build.kernels) == list(image.kernels)
