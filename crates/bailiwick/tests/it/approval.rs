//! Approving from the command line, against a development server.

use bailiwick_api::approvals::{ApprovalCall, AskApprovalRequest};
use bailiwick_api::dev::DevSvidRequest;
use bailiwick_api::{ApprovalStanding, Client};
use bailiwick_core::{ActionCall, CanonicalAction, VerifiedChain};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::served::Served;

const GATEWAY: &str = "spiffe://dev.bailiwick.example/gateway/tools";

const MORE: &str = r#"
[[owner]]
id = "team:payments"
name = "Payments"
contact = "payments@dev.example"
members = ["group:payments-leads"]

[[agent]]
id = "spiffe://dev.bailiwick.example/gateway/tools"
name = "Gateway"
owner = "team:payments"
env = "dev"
tenant = "acme"
roles = ["enforcement-point"]
"#;

/// Asks as a gateway does, about a payment by the orchestrator.
fn asked(served: &Served, arguments: Value) -> ApprovalStanding {
    let token = served.bench.read("t0");
    let (signed, _) = token.trim().rsplit_once('.').unwrap();
    let chain = VerifiedChain::from_issuer_record(signed.as_bytes()).unwrap();
    let scope = "banking.send_money".parse().unwrap();
    let arguments = arguments.as_object().unwrap();
    let call = ActionCall { system: "bank", resource: "x", scope: &scope, tool: None, arguments };
    let action = CanonicalAction::new(&chain, &call).unwrap();
    let request = AskApprovalRequest {
        call: ApprovalCall {
            jti: chain.claims().jti,
            system: "bank".to_owned(),
            resource: "x".to_owned(),
            scope: scope.to_string(),
            tool: None,
            arguments: arguments.clone(),
            digest: action.digest(),
            needs: vec!["owner".to_owned()],
        },
        why: vec!["policy asks for the approval of `owner`".to_owned()],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::new(served.url.parse().unwrap()).unwrap();
        let svid = DevSvidRequest { spiffe_id: GATEWAY.to_owned(), audience: None };
        let svid = client.dev_svid(&svid).await.unwrap().token;
        client.with_bearer_token(svid).ask_approval(&request).await.unwrap()
    })
}

/// A token counts when it was issued in a later second than the question was asked.
fn next_second() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = 1_000 - u64::from(now.subsec_millis());
    std::thread::sleep(Duration::from_millis(left + 20));
}

const BOB: [&str; 4] = ["--dev-subject", "bob@dev.example", "--dev-group", "payments-leads"];

#[test]
fn an_action_is_shown_and_decided_by_its_digest() {
    let served = Served::with_registry();
    served.bench.write("more.toml", MORE);
    served.run(&["apply", "-f", "more.toml"]).exits(0);
    served.open();
    let as_bob = |args: &[&str]| served.run(&[args, &BOB].concat());
    as_bob(&["approval", "list"]).exits(0).says("no approvals");
    let spend = json!({"recipient": "DE89", "note": "approved\u{1b}[2J by the bank"});
    let standing = asked(&served, spend.clone());
    let (id, digest) = (standing.approval_id.to_string(), standing.digest.to_string());
    next_second();
    as_bob(&["approval", "list", "--state", "pending"]).exits(0).says(&id).says("pending");
    let shown = as_bob(&["approval", "show", &id]).exits(0);
    let shown =
        shown.says("user:alice@dev.example").says("needs owner: one of group:payments-leads");
    let shown = shown.says(r#""recipient" = "DE89""#).says(&digest).says("Pay one bill");
    assert!(!shown.out.contains('\u{1b}'), "{shown:?}");
    let view = served.run(&[&["-o", "json", "approval", "show", &id][..], &BOB].concat()).json();
    assert_eq!(view["yours_to_decide"], true, "{view}");
    let action: Value = serde_json::from_str(view["action"].as_str().unwrap()).unwrap();
    assert_eq!(action["arguments"], spend);

    // Nobody is at the terminal to read it; another digest than that of this action.
    as_bob(&["approval", "approve", &id]).exits(1).complains("nobody is there to read the action");
    let other = bailiwick_core::ActionDigest::of_bytes(b"another").to_string();
    let wrong = as_bob(&["approval", "approve", &id, "--digest", &other]);
    wrong.exits(3).complains("approval_invalid");
    // The operator may look, and is not one of those who decide; alice asked for the task.
    served.run(&["approval", "show", &id]).exits(0).says("pending");
    let operator = served.run(&["approval", "approve", &id, "--digest", &digest]);
    operator.exits(3).complains("role_required");
    let alice =
        ["approval", "approve", &id, "--digest", &digest, "--dev-subject", "alice@dev.example"];
    served.run(&alice).exits(3).complains("role_required");

    let yes = ["approval", "approve", &id, "--digest", &digest, "--reason", "rent"];
    as_bob(&yes).exits(0).says("approved");
    as_bob(&["approval", "show", &id])
        .exits(0)
        .says("approved by user:bob@dev.example")
        .says("rent");
    let standing = asked(&served, json!({"recipient": "DE90"}));
    next_second();
    let (id, digest) = (standing.approval_id.to_string(), standing.digest.to_string());
    as_bob(&["approval", "refuse", &id, "--digest", &digest]).exits(0).says("refused");
}
