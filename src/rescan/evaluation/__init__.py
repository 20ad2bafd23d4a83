"""From predictions to post-training, metrics with intervals, diagnoses and comparisons; reads CSV and JSON only."""
