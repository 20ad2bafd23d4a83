"""What all pages are made of: their frame, their look, and the browser of volumes."""
