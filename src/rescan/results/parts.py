"""The parts that samples belong to, as tables name them."""

from __future__ import annotations

PARTS = ("train", "validation", "test")  # of a split, which each fold has
UNLABELED, EXTRA = "unlabeled", "extra"  # samples without a label, and those of extra sources
EXTERNAL = "external"  # all labeled samples of an external data set
LEFT_OUT = "left_out"  # in no part of a fold: they may be of the site or patient that it holds out
