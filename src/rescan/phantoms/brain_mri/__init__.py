"""Phantoms of brain MRI slices."""
