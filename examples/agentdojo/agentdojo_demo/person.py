"""Emma, where somebody has to be asked. She is scripted, and this is all there is to her:

she is told that a question waits, looks at the action that the Authority shows her, and approves it when it is one of
the calls that carry out what she asked for: AgentDojo's ground truth for her prompt, call for call and argument for
argument. That stands in for a person who knows what they want. Whatever else is put to her she leaves unanswered. She
never sees what a tool returned, and nothing that an agent says is an argument with her.

She signs in anew for every approval: the Authority takes none under a token that is older than the question. Each
prompt has an Emma of its own, since the runs are worlds of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
from typing import Any

import httpx
from bailiwick import dev_subject_token
from bailiwick.keys import b64url

from . import cast, suites
from .web import Headers, JsonServer


class Person:
    """Answers what the Authority asks her."""

    def __init__(self, issuer: str, client: httpx.Client) -> None:
        self._issuer = issuer
        self._client = client
        self._wants: dict[str, list[suites.Call]] = {}
        self._thinking = threading.Lock()

    def asked(self, _path: list[str], _headers: Headers, body: Any) -> tuple[int, Any]:
        """A question waits for the Emma of a prompt: `approved`, or `unanswered`."""
        prompt, approval = str(body["prompt"]), str(body["approval"])
        url = f"{self._issuer}/v1/approvals/{approval}"
        view = self._client.get(url, headers=self._signed_in(prompt)).raise_for_status().json()
        if not self.wants(prompt, view):
            return 200, {"verdict": "unanswered"}
        # Tokens are dated in whole seconds, and hers must be younger than the question.
        time.sleep(1 - time.time() % 1)
        answer = {"digest": view["digest"], "reason": "it is what I asked for"}
        self._client.post(f"{url}/approve", json=answer, headers=self._signed_in(prompt)).raise_for_status()
        return 200, {"verdict": "approved"}

    def wants(self, prompt: str, view: dict[str, Any]) -> bool:
        """Whether the action is one that carries out her prompt."""
        shown = str(view["action"])
        if view["digest"] != f"sha-256:{b64url(hashlib.sha256(shown.encode()).digest())}":
            return False
        action = json.loads(shown)
        suite, _, user = prompt.partition("/")
        with self._thinking:
            if prompt not in self._wants:
                self._wants[prompt] = suites.start(suite, user, None).script()
        return action["subject"] == f"user:{cast.subject(prompt)}" and any(
            action["scope"] == f"{suite}.{call.tool}" and action["arguments"] == call.args
            for call in self._wants[prompt]
        )

    def _signed_in(self, prompt: str) -> dict[str, str]:
        token = dev_subject_token(self._issuer, cast.subject(prompt), client=self._client)
        return {"Authorization": f"Bearer {token}"}


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--issuer", required=True)
    arguments = parser.parse_args()
    person = Person(arguments.issuer, httpx.Client(timeout=30))
    JsonServer({"asked": person.asked}).serve_until_parent_ends()


if __name__ == "__main__":
    main()
