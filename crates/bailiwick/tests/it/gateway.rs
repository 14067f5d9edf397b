//! A gateway of the binary in front of nothing: its configuration, its pins, and the doctor.

use crate::run::Bench;
use crate::served::{Served, free_ports};
use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::Duration;

const AGENT: &str = r#"
[[agent]]
id = "spiffe://dev.bailiwick.example/gateway/edge"
name = "Edge"
owner = "team:payments"
env = "dev"
tenant = "acme"
clearance = "confidential"
roles = ["enforcement-point"]
"#;

fn config(issuer: &str, port: u16) -> String {
    format!(
        r#"
listen = "127.0.0.1:{port}"
management_listen = "127.0.0.1:{}"
state_dir = "gateway-state"
[authority]
issuer = "{issuer}"
[identity]
dev_agent = "spiffe://dev.bailiwick.example/gateway/edge"
[[route]]
name = "bank"
path = "/bank"
audience = "https://tools.dev.example"
upstream = "http://127.0.0.1:9"
owner = "team:payments"
binding = "carries"
sensitivity = "internal"
[route.http]
[[route.http.operation]]
method = "GET"
path = "/vault"
scope = "vault.open"
[[route.http.operation]]
method = "GET"
path = "/payments"
scope = "banking.send_money"
"#,
        port + 1
    )
}

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway that listens at a port. Its management listener is the next one.
fn start(served: &Served, port: u16) -> Gateway {
    served.bench.write("gateway.toml", &config(&served.url, port));
    let log = std::fs::File::create(served.bench.path("gateway.log")).unwrap();
    let child =
        served.bench.command().arg("gateway").stdout(Stdio::null()).stderr(log).spawn().unwrap();
    Gateway(child)
}

fn doctor(served: &Served, port: u16, path: &str) -> crate::run::Ran {
    let (gateway, management) =
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
    let asked = [
        "-o",
        "json",
        "doctor",
        "--gateway",
        &gateway,
        "--management",
        &management,
        "--path",
        path,
        "--workflow",
        "banking.pay-bill",
        "--param",
        "payee=DE89",
        "--audience",
        "https://tools.dev.example",
        "--delegatee",
        "spiffe://dev.bailiwick.example/agent/payer",
        "--dev-agent",
        "spiffe://dev.bailiwick.example/agent/orchestrator",
        "--dev-subject",
        "alice@dev.example",
    ];
    served.run(&asked)
}

#[test]
fn the_doctor_attacks_and_shows_each_denial() {
    let served = Served::with_registry();
    served.bench.write("edge.toml", AGENT);
    served.run(&["apply", "-f", "edge.toml"]).exits(0);
    let port = free_ports();
    let _gateway = start(&served, port);
    let mut ran = doctor(&served, port, "/bank/vault");
    for _ in 0..100 {
        if ran.code == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        ran = doctor(&served, port, "/bank/vault");
    }
    let log = served.bench.read("gateway.log");
    assert_eq!(ran.code, 0, "{}\n{}\n{log}", ran.out, ran.err);
    let report = ran.json();
    let findings = report["findings"].as_array().unwrap();
    let attacks = findings.iter().filter(|finding| finding["kind"] == "attack").count();
    assert!(attacks >= 12, "{report:#}");
    assert!(findings.iter().all(|finding| finding["ok"] == true), "{report:#}");

    // A path that the task may call is no target: a good token gets through there, and that is said.
    // Nor is one that no operation names: nothing can be told from its refusals.
    for (path, told) in [("/bank/payments", ""), ("/bank/nothing", "--path is no GET")] {
        let ran = doctor(&served, port, path).exits(1);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let recognised = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|finding| finding["what"].as_str().unwrap().starts_with("a good token"))
            .unwrap();
        assert_eq!(recognised["ok"], false, "{report:#}");
        assert!(recognised["answer"].as_str().unwrap().contains(told), "{report:#}");
    }
}

#[test]
fn a_configuration_that_cannot_work_says_what_to_do() {
    let bench = Bench::new();
    bench.run(&["gateway"]).exits(1).complains("nothing is assumed");
    bench.write("gateway.toml", &config("http://127.0.0.1:1", 9));
    bench.run(&["gateway", "--check"]).exits(0).complains("would start");
    let broken = config("http://127.0.0.1:1", 9).replace("dev_agent", "dev_agnet");
    bench.write("gateway.toml", &broken);
    bench.run(&["gateway", "--check"]).exits(1).complains("dev_agnet");
    let exposed = config("http://127.0.0.1:1", 9)
        .replace("listen = \"127.0.0.1:9\"", "listen = \"0.0.0.0:9\"");
    bench.write("gateway.toml", &exposed);
    bench.run(&["gateway", "--check"]).exits(1).complains("behind_tls_proxy");
    let far = config("https://authority.example", 9);
    bench.write("gateway.toml", &far);
    bench.run(&["gateway", "--check"]).exits(1).complains("identity.svid_file");
    let none =
        config("http://127.0.0.1:1", 9).replace("[route.http]", "").replace("route.http.", "x.");
    bench.write("gateway.toml", &none);
    bench.run(&["gateway", "--check"]).exits(1);
}

#[test]
fn pins_are_listed_and_approved_where_they_wait() {
    let bench = Bench::new();
    let text = config("http://127.0.0.1:1", 9);
    let (head, _) = text.split_once("[route.http]").unwrap();
    bench
        .write("gateway.toml", &format!("{head}[route.mcp]\nscope_template = \"bank.{{tool}}\"\n"));
    std::fs::create_dir_all(bench.path("gateway-state/pins")).unwrap();
    bench.write(
        "gateway-state/pins/bank.json",
        r#"{"pay":{"approved":"sha-256:a","waiting":"sha-256:b","why":"changed"}}"#,
    );
    bench.run(&["gateway", "pins", "list", "--route", "bank"]).exits(0).says("changed");
    bench
        .run(&["gateway", "pins", "show", "--route", "bank", "pay"])
        .exits(0)
        .says("waiting sha-256:b");
    bench.run(&["gateway", "pins", "show", "--route", "bank", "rob"]).exits(1).complains("rob");
    bench
        .run(&["gateway", "pins", "approve", "--route", "bank", "pay", "--hash", "sha-256:c"])
        .exits(1)
        .complains("look at it first");
    bench.run(&["gateway", "pins", "approve", "--route", "bank"]).exits(1);
    bench.run(&["gateway", "pins", "approve", "--route", "bank", "--all"]).exits(0);
    bench.run(&["gateway", "pins", "list", "--route", "bank"]).exits(0).says("sha-256:b");
    bench
        .run(&["gateway", "pins", "approve", "--route", "bank", "pay"])
        .exits(1)
        .complains("waits");
    bench.run(&["gateway", "pins", "list", "--route", "vault"]).exits(1).complains("vault");
}
