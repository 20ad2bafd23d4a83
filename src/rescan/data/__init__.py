"""Download, layouts, manifest, audit and split."""
