"""A trained arm for others to use: one file, other formats, pages and files for readers of images."""
