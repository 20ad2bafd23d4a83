"""Phantoms of fundus photographs."""
