"""Download, layouts, phantoms, manifest, audit and split."""
