"""Vendors that know only coarse credentials, behind the gateway. What each of them can log is looked up in its own log."""

from __future__ import annotations

import base64
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import boto3
import httpx
from stage import Stage, Upstream, Verdicts, free_ports, registry

from bailiwick import DelegatedAuth

ECHO_KEY = "echo-key-0123456789abcdef"
TOOL_KEY = "tool-key-0123456789abcdef"
ROLE = "arn:aws:iam::123456789012:role/reports"

ROUTES = """
[[route]]
name = "reports"
path = "/s3"
upstream = "{moto}"
owner = "team:interop"
binding = "wrapped"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/reports/{{key}}"
scope = "reports.read"
needs = ["s3:GetObject arn:aws:s3:::reports/*"]

[[route.http.operation]]
method = "PUT"
path = "/reports/{{key}}"
scope = "reports.write"
body = "opaque"
needs = ["s3:PutObject arn:aws:s3:::reports/*"]

[[route.http.operation]]
method = "DELETE"
path = "/reports/{{key}}"
scope = "reports.write"

[route.connector]
import = {{ aws_iam = ["role-policy.json"] }}

[route.connector.aws]
region = "us-east-1"
service = "s3"
credentials = {{ file = "aws-identity.json" }}

[route.connector.aws.assume_role]
arn = "{role}"
sts_endpoint = "{moto}/"

[[route]]
name = "contacts"
path = "/db"
upstream = "{tool}"
owner = "team:interop"
binding = "wrapped"
sensitivity = "internal"

[route.carry]
statement = false
sql_comment_header = "X-Sql-Comment"

[[route.http.operation]]
method = "GET"
path = "/contacts"
scope = "crm.read"
needs = ["SELECT public.contact"]

[[route.http.operation]]
method = "GET"
path = "/slow"
scope = "crm.read"

[route.connector]
import = {{ postgres = "grants.csv" }}

[route.connector.key]
header = "X-Tool-Key"
secret = {{ command = ["/bin/cat", "{directory}/tool-key"] }}

[[route]]
name = "echo"
path = "/echo"
upstream = "{echo}"
owner = "team:interop"
binding = "opaque"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/say"
scope = "crm.read"

[route.connector]
permissions = ["say"]
[route.connector.key]
header = "X-Api-Key"
secret = {{ file = "echo-key" }}
"""


