"""What the Snakefile needs: the checked configuration with its studies, and the functions that its rules call."""
