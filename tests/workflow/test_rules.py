"""Each step is one function, in one module, which bear the name of its rule; and no two modules bear one name."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = ROOT / "src"
RULES = [
    rule
    for file in sorted(ROOT.glob("workflow/rules/*.smk"))
    for rule in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
]
MODULES = [path for path in sorted(SOURCES.glob("rescan/**/*.py")) if not path.name.startswith("__")]
COMMANDS = {
    node.name: node for node in ast.parse((SOURCES / "rescan/cli/steps.py").read_text()).body if hasattr(node, "name")
}


def test_no_two_modules_bear_one_name():
    assert [name for name, count in Counter(path.stem for path in MODULES).items() if count > 1] == []


def test_every_command_of_a_step_is_a_rule():
    assert sorted(RULES) == sorted(COMMANDS)


@pytest.mark.parametrize("rule", RULES)
def test_the_command_of_a_rule_calls_the_function_of_its_name_in_the_module_of_its_name(rule):
    (module,) = [path for path in MODULES if path.stem == rule]
    assert rule in {node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.FunctionDef)}
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(COMMANDS[rule])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert ".".join([*module.relative_to(SOURCES).with_suffix("").parts, rule]) in imported
    calls = [node.func for node in ast.walk(COMMANDS[rule]) if isinstance(node, ast.Call)]
    assert rule in {function.id for function in calls if isinstance(function, ast.Name)}