class Aws:
    """moto, with an identity of the gateway and a role that it assumes."""

    def __init__(self, stage: Stage) -> None:
        self.url = f"http://127.0.0.1:{free_ports(1)}"
        self.recording = stage.directory / "moto-recording"
        self.stage = stage
        environment = {**os.environ, "MOTO_RECORDER_FILEPATH": str(self.recording)}
        server = str(Path(sys.executable).parent / "moto_server")
        port = self.url.rsplit(":", 1)[1]
        stage.start("moto", [server, "-H", "127.0.0.1", "-p", port], env=environment)
        stage.wait(f"{self.url}/moto-api/", "moto")
        s3, self.iam = self.client("s3"), self.client("iam")
        s3.create_bucket(Bucket="reports")
        s3.put_object(Bucket="reports", Key="q3 é.csv", Body=b"region,total\nnorth,7\n")
        role_policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::reports/*"},
                {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},
            ],
        }
        (stage.directory / "role-policy.json").write_text(json.dumps(role_policy))
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}]}
        self.iam.create_role(RoleName="reports", AssumeRolePolicyDocument=json.dumps(trust))
        self.iam.put_role_policy(RoleName="reports", PolicyName="p", PolicyDocument=json.dumps(role_policy))
        self.iam.create_user(UserName="gateway")
        own = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
        self.iam.put_user_policy(UserName="gateway", PolicyName="p", PolicyDocument=json.dumps(own))
        self.secrets: list[str] = []
        self.rotate()
        httpx.post(f"{self.url}/moto-api/recorder/start-recording").raise_for_status()
        # From here on, every signature is verified and every action checked against the policies.
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0").raise_for_status()

    def client(self, service: str) -> Any:
        """A client that moto believes while it checks nothing."""
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1",
                            aws_access_key_id="setup", aws_secret_access_key="setup")  # fmt: skip

    def rotate(self) -> None:
        """A new access key for the gateway; the one before is deleted."""
        old = [it["AccessKeyId"] for it in self.iam.list_access_keys(UserName="gateway")["AccessKeyMetadata"]]
        key = self.iam.create_access_key(UserName="gateway")["AccessKey"]
        identity = {"Version": 1, "AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"]}
        self.secrets.append(key["SecretAccessKey"])
        private(self.stage.directory / "aws-identity.json", json.dumps(identity))
        for gone in old:
            self.iam.delete_access_key(UserName="gateway", AccessKeyId=gone)

    def seen(self, part: str) -> list[dict[str, Any]]:
        """Recorded requests whose method, URL or body has `part`."""
        lines = self.recording.read_text().splitlines() if self.recording.exists() else []
        requests = [json.loads(line) for line in lines]
        for request in requests:
            if request["body_encoded"]:
                request["body"] = base64.b64decode(request["body"]).decode(errors="replace")
        return [it for it in requests if part in f"{it['method']} {it['url']} {it['body']}"]


class Postgres:
    """A database with a role for the tool, which logs every statement."""

    def __init__(self, stage: Stage) -> None:
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.port = free_ports(1)
        self.scratch = tempfile.TemporaryDirectory(prefix="bailiwick-pg-")
        self.data = Path(self.scratch.name) / "data"
        self.log = stage.directory / "postgres.log"
        # PostgreSQL does not run as root.
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        os.chmod(self.scratch.name, 0o755)
        if self.prefix:
            subprocess.run(["chown", "postgres", self.scratch.name], check=True)
        run([*self.prefix, f"{self.bin}/initdb", "-D", str(self.data), "-A", "trust", "-U", "owner"])
        options = ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.scratch.name}",
                   "-c", "log_statement=all", "-c", "fsync=off"]  # fmt: skip
        stage.start("postgres", [*self.prefix, f"{self.bin}/postgres", "-D", str(self.data), *options], cwd=self.scratch.name)
        stage.wait_port(f"http://127.0.0.1:{self.port}")
        for _ in range(100):
            if subprocess.run(self.psql("postgres", "SELECT 1"), capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        run(self.psql("postgres", "CREATE DATABASE app"))
        for statement in (
            "CREATE TABLE contact (id int, name text)",
            "CREATE TABLE payment (id int, amount int)",
            "INSERT INTO contact VALUES (1, 'Ada'), (2, 'Grace')",
            "CREATE ROLE tool LOGIN",
            "GRANT SELECT, UPDATE ON contact TO tool",
            "GRANT SELECT, DELETE ON payment TO tool",
        ):
            run(self.psql("app", statement))
        grants = subprocess.run(
            self.psql("app", "SELECT * FROM information_schema.role_table_grants WHERE grantee = 'tool'", "--csv"),
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        (stage.directory / "grants.csv").write_text(grants.stdout)

    def psql(self, database: str, statement: str, *options: str) -> list[str]:
        """A command that runs one statement."""
        return [f"{self.bin}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", database, "-v",
                "ON_ERROR_STOP=1", *options, "-c", statement]  # fmt: skip

    def ask(self, statement: str) -> str:
        """What a statement gives."""
        return subprocess.run(self.psql("app", statement, "-At"), check=True, capture_output=True, text=True).stdout


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def private(path: Path, text: str) -> None:
    """A file for us alone, put in place whole."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.rename(path)


def decision_of(text: str) -> str:
    """The decision that a carrier names."""
    found = re.search(r"decision='?=?([0-9a-f-]{36})|decision=([0-9a-f-]{36})", urllib.parse.unquote(text))
    return next((it for it in (found.groups() if found else ()) if it), "")


def allowed(stage: Stage, decision: str) -> bool:
    """Whether the ledger has the decision, and it allowed."""
    for _ in range(50):
        command = [stage.binary, "--server", stage.issuer, "-o", "json", "trace", decision]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 0 and decision in answer.stdout:
            return True
        time.sleep(0.1)
    return False


def aws_checks(verdicts: Verdicts, stage: Stage, aws: Aws, client: httpx.Client, task: str) -> str:
    received = ""
    reply = client.get("/s3/reports/q3%20%C3%A9.csv")
    received += reply.text
    verdicts.check("AWS: an object is read under a session of the task", reply.text == "region,total\nnorth,7\n", reply.text)
    assumed = aws.seen("Action=AssumeRole")
    form = dict(urllib.parse.parse_qsl(assumed[0]["body"])) if assumed else {}
    verdicts.check("AWS: SourceIdentity names the task", form.get("SourceIdentity") == f"bailiwick-{task}", form)
    tags = {form.get(f"Tags.member.{at}.Key"): form.get(f"Tags.member.{at}.Value") for at in range(1, 9)}
    verdicts.check("AWS: session tags say who is behind it", tags.get("bailiwick:task") == task
                   and "alice" in (tags.get("bailiwick:subject") or "")
                   and (tags.get("bailiwick:agent") or "").endswith("agent/lead"), tags)  # fmt: skip
    got = aws.seen("GET " + aws.url + "/reports/")
    agent = got[-1]["headers"].get("User-Agent", "") if got else ""
    verdicts.check("AWS: the call's user agent names a decision of the ledger", allowed(stage, decision_of(agent)), agent)
    reply = client.put("/s3/reports/new.csv", content=b"a,b\n" * 10_000, headers={"Content-Type": "text/csv", "x-amz-acl": "public-read"})
    received += reply.text
    verdicts.check("AWS: an object is written while it streams", reply.status_code == 200, reply.text)
    put = aws.seen("PUT ")
    sent = {name.lower() for name in put[-1]["headers"]} if put else set()
    verdicts.check("AWS: without a header that changes what the call does", bool(put) and "x-amz-acl" not in sent, sent)
    verdicts.check("AWS: one session for the task", len(aws.seen("Action=AssumeRole")) == 1, len(aws.seen("Action=AssumeRole")))
    reply = client.delete("/s3/reports/new.csv")
    received += reply.text
    verdicts.check("AWS: what the role may not do, AWS refuses", reply.status_code == 403 and "<Code>AccessDenied</Code>" in reply.text, reply.text)
    return received


def rotation_checks(verdicts: Verdicts, stage: Stage, aws: Aws, audience: str) -> str:
    httpx.post(f"{aws.url}/moto-api/reset-auth", content=b"inf").raise_for_status()
    aws.rotate()
    httpx.post(f"{aws.url}/moto-api/reset-auth", content=b"0").raise_for_status()
    agent = stage.agent()
    client = httpx.Client(base_url=stage.gateway_url, auth=DelegatedAuth(agent, stage.task(agent, audience)), timeout=30)
    reply = client.get("/s3/reports/new.csv")
    verdicts.check("AWS: a rotated identity is used without a restart", reply.status_code == 200, reply.text)
    private(stage.directory / "aws-identity.json", json.dumps({"AccessKeyId": "AKIAUNKNOWN", "SecretAccessKey": aws.secrets[-1]}))
    agent = stage.agent()
    client = httpx.Client(base_url=stage.gateway_url, auth=DelegatedAuth(agent, stage.task(agent, audience)), timeout=30)
    refused = client.get("/s3/reports/new.csv")
    verdicts.check("AWS: an identity that AWS does not know opens nothing", refused.status_code == 502, refused.text)
    return reply.text + refused.text


def postgres_checks(verdicts: Verdicts, stage: Stage, postgres: Postgres, tool: str, client: httpx.Client) -> str:
    reply = client.get("/db/contacts")
    verdicts.check("PostgreSQL: rows come through the tool", [row[1] for row in reply.json().get("rows", [])] == ["Ada", "Grace"], reply.text)
    logged = [line for line in postgres.log.read_text().splitlines() if "FROM public.contact" in line and "bailiwick_decision" in line]
    decision = decision_of(logged[-1].replace("bailiwick_decision", "decision")) if logged else ""
    verdicts.check("PostgreSQL: its log names the decision of the statement", allowed(stage, decision), logged)
    answers: list[httpx.Response] = []
    running = threading.Thread(target=lambda: answers.append(client.get("/db/slow")))
    running.start()
    active = ""
    for _ in range(40):
        active = postgres.ask("SELECT query FROM pg_stat_activity WHERE usename = 'tool' AND query LIKE '%pg_sleep%'")
        if active:
            break
        time.sleep(0.05)
    running.join()
    verdicts.check("PostgreSQL: pg_stat_activity shows it while it runs", "bailiwick_task" in active, active)
    direct = httpx.get(tool + "/contacts")
    verdicts.check("PostgreSQL: without the gateway's key the tool does nothing", direct.status_code == 401, direct.text)
    forged = client.get("/db/contacts", headers={"X-Tool-Key": "x", "X-Sql-Comment": "/*bailiwick_decision='forged'*/"})
    logged = [line for line in postgres.log.read_text().splitlines() if "forged" in line]
    verdicts.check("PostgreSQL: an agent's own comment is replaced", forged.status_code == 200 and not logged, logged)
    return reply.text + forged.text


