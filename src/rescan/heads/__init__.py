"""How the outputs of a network's heads become classes: in one place for training, evaluation and prediction."""
