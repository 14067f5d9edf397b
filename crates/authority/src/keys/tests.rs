use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const ISSUER: &str = "https://authority.a.example";
const NOW: UnixMillis = UnixMillis(1_900_000_000_000);

fn open(directory: &Path, now: UnixMillis) -> Result<SigningKeys, KeysError> {
    SigningKeys::open(directory, ISSUER, Algorithm::Es256, now)
}

fn later(seconds: u64) -> UnixMillis {
    NOW.saturating_add_seconds(seconds)
}

fn kids(jwks: &Value) -> BTreeSet<String> {
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("keys")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "pk8")).collect()
}

#[test]
fn the_first_keys_are_made_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let signer = keys.active_token_signer().unwrap();
    assert_eq!(signer.algorithm(), Algorithm::Es256);
    assert_eq!(keys.ledger_signer().unwrap().algorithm(), Algorithm::EdDsa);
    let published = kids(&keys.jwks(NOW));
    assert_eq!(published.len(), 2, "active and next");
    assert!(published.contains(signer.kid()));
    let again = open(directory.path(), later(60)).unwrap();
    assert_eq!(again.active_token_signer().unwrap().kid(), signer.kid());
    assert_eq!(kids(&again.jwks(NOW)), published);
}

#[test]
fn every_purpose_has_keys_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let tokens = kids(&keys.jwks(NOW));
    let lists = kids(&keys.status_list_jwks(NOW));
    assert!(tokens.is_disjoint(&lists));
    assert!(lists.contains(keys.active_status_list_signer().unwrap().kid()));
    let ledger = keys.ledger_signer().unwrap();
    assert!(!tokens.contains(ledger.kid()) && !lists.contains(ledger.kid()));
}

#[test]
fn published_keys_verify_what_is_signed_and_are_public() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let signer = keys.active_token_signer().unwrap();
    let signature = signer.sign(b"input").unwrap();
    let jwks = keys.jwks(NOW);
    let jwk = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == signer.kid());
    let key = VerifyingKey::from_jwk(jwk.unwrap()).unwrap();
    assert!(key.verify(b"input", &signature).is_ok());
    assert!(key.verify(b"other", &signature).is_err());
    assert!(!jwks.to_string().contains("\"d\""));
}

#[test]
fn rotation_keeps_old_signatures_verifiable_and_announces_the_next_key_before_it_signs() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let old = keys.active_token_signer().unwrap();
    let announced = kids(&keys.jwks(NOW));
    let rotation = keys.rotate(later(10)).unwrap();
    let new = keys.active_token_signer().unwrap();
    assert_ne!(new.kid(), old.kid());
    assert!(announced.contains(new.kid()), "verifiers knew it before it signed");
    assert_eq!(rotation.retiring.iter().filter(|key| key.kid == old.kid()).count(), 1);
    let published = kids(&keys.jwks(later(10)));
    assert!(published.contains(old.kid()) && published.len() == 3);
    assert!(kids(&keys.jwks(later(10 + RETIRING_SECONDS - 1))).contains(old.kid()));
    assert!(!kids(&keys.jwks(later(10 + RETIRING_SECONDS))).contains(old.kid()));
    let again = open(directory.path(), later(20)).unwrap();
    assert_eq!(again.active_token_signer().unwrap().kid(), new.kid());
    assert!(kids(&again.jwks(later(20))).contains(old.kid()));
    assert!(rotation.to_json().to_string().contains(old.kid()));
}

#[test]
fn a_retiring_key_cannot_sign_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let old = keys.active_token_signer().unwrap().kid().to_owned();
    let held =
        |kid: &str| files(directory.path()).iter().any(|path| path.to_string_lossy().contains(kid));
    assert!(held(&old));
    keys.rotate(later(10)).unwrap();
    assert!(!held(&old), "its private half is gone from the disk");
}

#[test]
fn a_key_past_its_time_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let old = keys.active_token_signer().unwrap().kid().to_owned();
    keys.rotate(later(10)).unwrap();
    let rotation = keys.rotate(later(10 + RETIRING_SECONDS)).unwrap();
    assert!(rotation.removed.contains(&old));
    assert!(!keys.list().iter().any(|key| key.kid == old));
}

#[test]
fn the_ledger_key_is_not_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let before = keys.ledger_signer().unwrap().kid().to_owned();
    keys.rotate(later(10)).unwrap();
    assert_eq!(keys.ledger_signer().unwrap().kid(), before);
}

#[test]
fn rotation_is_due_after_its_days() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    assert!(!keys.is_rotation_due(later(30 * 86_400 - 1), 30));
    assert!(keys.is_rotation_due(later(30 * 86_400), 30));
    keys.rotate(later(30 * 86_400)).unwrap();
    assert!(!keys.is_rotation_due(later(30 * 86_400 + 1), 30));
}

