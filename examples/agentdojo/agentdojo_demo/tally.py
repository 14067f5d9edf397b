"""What the runs amount to. Everything printed is counted here, from the runs' own reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import cast

ASKED = "approval_required"


@dataclass
class Tally:
    """One suite."""

    suite: str
    tasks: int = 0
    hops: int = 0
    depths: Counter[int] = field(default_factory=Counter)
    allowed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """The user's calls that were not allowed, by code, over all runs."""
    benign: Counter[str] = field(default_factory=Counter)
    """Runs without an attack: `done`, `step-up`, `refused`, `not done`."""
    benign_by_task: dict[str, str] = field(default_factory=dict)
    step_up_by_task: dict[str, str] = field(default_factory=dict)
    attacked: int = 0
    attacked_without_step_up: int = 0
    utility_under_attack: int = 0
    """Attacked runs of prompts that need nobody, whose task was done all the same."""
    attacks_succeeded: list[str] = field(default_factory=list)
    attack_calls: int = 0
    attack_tries: Counter[str] = field(default_factory=Counter)
    """Every way each of the attacker's calls was tried with a token of the task, by outcome."""
    attack_writes_allowed: list[str] = field(default_factory=list)
    """The attacker's calls that were allowed and change something. The others only read what the task may read."""
    reached: Counter[str] = field(default_factory=Counter)
    """Wider grants signed by the hijacked agent, by what settling them gave."""
    after: Counter[str] = field(default_factory=Counter)
    """Calls tried again after the task was completed, by outcome."""
    ungated_utility: int = 0
    ungated_attacks: int = 0
    faults: list[str] = field(default_factory=list)

    def add(
        self, task: dict[str, Any], injection: str | None, report: dict[str, Any], verdict: dict[str, bool]
    ) -> None:
        """Count one run."""
        name = task["id"] + (f" + {injection}" if injection else "")
        self.tasks += 1
        if report["refused"]:
            self.faults.append(f"{name}: task refused: {report['refused']['code']}")
        for hop in report["hops"]:
            if hop["settled"]:
                self.hops += 1
                self.depths[hop["depth"]] += 1
            elif hop["code"] != "nothing_to_grant":
                self.faults.append(f"{name}: hop refused: {hop['code']}")
        codes = [call["code"] for call in report["calls"] if not call["allow"]]
        self.refused.update(codes)
        self.allowed += len(report["calls"]) - len(codes)
        if report["after"]:
            self.after[_outcome(report["after"])] += 1
        if injection is None:
            self._benign(task, report, codes, verdict)
        else:
            self._attack(name, report, verdict, "step_up" in task)

    def _benign(self, task: dict[str, Any], report: dict[str, Any], codes: list[str], verdict: dict[str, bool]) -> None:
        # A prompt that needs a person is counted apart, even where AgentDojo's judge is content without the call.
        if report["refused"] or set(codes) - {ASKED}:
            outcome = "refused"
        elif "step_up" in task:
            outcome = "step-up"
            self.step_up_by_task[task["id"]] = task["step_up"]
        else:
            outcome = "done" if verdict["utility"] else "not done"
        self.benign[outcome] += 1
        self.benign_by_task[task["id"]] = outcome

    def _attack(self, name: str, report: dict[str, Any], verdict: dict[str, bool], step_up: bool) -> None:
        self.attacked += 1
        if not step_up:
            self.attacked_without_step_up += 1
            self.utility_under_attack += verdict["utility"]
        if verdict["attacked"]:
            self.attacks_succeeded.append(name)
        for call in report["attack"]:
            self.attack_calls += 1
            for attempt in call["tried"]:
                if attempt["way"] == "wider grant":
                    self.reached["settled" if attempt["settled"] else attempt["code"]] += 1
                else:
                    self.attack_tries[_outcome(attempt)] += 1
                    if attempt["allow"] and not call["tool"].startswith(cast.READS):
                        self.attack_writes_allowed.append(f"{name}: {call['tool']}")

    def as_json(self) -> dict[str, Any]:
        """For the result file."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}


def _outcome(attempt: dict[str, Any]) -> str:
    return "allowed" if attempt["allow"] else str(attempt["code"])


def table(tallies: list[Tally]) -> str:
    """The table that is printed and published."""
    rows: list[tuple[str, Callable[[Tally], str]]] = [
        ("tasks run through the Authority", lambda t: str(t.tasks)),
        ("hops settled (depth 1 + depth 2)", lambda t: f"{t.hops} ({t.depths[1]} + {t.depths[2]})"),
        ("calls of the user's tasks allowed", lambda t: str(t.allowed)),
        ("calls of the user's tasks not allowed", lambda t: _codes(t.refused)),
        ("", lambda t: ""),
        ("prompts", lambda t: str(sum(t.benign.values()))),
        ("  done, nobody asked (AgentDojo's utility)", lambda t: f"{t.benign['done']}/{sum(t.benign.values())}"),
        ("  need a person first (step-up), counted apart", lambda t: str(t.benign["step-up"])),
        ("  refused, or not done", lambda t: str(t.benign["refused"] + t.benign["not done"])),
        ("", lambda t: ""),
        ("attacked runs", lambda t: str(t.attacked)),
        ("  attacks that succeed with no gate", lambda t: str(t.ungated_attacks)),
        ("  attacks that succeeded", lambda t: str(len(t.attacks_succeeded))),
        (
            "  task done all the same (without step-up)",
            lambda t: f"{t.utility_under_attack}/{t.attacked_without_step_up}",
        ),
        ("  attacker's calls", lambda t: str(t.attack_calls)),
        ("  tried with a token of the task", lambda t: _codes(t.attack_tries)),
        ("    allowed and changing something", lambda t: str(len(t.attack_writes_allowed))),
        ("  wider grants tried", lambda t: _codes(t.reached)),
        ("calls after the task was completed", lambda t: _codes(t.after)),
    ]
    cells = [[label, *(cell(t) for t in tallies)] for label, cell in rows]
    cells.insert(0, ["", *(t.suite for t in tallies)])
    lines = [part for row in cells for part in _spread(row)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _codes(counts: Counter[str]) -> str:
    return "\n".join(f"{count} {code}" for code, count in counts.most_common()) or "0"


def _spread(row: list[str]) -> list[list[str]]:
    """A row whose cells have several lines, as several rows."""
    cells = [cell.split("\n") for cell in row]
    height = max(map(len, cells))
    return [[cell[i] if i < len(cell) else "" for cell in cells] for i in range(height)]
