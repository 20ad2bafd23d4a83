"""What all tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch: more only wait for each other
os.environ["SLURM_CONF"] = os.devnull  # each start of Snakemake asks the cluster: 9 s where only its tools are

import logging
import signal

import pytest
from hypothesis import settings

from rescan import stopping

settings.register_profile("any machine", deadline=None)  # a busy one is slow, not wrong
settings.load_profile("any machine")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` would have all processes ignore it


def pytest_collection_modifyitems(items):
    """Run the workflow's tests first: they are the longest, and none should be left to one worker at the end."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(autouse=True)
def _messages_for_pytest():
    """Commands that tests and fixtures call send messages elsewhere; each test finds them where pytest looks."""
    logger = logging.getLogger("rescan")
    logger.handlers[:], logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    stopping._received.clear()  # a process gets few signals, and is asked which came first