#[test]
fn another_algorithm_takes_effect_by_rotation() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), NOW).unwrap();
    let keys = SigningKeys::open(directory.path(), ISSUER, Algorithm::EdDsa, later(1)).unwrap();
    assert_eq!(keys.active_token_signer().unwrap().algorithm(), Algorithm::Es256);
    keys.rotate(later(2)).unwrap();
    assert_eq!(keys.active_token_signer().unwrap().algorithm(), Algorithm::EdDsa);
}

#[test]
fn files_that_others_can_use_are_refused_with_the_command_to_run() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), NOW).unwrap();
    let keys = directory.path().join("keys");
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let file = files(directory.path())[0].clone();
    for (path, bad, good, command) in [
        (keys.clone(), 0o755, 0o700, format!("chmod 0700 {}", keys.display())),
        (file.clone(), 0o644, 0o600, format!("chmod 0600 {}", file.display())),
        (keys.join("keys.json"), 0o660, 0o600, "chmod 0600".to_owned()),
    ] {
        set(&path, bad);
        let text = open(directory.path(), NOW).unwrap_err().to_string();
        assert!(text.contains(&command), "{text}");
        set(&path, good);
        assert!(open(directory.path(), NOW).is_ok());
    }
}

#[test]
fn missing_and_foreign_key_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let active = keys.active_token_signer().unwrap().kid().to_owned();
    let is_active = |path: &PathBuf| path.to_string_lossy().contains(&active);
    let path = files(directory.path()).into_iter().find(is_active).unwrap();
    let other = files(directory.path()).into_iter().find(|path| !is_active(path)).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(directory.path(), NOW), Err(KeysError::Missing { .. })));
    fs::copy(&other, &path).unwrap();
    assert!(matches!(open(directory.path(), NOW), Err(KeysError::Corrupt { .. })));
    fs::write(&path, b"not a key").unwrap();
    assert!(matches!(open(directory.path(), NOW), Err(KeysError::Corrupt { .. })));
    fs::write(&path, &bytes).unwrap();
    assert!(open(directory.path(), NOW).is_ok());
}

#[test]
fn key_files_without_an_index_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), NOW).unwrap();
    let index = directory.path().join("keys/keys.json");
    let bytes = fs::read(&index).unwrap();
    fs::remove_file(&index).unwrap();
    let text = open(directory.path(), NOW).unwrap_err().to_string();
    assert!(text.contains("no keys.json"), "{text}");
    bailiwick_identity::private_files::write(&index, &bytes).unwrap();
    assert!(open(directory.path(), NOW).is_ok());
}

#[test]
fn an_index_that_was_tampered_with_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), NOW).unwrap();
    let index = directory.path().join("keys/keys.json");
    let good = fs::read_to_string(&index).unwrap();
    let mut two_active = good.replace("\"state\": \"next\"", "\"state\": \"active\"");
    two_active = two_active.replace("\"activated_ms\": null", "\"activated_ms\": 1");
    for bad in [
        good.replace("\"v\": 1", "\"v\": 2"),
        good.replacen("\"kid\": \"", "\"kid\": \"A", 1),
        good.replacen("\"v\": 1", "\"v\": 1, \"x\": 1", 1),
        two_active,
        String::new(),
    ] {
        assert_ne!(bad, good);
        fs::write(&index, &bad).unwrap();
        assert!(open(directory.path(), NOW).is_err(), "{bad}");
    }
    fs::write(&index, &good).unwrap();
    assert!(open(directory.path(), NOW).is_ok());
}

#[test]
fn a_crash_while_the_first_keys_are_made_leaves_nothing_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let aside = directory.path().join("keys.new");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("token-half.pk8"), b"half").unwrap();
    assert!(open(directory.path(), NOW).is_ok());
    assert!(!aside.exists());
}

#[test]
fn a_crash_in_a_rotation_leaves_the_old_keys_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let before =
        open(directory.path(), NOW).unwrap().active_token_signer().unwrap().kid().to_owned();
    // A private half was written, the index that names it was not.
    let stray = directory.path().join("keys/token-stray.pk8");
    fs::write(&stray, b"half").unwrap();
    fs::write(directory.path().join("keys/keys.json.tmp"), b"half").unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    assert_eq!(keys.active_token_signer().unwrap().kid(), before);
    assert!(!stray.exists());
    assert!(keys.rotate(later(1)).is_ok());
}

#[test]
fn nothing_private_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let keys = open(directory.path(), NOW).unwrap();
    let text = format!("{keys:?} {:?} {:?}", keys.active_token_signer().unwrap(), keys.list());
    for path in files(directory.path()) {
        let bytes = fs::read(path).unwrap();
        let middle = &bytes[bytes.len() / 2..bytes.len() / 2 + 8];
        let hex: String = middle.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(&hex) && !text.contains(&format!("{middle:?}")));
    }
    assert!(!text.to_lowercase().contains("private"), "{text}");
}
