//! `ledger verify`, `check` on exports: whole, edited, under another key.

use crate::run::{Bench, Ran};
use bailiwick_core::crypto::{Algorithm, SigningKey};
use bailiwick_ledger::file::Disk;
use bailiwick_ledger::published::PublishedLog;
use bailiwick_ledger::{FileLog, Opening, Receipt, ReceiptKind, ReceiptLine, VerifierKey};

const SIZE: u64 = 300;

/// A log in `export/`, laid out as an export, with its key in `vkey`.
struct Log {
    bench: Bench,
    key: SigningKey,
    vkey: VerifierKey,
}

fn log() -> Log {
    let bench = Bench::new();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let public: [u8; 32] = key.verifying_key().raw().try_into().unwrap();
    let vkey = VerifierKey::new("a.example/ledger", public).unwrap();
    let export = bench.path("export");
    std::fs::create_dir(&export).unwrap();
    let mut file = FileLog::open(Disk::new(&export), vkey.clone()).unwrap();
    let mut entries = Vec::new();
    let mut lines = String::new();
    for index in 0..SIZE {
        let receipt = Receipt {
            kind: ReceiptKind::Decision,
            time_ms: 1_700_000_000_000 + index,
            subject_ids: Vec::new(),
            payload: format!("{{\"allow\":true,\"n\":{index}}}").into_bytes(),
        };
        let sealed = receipt.seal([7; 32]);
        let opening = Opening::Open { salt: sealed.salt, payload: sealed.payload.clone() };
        let line = ReceiptLine { index, opening };
        lines.push_str(&line.to_line().unwrap());
        lines.push('\n');
        entries.push(sealed.entry.clone());
    }
    file.append(&entries, |body| key.sign(body.as_bytes()).unwrap().try_into().ok()).unwrap();
    bench.write("export/receipts.jsonl", &lines);
    bench.write("export/vkey", &format!("{vkey}\n"));
    bench.write("vkey", &vkey.to_string());
    Log { bench, key, vkey }
}

fn verify(bench: &Bench, more: &[&str]) -> Ran {
    let mut args = vec!["ledger", "verify", "export", "--vkey-file", "vkey"];
    args.extend(more);
    bench.run(&args)
}

#[test]
fn a_whole_export_verifies_offline() {
    let Log { bench, vkey, .. } = log();
    verify(&bench, &[]).exits(0).says("VERIFIED").says("300 entries of a.example/ledger");
    let json = bench
        .run(&["-o", "json", "ledger", "verify", "export", "--vkey", &vkey.to_string()])
        .exits(0)
        .json();
    assert_eq!((&json["size"], &json["receipts_opened"]), (&SIZE.into(), &SIZE.into()));
    assert_eq!(json["key_from"], "given");
}

#[test]
fn the_key_is_given_or_trusted_loudly() {
    let Log { bench, .. } = log();
    bench.run(&["ledger", "verify", "export"]).exits(1).complains("--vkey");
    let ran = bench.run(&["ledger", "verify", "export", "--trust-embedded-key"]).exits(0);
    ran.complains("TRUSTING THE KEY THAT COMES WITH THE LEDGER").says("from the export itself");
    let other = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let public: [u8; 32] = other.verifying_key().raw().try_into().unwrap();
    let other = VerifierKey::new("a.example/ledger", public).unwrap();
    bench.write("vkey", &other.to_string());
    verify(&bench, &[]).exits(3).complains("checkpoint_refused");
    bench.write("vkey", "nonsense");
    verify(&bench, &[]).exits(1).complains("NAME+HASH+BASE64");
}

#[test]
fn what_was_edited_is_named() {
    let Log { bench, .. } = log();
    let receipts = bench.read("export/receipts.jsonl");
    bench.write("export/receipts.jsonl", &receipts.replace("\"n\":41}", "\"n\":42}"));
    let ran = verify(&bench, &[]).exits(3);
    ran.complains("first bad sequence 41").complains("The 41 entries before it are proven intact");

    let cut: String = receipts.lines().take(200).map(|line| format!("{line}\n")).collect();
    bench.write("export/receipts.jsonl", &cut);
    let error = bench
        .run(&["-o", "json", "ledger", "verify", "export", "--vkey-file", "vkey"])
        .exits(3)
        .error_json();
    assert_eq!(error["code"], "receipt_out_of_order");

    bench.write("export/receipts.jsonl", &receipts);
    verify(&bench, &[]).exits(0);
}

#[test]
fn a_log_that_was_cut_off_does_not_match_a_trusted_checkpoint() {
    let Log { bench, key, vkey } = log();
    let trusted = bench.read("export/checkpoint");
    bench.write("trusted", &trusted);
    verify(&bench, &["--trusted-checkpoint", "trusted"]).exits(0).says("trusted trees  1");

    let short = bench.path("short");
    std::fs::create_dir(&short).unwrap();
    let mut file = FileLog::open(Disk::new(&short), vkey).unwrap();
    let entries: Vec<Vec<u8>> = (0..5).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    file.append(&entries, |body| key.sign(body.as_bytes()).unwrap().try_into().ok()).unwrap();
    std::fs::write(short.join("receipts.jsonl"), "").unwrap();
    let args =
        ["ledger", "verify", "short", "--vkey-file", "vkey", "--trusted-checkpoint", "trusted"];
    bench.run(&args).exits(3).complains("cut_off");
}

#[test]
fn a_proof_is_checked_offline() {
    let Log { bench, vkey, .. } = log();
    let disk = Disk::new(bench.path("export"));
    let published = PublishedLog::new(&disk, SIZE);
    let line = bench.read("export/receipts.jsonl").lines().nth(9).unwrap().to_owned();
    let opening = ReceiptLine::parse(line.as_bytes()).unwrap().opening;
    let checkpoint = bench.read("export/checkpoint");
    let proof =
        bailiwick_ledger::prove::prove(9, &checkpoint, &vkey, &opening, &published).unwrap();
    let text = serde_json::to_string(&proof).unwrap();
    bench.write("proof.json", &text);
    let check = ["ledger", "check", "proof.json", "--vkey-file", "vkey"];
    bench.run(&check).exits(0).says("PROVEN").says("receipt 9 of 300");
    bench.write("proof.json", &text.replace("\"n\":9", "\"n\":8"));
    bench.run(&check).exits(3).complains("does not open the entry's commitment");
    bench.write("proof.json", "{}");
    bench.run(&check).exits(1).complains("not a proof");
}
