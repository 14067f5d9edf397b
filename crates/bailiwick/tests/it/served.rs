//! Against a development server: from a registry file to a proven action, and the refusals beside.

use crate::run::{Bench, Ran};
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

const REGISTRY: &str = r#"
[[owner]]
id = "team:payments"
name = "Payments"
contact = "payments@dev.example"
status = "active"

[[owner]]
id = "user:rita@dev.example"
name = "Rita"
contact = "rita@dev.example"
status = "active"

[[agent]]
id = "spiffe://dev.bailiwick.example/agent/orchestrator"
name = "Orchestrator"
owner = "team:payments"
env = "dev"
tenant = "acme"
status = "active"
clearance = "confidential"
roles = ["agent"]

[[agent]]
id = "spiffe://dev.bailiwick.example/agent/payer"
name = "Payer"
owner = "team:payments"
env = "dev"
tenant = "acme"
status = "active"
clearance = "confidential"
roles = ["agent"]

[[workflow]]
id = "banking.pay-bill"
title = "Pay a bill"
purpose = "Pay one bill"
owner = "team:payments"
reviewer = "user:rita@dev.example"
reviewed = "2026-11-01"
entry = ["spiffe://dev.bailiwick.example/agent/orchestrator"]
edges = [{ from = "spiffe://dev.bailiwick.example/agent/orchestrator", to = "spiffe://dev.bailiwick.example/agent/payer" }]
audiences = ["https://tools.dev.example"]
tenant = "acme"
env = "dev"
sensitivity = "internal"
[workflow.parameters]
type = "object"
required = ["payee"]
additionalProperties = false
properties.payee = { type = "string", maxLength = 64 }
[workflow.authority]
scopes = ["banking.send_money"]
constraints = [{ key = "banking.send_money:recipient", one_of = ["${payee}"] }]
"#;

const ORCHESTRATOR: &str = "spiffe://dev.bailiwick.example/agent/orchestrator";
const PAYER: &str = "spiffe://dev.bailiwick.example/agent/payer";

/// A development server in a directory of its own, killed when dropped.
pub(crate) struct Served {
    pub(crate) bench: Bench,
    pub(crate) url: String,
    child: Child,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start() -> Self {
        let bench = Bench::new();
        let port = free_ports();
        let listen = format!("127.0.0.1:{port}");
        let log = std::fs::File::create(bench.path("server.log")).unwrap();
        let child = bench
            .command()
            .args(["serve", "--dev", "--data", "data", "--listen", &listen])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let served = Self { bench, url: format!("http://{listen}"), child };
        for _ in 0..600 {
            if served.run(&["-o", "json", "workflow", "list"]).code == 0 {
                return served;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not start: {}", served.bench.read("server.log"));
    }

    pub(crate) fn with_registry() -> Self {
        let served = Self::start();
        served.bench.write("registry.toml", REGISTRY);
        served.run(&["apply", "-f", "registry.toml"]).exits(0);
        served
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut all = vec!["--server", &self.url];
        all.extend(args);
        self.bench.run(&all)
    }

    fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(args);
        self.run(&all).exits(0).json()
    }

    /// Opens a task for the orchestrator: key `k1`, token `t0`. Gives what the server said.
    pub(crate) fn open(&self) -> Value {
        if !self.bench.path("k1").exists() {
            self.run(&["grant", "keygen", "--out", "k1"]).exits(0);
            self.run(&["grant", "keygen", "--out", "k2"]).exits(0);
        }
        self.json(&START)
    }

    fn settle(&self) -> Ran {
        self.run(&[
            "grant", "create", "--parent", "t0", "--key", "k1", "--to", PAYER, "--out", "g",
        ])
        .exits(0);
        self.run(&[
            "-o",
            "json",
            "grant",
            "settle",
            "--grant",
            "g",
            "--dev-agent",
            PAYER,
            "--key",
            "k2",
            "--out",
            "t1",
        ])
    }
}

const START: [&str; 16] = [
    "task",
    "start",
    "--workflow",
    "banking.pay-bill",
    "--param",
    "payee=DE89",
    "--audience",
    "https://tools.dev.example",
    "--dev-subject",
    "alice@dev.example",
    "--dev-agent",
    ORCHESTRATOR,
    "--key",
    "k1",
    "--out",
    "t0",
];

/// A port with the next one free too, for the management listener.
pub(crate) fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port.saturating_add(1))).is_ok() {
            return port;
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value:#}")).to_owned()
}

