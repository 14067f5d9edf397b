//! Signed notes, verifier keys and checkpoints; `signed_note` agrees.

use bailiwick_ledger::checkpoint::CheckpointError;
use bailiwick_ledger::note::NoteError;
use bailiwick_ledger::{Checkpoint, SignedNote, VerifierKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

use crate::log::{LogKey, MemoryLog, ORIGIN};

fn oracle_signer(key: &LogKey, seed: u8) -> StandardSigner {
    let private = STANDARD.encode([&[1_u8][..], &[seed; 32]].concat());
    let hash = u32::from_be_bytes(key.verifier.hash());
    StandardSigner::new(&format!("PRIVATE+KEY+{}+{hash:08x}+{private}", key.verifier.name()))
        .unwrap()
}

#[test]
fn the_oracle_verifies_our_note_and_we_verify_its() {
    let key = LogKey::new(ORIGIN, 3);
    let ours = key.sign_checkpoint(&MemoryLog::of_receipts(5).checkpoint());
    let verifier = StandardVerifier::new(&key.verifier.to_string()).unwrap();
    let verifiers = VerifierList::new(vec![Box::new(verifier)]);
    let (verified, unknown) =
        Note::from_bytes(ours.as_bytes()).unwrap().verify(&verifiers).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));

    let text = MemoryLog::of_receipts(5).checkpoint().body();
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    let witness = LogKey::new("witness.example", 4);
    note.add_sigs(&[&oracle_signer(&witness, 4), &oracle_signer(&key, 3)]).unwrap();
    let theirs = note.to_bytes();
    let parsed = SignedNote::parse(&theirs).unwrap();
    assert_eq!(parsed.verify(&key.verifier).unwrap(), text);
    assert_eq!(parsed.verify(&witness.verifier).unwrap(), text, "a witness's line verifies too");
    Checkpoint::verify(&theirs, &key.verifier).unwrap();
}

#[test]
fn verifier_keys_round_trip_as_text() {
    let key = LogKey::new(ORIGIN, 9).verifier;
    assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
    // The example of the C2SP signed-note specification.
    let example = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(example.parse::<VerifierKey>().unwrap().to_string(), example);
    let text = key.to_string();
    for bad in [
        String::new(),
        "name".to_owned(),
        text.replacen('+', "", 1),
        text.replacen("ledger", "lodger", 1),
        text.to_uppercase(),
        text.replace("+A", "+B"),
        format!("{text}A"),
        format!(" {text}"),
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
        assert_eq!(VerifierKey::new(name, [0; 32]), Err(NoteError::KeyName), "{name:?}");
    }
}

#[test]
fn the_specification_example_note_verifies() {
    let key: VerifierKey =
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let note = "If you think cryptography is the answer to your problem,\n\
         then you don't know what your problem is.\n\n\
         \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    SignedNote::parse(note.as_bytes()).unwrap().verify(&key).unwrap();
}

#[test]
fn any_flipped_byte_of_a_checkpoint_is_refused() {
    let key = LogKey::new(ORIGIN, 5);
    let published = key.sign_checkpoint(&MemoryLog::of_receipts(12).checkpoint()).into_bytes();
    Checkpoint::verify(&published, &key.verifier).unwrap();
    for at in 0..published.len() {
        for bit in 0..8 {
            let mut bad = published.clone();
            bad[at] ^= 1 << bit;
            assert!(Checkpoint::verify(&bad, &key.verifier).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn each_refusal_of_a_checkpoint_beside_its_intact_twin() {
    let key = LogKey::new(ORIGIN, 5);
    let checkpoint = MemoryLog::of_receipts(12).checkpoint();
    let signature = key.sign(&checkpoint.body());
    let intact = checkpoint.attach(&key.verifier, &signature).unwrap();
    let verify = |published: &str| Checkpoint::verify(published.as_bytes(), &key.verifier);
    assert_eq!(verify(&intact), Ok(checkpoint.clone()));

    let other = LogKey::new(ORIGIN, 6);
    assert_eq!(
        checkpoint.attach(&other.verifier, &signature),
        Err(CheckpointError::Note(NoteError::BadSignature))
    );
    let elsewhere = LogKey::new("other.example", 5);
    assert_eq!(checkpoint.attach(&elsewhere.verifier, &signature), Err(CheckpointError::Origin));
    assert_eq!(
        verify(&other.sign_checkpoint(&checkpoint)),
        Err(CheckpointError::Note(NoteError::Unsigned))
    );
    let forged = intact.replacen("\n12\n", "\n13\n", 1);
    assert_eq!(verify(&forged), Err(CheckpointError::Note(NoteError::BadSignature)));
    // A log's key signs notes under its own name only.
    let foreign = checkpoint.body().replacen(ORIGIN, "other.example", 1);
    let note = key.verifier.attach(&foreign, &key.sign(&foreign)).unwrap();
    assert_eq!(verify(&note), Err(CheckpointError::Origin));
    for text in [
        format!("{ORIGIN}\n012\n{}\n", checkpoint.root()),
        format!("{ORIGIN}\n+12\n{}\n", checkpoint.root()),
        format!("{ORIGIN}\n12\nAAAA\n"),
        format!("{ORIGIN}\n12\n"),
        format!("{ORIGIN}\n18446744073709551615\n{}\n", checkpoint.root()),
        format!("\n12\n{}\n", checkpoint.root()),
    ] {
        let note = key.verifier.attach(&text, &key.sign(&text)).unwrap();
        assert_eq!(verify(&note), Err(CheckpointError::Malformed), "{text}");
    }
    let huge = format!("{}{intact}", "x".repeat(70_000));
    assert_eq!(verify(&huge), Err(CheckpointError::Note(NoteError::TooLarge)));
    assert!(Checkpoint::new("", 0, checkpoint.root()).is_err());
    assert!(Checkpoint::new("a\nb", 0, checkpoint.root()).is_err());
}
