"""Every parameter comes from the prompt's text, after the normalisations that tasks.toml lists and no others."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
import tomllib

from agentdojo_demo import suites

HERE = Path(__file__).parent.parent
TASKS = tomllib.loads((HERE / "tasks.toml").read_text())["task"]
MINUTES = {"one hour": 60, "1 hour": 60, "1-hour": 60}


def workflows() -> dict[str, dict]:
    found = {}
    for suite in suites.SUITES:
        for workflow in tomllib.loads((HERE / "workflows" / f"{suite}.toml").read_text())["workflow"]:
            found[workflow["id"]] = workflow
    return found


def prompt_of(task_id: str) -> str:
    suite, user_task = task_id.split("/")
    return suites.suites()[suite].user_tasks[user_task].PROMPT


def flat(value):
    if isinstance(value, list):
        for member in value:
            yield from flat(member)
    elif isinstance(value, dict):
        for member in value.values():
            yield from flat(member)
    else:
        yield value


def stands_in(prompt: str, value, task: dict) -> bool:
    if isinstance(value, (int, float)):
        return any(float(number) == float(value) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)", prompt))
    if value in task.get("schema", {}):
        return task["schema"][value] in prompt
    if value in task.get("computed", {}):
        source = task["computed"][value]
        if not all(part in prompt for part in source.values()):
            return False
        start = datetime.datetime.strptime(f"{source['date']} {source['time']}", "%Y-%m-%d %H:%M")
        end = start + datetime.timedelta(minutes=MINUTES[source["plus"]] if "plus" in source else 0)
        return value == end.strftime("%Y-%m-%d %H:%M")
    return value in prompt


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task["id"])
def test_every_parameter_stands_in_the_prompt(task):
    prompt = prompt_of(task["id"])
    for value in flat(task.get("parameters", {})):
        assert stands_in(prompt, value, task), f"{value!r} is not in: {prompt}"


def test_a_value_that_does_not_stand_in_the_prompt_is_noticed():
    prompt = prompt_of("banking/user_task_3")
    for value in ("US133000000121212121212", 12.5, 2.0, 60161331926819):
        assert not stands_in(prompt, value, {})


def test_every_prompt_has_a_task_and_every_task_a_workflow():
    prompts = {f"{suite}/{name}" for suite in suites.SUITES for name in suites.suites()[suite].user_tasks}
    assert {task["id"] for task in TASKS} == prompts
    assert len(prompts) == 56
    known = workflows()
    for task in TASKS:
        workflow = known[task["workflow"]]
        assert set(workflow["parameters"]["required"]) == set(task.get("parameters", {}))


def test_no_workflow_holds_a_constant_of_its_own():
    """What a constraint compares with is a parameter, `true`, or a count of calls."""
    for workflow in workflows().values():
        for constraint in workflow["authority"]["constraints"]:
            rule, operand = next((k, v) for k, v in constraint.items() if k != "key")
            for value in flat(operand):
                assert (
                    value is True
                    or (isinstance(value, str) and value.startswith("${"))
                    or (rule == "max_subtree" and constraint["key"].endswith("calls"))
                ), (workflow["id"], constraint)


def test_every_workflow_that_steps_up_is_in_the_policy_and_no_other():
    policy = (HERE / "policies" / "step-up.cedar").read_text()
    named = set(re.findall(r'Workflow::"([^"]+)"', policy))
    assert named == {task["workflow"] for task in TASKS if "step_up" in task}
