"""Phantoms of OCT angiography volumes."""
