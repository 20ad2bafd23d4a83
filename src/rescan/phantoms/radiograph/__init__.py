"""Phantoms of radiographs."""
