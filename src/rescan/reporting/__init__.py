"""Figures, the exploration of a data set, and the one page of all studies."""
