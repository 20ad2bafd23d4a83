"""One thread a test process: more only wait for each other in networks this small."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