def echo_checks(verdicts: Verdicts, upstream: Upstream, client: httpx.Client) -> str:
    before = len(upstream.seen)
    try:
        received = client.get("/echo/say").text
        broken = not received
    except httpx.HTTPError:
        received, broken = "", True
    reached = len(upstream.seen) > before and upstream.seen[-1]["headers"].get("x-api-key") == ECHO_KEY
    verdicts.check("echo: the key reached the upstream", reached, upstream.seen[before:])
    verdicts.check("echo: a reply that holds the key is cut", broken and ECHO_KEY not in received, received)
    return received


def gap_checks(verdicts: Verdicts, stage: Stage) -> None:
    report: dict[str, Any] = {}
    for _ in range(50):
        command = [stage.binary, "--server", stage.issuer, "-o", "json", "gap", "--days", "7"]
        report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        systems = {it["system"]: it for it in report["systems"]}
        if systems.get("echo", {}).get("calls", {}).get("allowed"):
            break
        time.sleep(0.1)
    systems = {it["system"]: it for it in report["systems"]}

    def lines(system: str) -> dict[str, str]:
        credential = systems[system]["credentials"][0]
        return {f"{it['action']} {' '.join(it.get('resources', []))}".strip(): it["standing"] for it in credential["lines"]}

    found = lines("reports")
    verdicts.check("gap: what the AWS role was used for, and `sqs:*` for nothing", found == {
        "s3:GetObject arn:aws:s3:::reports/*": "used", "s3:PutObject arn:aws:s3:::reports/*": "used",
        "sqs:* *": "unneeded"}, found)  # fmt: skip
    found = lines("contacts")
    verdicts.check("gap: grants that no decision justified", found == {
        "SELECT public.contact": "used", "UPDATE public.contact": "unneeded",
        "SELECT public.payment": "unneeded", "DELETE public.payment": "unneeded"}, found)  # fmt: skip
    calls = systems["echo"]["calls"]
    verdicts.check("gap: calls through an unbound hop are counted", calls["unbound"] == calls["allowed"] >= 1, calls)
    text = subprocess.run([stage.binary, "--server", stage.issuer, "gap"], check=True, capture_output=True, text=True).stdout
    verdicts.check("gap: a person can read it", "UNNEEDED" in text and "team:interop" in text, text)


