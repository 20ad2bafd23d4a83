"""Looking at data of one's own before anything runs: a study file for them, and what would fail later."""
