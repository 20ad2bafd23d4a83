"""Where data come from: folders, archives, addresses, Kaggle, phantoms; and pretrained weights."""