def main() -> None:
    verdicts, upstream = Verdicts(), Upstream()
    with tempfile.TemporaryDirectory() as scratch, Stage(Path(scratch)) as stage:
        aws, postgres = Aws(stage), Postgres(stage)
        tool = f"http://127.0.0.1:{free_ports(1)}"
        environment = {**os.environ, "TOOL_KEY": TOOL_KEY, "TOOL_PG": f"127.0.0.1:{postgres.port}"}
        script = str(Path(__file__).parent / "sql_tool.py")
        stage.start("tool", [sys.executable, script, tool.rsplit(":", 1)[1]], env=environment)
        stage.wait_port(tool)
        private(stage.directory / "tool-key", TOOL_KEY)
        private(stage.directory / "echo-key", ECHO_KEY)
        port = free_ports(2)
        url = f"http://127.0.0.1:{port}"
        stage.apply(registry(["reports.read", "reports.write", "crm.read"], [], url))
        routes = ROUTES.format(moto=aws.url, tool=tool, echo=upstream.url, role=ROLE, directory=stage.directory)
        stage.gateway(routes, listen=url)
        agent = stage.agent()
        token = stage.task(agent, url)
        client = httpx.Client(base_url=url, auth=DelegatedAuth(agent, token), timeout=30)

        received = aws_checks(verdicts, stage, aws, client, str(token.claims["txn"]))
        received += postgres_checks(verdicts, stage, postgres, tool, client)
        received += echo_checks(verdicts, upstream, client)
        received += rotation_checks(verdicts, stage, aws, url)
        gap_checks(verdicts, stage)

        secrets = [*aws.secrets, ECHO_KEY, TOOL_KEY]
        shown = received + "".join((stage.directory / f"{name}.log").read_text() for name in ("gateway", "authority"))
        verdicts.check("no secret reached the agent or a log", not any(secret in shown for secret in secrets))
        if verdicts.failed:
            for name in ("gateway", "moto", "tool"):
                print(f"--- {name}.log\n", (stage.directory / f"{name}.log").read_text()[-3000:])
    postgres.scratch.cleanup()
    upstream.close()
    verdicts.end()


if __name__ == "__main__":
    main()
