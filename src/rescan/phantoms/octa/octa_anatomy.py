"""The anatomy of a schematic macula: layers of the retina, vessels, labels, fields of view.

Lengths across the retina are in millimeters from the fovea, x to the nose, y down. Lengths along depth are shares of
the scan's depth: the retina is stretched about threefold, so that its layers are seen in 48 voxels. Levels are shares
of white.
"""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """A layer of the retina, from the surface above it to its own."""

    thickness: float  # away from the fovea
    fovea: float  # factor on it in the fovea's center
    rim: float  # share that is added around the fovea


# By the surface at its lower edge, as OCTA-500's layers; the first surface, ILM, is the retina's upper edge.
LAYERS = {
    "IPL": Layer(0.115, 0.06, 0.30),
    "OPL": Layer(0.085, 0.20, 0.15),
    "ISOS": Layer(0.105, 1.35, 0.0),
    "RPE": Layer(0.065, 1.10, 0.0),
    "BM": Layer(0.012, 1.0, 0.0),
}
SURFACES = ("ILM", *LAYERS)
BRUCH = 0.70  # depth of the last surface under the fovea
PIT, RIM = 0.50, (0.95, 0.55)  # radius of the pit; radius and width of the rim around it
PIGMENT = 0.036  # thickness of the bright pigment epithelium

# What OCT shows between the surfaces, from above.
REFLECTIVITY = {
    "vitreous": 0.04,
    "nerve fibers": 0.60,
    "ganglion cells": 0.42,
    "inner nuclei": 0.26,
    "outer plexus": 0.46,
    "outer nuclei": 0.17,
    "photoreceptors": 0.52,
    "pigment": 0.80,
    "deposit": 0.46,
    "choroid": 0.44,
}
NERVE_FIBERS, INNER_NUCLEI = 0.3, 0.55  # lower edges of these, as shares of the layers that end at IPL and at OPL
FLUID = 0.05
# What OCT angiography shows where all is vessel.
FLOW = {"large": 0.72, "superficial": 0.62, "deep": 0.60, "choroid": 0.38, "tail": 0.10, "still": 0.05}

DISC = (4.3, 0.0)  # where the trunks of vessels start
AVASCULAR = 0.30  # radius of the zone without vessels around the fovea
CELLS = {"superficial": 0.10, "deep": 0.08, "choroid": 0.09}  # mesh of the capillaries

FIELDS = {"6mm": 6.0, "3mm": 3.0}
SCALE_3MM = 0.76  # height and width of a 3 mm scan over those of a 6 mm scan: 304 / 400
FIRST_IDS = {"6mm": range(10001, 10301), "3mm": range(10301, 10501)}
# How many of the real set, but OTHERS fewer, and the rarer diseases of the 6 mm scans more.
COUNTS = {
    "6mm": {"NORMAL": 91, "DR": 49, "AMD": 45, "CNV": 19, "CSC": 41, "RVO": 40, "OTHERS": 15},
    "3mm": {"NORMAL": 160, "DR": 29, "AMD": 6, "CNV": 5, "CSC": 0, "RVO": 0, "OTHERS": 0},
}
LABELS = tuple(COUNTS["6mm"])
AGES = {"NORMAL": 46, "DR": 54, "AMD": 62, "CNV": 61, "CSC": 45, "RVO": 57, "OTHERS": 52}  # means; deviation 13
