"""Stock OAuth and JOSE libraries against the Authority and a gateway. Identities come from the development domain; from
there on, everything is made and judged by other people's code."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from python_clients import checks
from stage import GATEWAY, TRUST_DOMAIN, Stage, Upstream, Verdicts, free_ports, registry

from bailiwick import DevIdentity, dev_subject_token

ROUTE = """
[[route]]
name = "crm"
path = "/crm"
audience = "{audience}"
upstream = "{upstream}"
owner = "team:interop"
binding = "carries"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/contacts"
scope = "crm.read"
"""
AUDIENCE = "https://crm.dev.example"


def javascript(verdicts: Verdicts, stage: Stage, config: dict[str, Any]) -> None:
    """The suite of client.mjs; its checks become ours."""
    path = stage.directory / "client.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    command = ["node", str(Path(__file__).parent / "client.mjs"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    for line in done.stdout.splitlines():
        said = json.loads(line)
        verdicts.check(said["what"], said["good"], said["got"])
    verdicts.check("the JavaScript clients came to their end", done.returncode == 0, done.stderr[-3000:])


def main() -> None:
    verdicts, upstream = Verdicts(), Upstream()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        stage.apply(registry(["crm.read", "crm.write"], [{"key": "rows", "max": 100}], AUDIENCE))
        url = f"http://127.0.0.1:{free_ports(2)}"
        stage.gateway(ROUTE.format(audience=AUDIENCE, upstream=upstream.url), listen=url)
        svids = {name: DevIdentity(stage.issuer, who).token(stage.issuer)
                 for name, who in (("lead", f"{TRUST_DOMAIN}agent/lead"), ("worker", f"{TRUST_DOMAIN}agent/worker"), ("gateway", GATEWAY))}  # fmt: skip
        config = {
            "issuer": stage.issuer, "resource": f"{url}/crm", "audience": AUDIENCE, "workflow": "interop",
            "subject": dev_subject_token(stage.issuer, "alice@dev.example"), "workerId": f"{TRUST_DOMAIN}agent/worker",
            "operator": dev_subject_token(stage.issuer, "operator@dev.example", ["operators"]), **svids,
        }  # fmt: skip
        javascript(verdicts, stage, config)
        checks(verdicts, config)
        if verdicts.failed:
            for name in ("gateway", "authority"):
                print(f"--- {name}.log\n", (stage.directory / f"{name}.log").read_text()[-3000:])
    upstream.close()
    verdicts.end()


if __name__ == "__main__":
    main()
