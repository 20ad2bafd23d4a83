"""The audit of a data set: duplicates, label conflicts, leaks, confounds."""
