"""Rescan reproduces published medical-image classification studies end to end."""

__version__ = "0.1.0"
