"""The page's tables as files: CSV with full numbers, LaTeX for a paper."""