#[test]
fn a_registry_is_tried_applied_and_refused() {
    let served = Served::start();
    served.bench.write("registry.toml", REGISTRY);
    let apply = ["apply", "-f", "registry.toml"];
    served
        .run(&["apply", "-f", "registry.toml", "--dry-run"])
        .exits(0)
        .says("would be created")
        .says("nothing was changed");
    served.run(&["agent", "list"]).exits(0).says("none are registered");
    served.run(&apply).exits(0).says("created").says("ledger index");
    served.run(&apply).exits(0).says("unchanged").says("nothing to change");
    served.run(&["agent", "show", PAYER]).exits(0).says("Payer");
    served.run(&["workflow", "show", "banking.pay-bill"]).exits(0).says("banking.send_money");
    served.run(&["workflow", "show", "no.such"]).exits(1).complains("not_found");

    let orphan =
        REGISTRY.replace("owner = \"team:payments\"\nreviewer", "owner = \"team:gone\"\nreviewer");
    served.bench.write("orphan.toml", &orphan);
    let ran = served.run(&["apply", "-f", "orphan.toml"]);
    assert_ne!(ran.code, 0, "{ran:#?}");
    ran.complains("team:gone").complains("orphan.toml:");
}

#[test]
fn a_task_is_handed_on_traced_and_revoked() {
    let served = Served::with_registry();
    let opened = served.open();
    let task = text(&opened, "task_id");
    assert_eq!(served.bench.path("t0").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let settled = served.settle().exits(0).json();
    assert!(settled.get("access_token").is_none(), "tokens go to files only");
    served
        .run(&["token", "verify", "t1", "--online"])
        .exits(0)
        .says("VERIFIED")
        .says("active, says the server")
        .says(&format!("{ORCHESTRATOR} → {PAYER}"));

    let index = settled["ledger_index"].to_string();
    for id in [&task, &text(&settled, "jti"), &text(&settled, "decision_id"), &index] {
        let ran = served.run(&["trace", id]).exits(0);
        ran.says("user:alice@dev.example").says("DT_0").says("└─ DT_1").says("default.delegate");
    }
    served.run(&["trace", "999999"]).exits(1).complains("not_found");

    served.run(&["revoke", "--task", &task, "--dry-run"]).exits(0).says("tokens  2");
    served.run(&["revoke", "--task", &task]).exits(1).complains("nobody is there to confirm it");
    served.run(&["token", "verify", "t1", "--online"]).exits(0);
    served
        .run(&["revoke", "--jti", &text(&settled, "jti"), "--yes", "--reason", "a test"])
        .exits(0)
        .says("tokens        1");
    served.run(&["token", "verify", "t1", "--online"]).exits(3).complains("revoked");
    served.run(&["token", "verify", "t0", "--online"]).exits(0);
    served.run(&["revoke", "--token", "t0", "--yes"]).exits(0);
    served.settle().exits(3);
}

#[test]
fn tasks_are_listed_shown_closed_and_renewed_while_open() {
    let served = Served::with_registry();
    let task = text(&served.open(), "task_id");
    served.run(&["task", "list", "--state", "open"]).exits(0).says(&task);
    served.run(&["task", "show", &task]).exits(0).says("Pay one bill");
    let renew = ["grant", "renew", "--token", "t0", "--key", "k1", "--out", "t0b"];
    served.run(&renew).exits(0);
    served.run(&["task", "closure", &task]).exits(1).complains("nothing of the task has ended");
    served
        .run(&["task", "complete", &task, "--wait-ms", "50"])
        .exits(0)
        .says("completed")
        .says("CLOSED");
    served.run(&["task", "closure", &task]).exits(0).says("CLOSED").says("leaf");
    served.run(&["trace", &task]).exits(0).says("dead at every enforcement point");
    served.run(&["task", "list", "--state", "open"]).exits(0).says("no tasks");
    served.run(&renew).exits(3);
    served.run(&["task", "complete", &task]).exits(3).complains("task_closed");

    let cancelled = text(&served.open(), "task_id");
    served.run(&["task", "cancel", &cancelled, "--reason", "a test"]).exits(0).says("cancelled");
    let mut unfit = START;
    unfit[5] = "nobody=1";
    let ran = served.run(&unfit);
    assert_ne!(ran.code, 0);
    ran.complains("nobody");
}

#[test]
fn an_agent_is_bound_quarantined_and_reinstated() {
    let served = Served::with_registry();
    served.open();
    let bind = ["agent", "bind-key", "--key", "k2", "--dev-agent", PAYER];
    served.run(&bind).exits(0).says("thumbprint");
    served.run(&["agent", "keys", PAYER]).exits(0).says("THUMBPRINT");
    served.run(&["agent", "keys", ORCHESTRATOR]).exits(0).says("no keys are bound");
    served.run(&["agent", "quarantine", PAYER, "--reason", "a test"]).exits(0).says("quarantined");
    served.settle().exits(3).complains("agent_quarantined");
    served.run(&["agent", "reinstate", PAYER]).exits(0).says("active");
    served.settle().exits(0);
}

#[test]
fn an_operator_is_who_the_token_says() {
    let served = Served::with_registry();
    let alice = ["identity", "dev-token", "--subject", "alice@dev.example", "--out", "alice"];
    served.run(&alice).exits(0).complains("nothing was proven");
    assert_eq!(served.bench.path("alice").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    served.run(&["--token-file", "alice", "agent", "list"]).exits(3).complains("role_required");
    let operator = [
        "identity",
        "dev-token",
        "--subject",
        "operator@dev.example",
        "--group",
        "operators",
        "--out",
        "operator",
    ];
    served.run(&operator).exits(0);
    served.run(&["--token-file", "operator", "agent", "list"]).exits(0).says("Payer");
    served.bench.write("forged", "eyJhbGciOiJub25lIn0.e30.AA");
    served.run(&["--token-file", "forged", "agent", "list"]).exits(3);
}

#[test]
fn the_ledger_is_exported_and_proven_to_somebody_else() {
    let served = Served::with_registry();
    served.open();
    let settled = served.settle().exits(0).json();
    served.run(&["ledger", "verify", "--trust-embedded-key"]).exits(0).says("VERIFIED");
    served.run(&["ledger", "export", "export", "--trust-embedded-key"]).exits(0).says("exported");
    served
        .run(&["ledger", "export", "export", "--trust-embedded-key"])
        .exits(1)
        .complains("is not empty");
    let offline = |args: &[&str]| served.bench.run(args);
    let key = ["--vkey-file", "export/vkey"];
    offline(&["ledger", "verify", "export", key[0], key[1]]).exits(0).says(" opened, 0 erased");
    served.run(&["ledger", "verify", &format!("{}/ledger", served.url), key[0], key[1]]).exits(0);

    let index = settled["ledger_index"].to_string();
    served.run(&["ledger", "prove", &index, key[0], key[1], "--out", "proof"]).exits(0);
    let check = ["ledger", "check", "proof", key[0], key[1]];
    offline(&check).exits(0).says("PROVEN").says(PAYER);
    let forged = served.bench.read("proof").replace("/agent/payer", "/agent/other");
    served.bench.write("proof", &forged);
    offline(&check).exits(3);

    offline(&["policy", "replay", "export"]).exits(0).says("changed          0");
    let explain = ["policy", "explain", "--decision", &text(&settled, "decision_id")];
    served.run(&explain).exits(0).says("default.delegate").says("allowed");
}

#[test]
fn policies_are_tried_and_replaced() {
    let served = Served::with_registry();
    served.run(&["policy", "list"]).exits(0).says("default.delegate");
    served.bench.write(
        "none.cedar",
        "@id(\"nothing\")\nforbid(principal, action == Action::\"StartTask\", resource);\n",
    );
    served
        .run(&["policy", "apply", "-f", "none.cedar", "--dry-run"])
        .exits(0)
        .says("nothing was changed");
    served.open();
    served.run(&["policy", "apply", "-f", "none.cedar"]).exits(0).says("ledger index");
    served.run(&START).exits(3).complains("policy_denied");
}

#[test]
fn the_bench_measures_and_cleans_up() {
    let bench = Bench::new();
    let ran = bench.run(&[
        "-o",
        "json",
        "bench",
        "--tasks",
        "4",
        "--requests",
        "20",
        "--callers",
        "1,2",
        "--policies",
        "10",
    ]);
    let report = ran.exits(0).json();
    assert_eq!(report["levels"][1]["settled"], 20);
    assert!(report["primitives"]["sum_us"].as_f64().unwrap() > 0.0);
    assert_eq!(std::fs::read_dir(bench.root()).unwrap().count(), 0, "nothing is left behind");
}
