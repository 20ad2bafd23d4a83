"""Reporting checklists, filled in with what a run knows."""
