//! What survives a restart: everything acknowledged, and every refusal that must hold.

use serde_json::{Value, json};

use crate::world::{Agent, IBAN, TOOL, World, evaluation, paying};

#[tokio::test]
async fn a_restart_forgets_no_task_no_revocation_and_no_proof() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let dead = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let target = json!({"target": {"jti": dead.jti()}, "reason": "drill"});
    assert_eq!(world.post_as_operator("/v1/revocations", &target).await.status(), 200);
    let used =
        evaluation(&payer, &hop, "banking.send_money", json!({"recipient": IBAN, "amount": 60}));
    let answer: Value = world.evaluate_body(&used).await.json().await.unwrap();
    assert_eq!(answer["decision"], true, "{answer}");
    let address = world.url.strip_prefix("http://").unwrap().to_owned();

    let data = world.stop().await;
    let world = World::start_in(data, |config| {
        // The same name, or the tokens would be another issuer's.
        config.relocate(address.parse().unwrap());
    })
    .await;
    let answer: Value = world.evaluate_body(&used).await.json().await.unwrap();
    assert_eq!(answer["context"]["code"], "proof_replayed", "{answer}");
    let spend = |amount: u32| json!({"recipient": IBAN, "amount": amount});
    let answer = world.evaluate(&payer, &dead, "banking.send_money", spend(1)).await;
    assert_eq!(answer["context"]["code"], "revoked", "{answer}");
    let answer = world.evaluate(&payer, &hop, "banking.send_money", spend(41)).await;
    assert_eq!(answer["context"]["code"], "budget_exhausted", "{answer}");
    let answer = world.evaluate(&payer, &hop, "banking.send_money", spend(40)).await;
    assert_eq!(answer["decision"], true, "{answer}");
    world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    assert!(TOOL.starts_with("https://"));
}

#[tokio::test]
async fn ready_says_so_and_names_what_is_wrong() {
    let world = World::start().await;
    let ready = world.http.get(format!("{}/ready", world.management)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert_eq!(ready.json::<Value>().await.unwrap()["problems"], json!([]));
    let live = world.http.get(format!("{}/live", world.management)).send().await.unwrap();
    assert_eq!(live.status(), 200);
    let metrics = world.http.get(format!("{}/metrics", world.management)).send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("bailiwick_ledger_entries"));
}

#[tokio::test]
async fn a_store_put_back_from_a_backup_is_not_signed_a_second_time() {
    let world = World::start().await;
    let address = world.url.strip_prefix("http://").unwrap().to_owned();
    let named = |config: &mut bailiwick_authority::config::Config| {
        config.relocate(address.parse().unwrap());
    };
    let data = world.stop().await;
    let (store, backup) = (data.path().join("authority/store"), data.path().join("backup"));
    copy(&store, &backup);
    // The benign twin: the same directory goes on.
    let world = World::start_in(data, named).await;
    world.open(&Agent::orchestrator()).await;
    let checkpoint = format!("{}/ledger/checkpoint", world.url);
    assert_eq!(world.http.get(checkpoint).send().await.unwrap().status(), 200);
    let data = world.stop().await;
    std::fs::remove_dir_all(&store).unwrap();
    copy(&backup, &store);
    let mut config = bailiwick_authority::config::Config::dev(
        &data.path().join("authority"),
        address.parse().unwrap(),
    );
    named(&mut config);
    let refused =
        bailiwick_authority::serve::Server::start(config).await.err().unwrap().to_string();
    assert!(refused.contains("cut off or put back"), "{refused}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
