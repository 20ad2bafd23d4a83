"""What a network's heads put out and how it is read: once for training, evaluation and prediction."""
