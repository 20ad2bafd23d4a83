"""Figures, the exploration of a data set, the page of each study, and that of all."""
