import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small():
    """The module of the small study, for how it runs the workflow on a study of one's own."""
    spec = importlib.util.spec_from_file_location("small_workflow", Path(__file__).with_name("test_workflow.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
