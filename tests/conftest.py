"""Settings for every test."""

import os

# Before any import of torch: pytest-xdist runs a test process for each core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
