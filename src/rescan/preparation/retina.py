"""Slabs of the retina's layers, between two of its surfaces: ILM, IPL, OPL, ISOS, RPE, BM."""

from __future__ import annotations

SLABS = {"superficial": (0, 2), "deep": (2, -1), "all": (0, -1)}  # upper and lower surface; −1 is the last
NUMBERS = {"superficial": 1, "deep": 2}  # in a store's layers.npy; 0 elsewhere
