"""Grad-CAM: the maps, their scores, and the pictures."""
