"""Every parameter comes from the prompt's text, after the normalisations that tasks.toml lists and no others."""

from __future__ import annotations

import datetime
import re
import tomllib
from pathlib import Path

import pytest

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
        found = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)(%?)(?!\w)", prompt)
        return any(float(number) / (100 if percent else 1) == float(value) for number, percent in found)
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


def constants(constraint: dict) -> list:
    """What a constraint compares with that is neither a parameter nor the place of a value that was read."""
    rule, operand = next((k, v) for k, v in constraint.items() if k not in ("key", "otherwise"))
    if rule == "from_read":
        # Which read, which field and whether at most are no values; what rows are told by and what is computed are.
        operand = [
            [*source.get("where", {}).values(), *(source.get(n, "${}") for n in ("times", "plus"))]
            for source in operand
        ]
    if rule == "max_subtree" and constraint["key"].endswith("calls"):
        return []
    return [value for value in flat(operand) if value is not True and not str(value).startswith("${")]


def test_no_workflow_holds_a_constant_of_its_own():
    """What a constraint compares with is a parameter, `true`, a count of calls, or what was read."""
    for workflow in workflows().values():
        for constraint in workflow["authority"]["constraints"]:
            assert constants(constraint) == [], (workflow["id"], constraint)


def test_a_constant_would_be_noticed():
    read = {"scope": "banking.get_balance", "field": "result"}
    for constraint in (
        {"key": "k", "one_of": ["Spotify"]},
        {"key": "k", "max": 12},
        {"key": "k", "from_read": [{**read, "where": {"sender": "GB29"}}]},
        {"key": "k", "from_read": [{**read, "times": 0.1}], "otherwise": "ask"},
    ):
        assert constants(constraint) != []
    assert constants({"key": "k", "from_read": [{**read, "where": {"sender": "${payee}"}, "bound": "max"}]}) == []


def test_whoever_is_asked_is_the_subject_and_every_task_that_asks_can():
    policy = (HERE / "policies" / "step-up.cedar").read_text()
    stepped_up = set(re.findall(r'Workflow::"([^"]+)"', policy))
    known = workflows()
    assert stepped_up <= set(known)
    asking = {
        name for name, workflow in known.items() if any("otherwise" in c for c in workflow["authority"]["constraints"])
    }
    for name in asking:
        assert known[name]["approvers"] == ["subject"]
    for task in TASKS:
        assert "asks" not in task or task["workflow"] in asking | stepped_up, task["id"]
