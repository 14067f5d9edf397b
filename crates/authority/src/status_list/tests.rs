use bailiwick_core::crypto::Algorithm;

use super::*;
use crate::keys::SigningKeys;

const NOW: UnixMillis = UnixMillis(1_900_000_000_000);
const URI: &str = "https://authority.a.example/status-lists/0";

fn keys(directory: &std::path::Path) -> SigningKeys {
    SigningKeys::open(directory, "https://authority.a.example", Algorithm::Es256, NOW).unwrap()
}

fn later(seconds: u64) -> UnixMillis {
    NOW.saturating_add_seconds(seconds)
}

#[test]
fn the_drafts_own_example_decodes() {
    // draft-ietf-oauth-status-list, "Compressed Byte Array", one bit: 16 tokens in 0xb9 0xa3.
    let list = StatusList::from_lst("eNrbuRgAAhcBXQ").unwrap();
    let bits: Vec<u8> = (0..16).map(|index| u8::from(list.is_revoked(index).unwrap())).collect();
    assert_eq!(bits, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
    assert_eq!(list.is_revoked(16), None);
}

#[test]
fn revoked_tokens_are_marked_and_others_not() {
    let mut list = StatusList::default();
    for position in [0, 7, 8, 4095, LIST_ENTRIES - 1] {
        assert_eq!(list.is_revoked(position), Some(false));
        assert!(list.revoke(position));
        assert_eq!(list.is_revoked(position), Some(true));
    }
    assert_eq!(list.is_revoked(1), Some(false));
    assert!(!list.revoke(LIST_ENTRIES));
    assert_eq!(list.is_revoked(LIST_ENTRIES), None);
    assert_eq!(StatusList::from_lst(&list.to_lst()).unwrap(), list);
}

#[test]
fn an_empty_list_is_small() {
    assert!(StatusList::default().to_lst().len() < 100);
}

#[test]
fn indexes_are_spread_over_lists() {
    assert_eq!(locate(0), (0, 0));
    assert_eq!(locate(LIST_ENTRIES - 1), (0, LIST_ENTRIES - 1));
    assert_eq!(locate(LIST_ENTRIES + 5), (1, 5));
    assert_eq!(list_uri("https://a.example", 3), "https://a.example/status-lists/3");
}

#[test]
fn a_signed_list_answers_until_it_is_stale() {
    let directory = tempfile::tempdir().unwrap();
    let signer = keys(directory.path()).active_status_list_signer().unwrap();
    let mut list = StatusList::default();
    list.revoke(412);
    let token = sign(&list, URI, &signer, NOW, 5, 60).unwrap();
    let key = |kid: &str| (kid == signer.kid()).then(|| signer.verifying_key());
    let verified = VerifiedStatusList::verify(&token, URI, key, later(1)).unwrap();
    assert_eq!(verified.is_revoked(412, later(1)), Ok(true));
    assert_eq!(verified.is_revoked(413, later(1)), Ok(false));
    assert_eq!(verified.is_revoked(LIST_ENTRIES, later(1)), Err(StatusListError::OutOfRange));
    assert_eq!(verified.is_revoked(412, later(5)), Err(StatusListError::Stale));
    let stale = VerifiedStatusList::verify(&token, URI, key, later(5)).unwrap_err();
    assert_eq!(stale, StatusListError::Stale);
    assert_eq!(stale.code(), bailiwick_core::outcome::Outcome::RevocationStale);
}

#[test]
fn lists_that_do_not_verify_give_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let keys = keys(directory.path());
    let signer = keys.active_status_list_signer().unwrap();
    let good = sign(&StatusList::default(), URI, &signer, NOW, 60, 60).unwrap();
    let known = |kid: &str| (kid == signer.kid()).then(|| signer.verifying_key());
    let verify = |token: &str, uri: &str, now| {
        VerifiedStatusList::verify(token, uri, known, now).map(|_| ()).unwrap_err()
    };
    assert!(VerifiedStatusList::verify(&good, URI, known, NOW).is_ok());
    let other_uri = "https://authority.a.example/status-lists/1";
    assert_eq!(verify(&good, other_uri, NOW), StatusListError::OtherList);
    let early = UnixMillis(NOW.0 - 31_000);
    assert_eq!(verify(&good, URI, early), StatusListError::NotYet);
    assert!(matches!(verify("a.b", URI, NOW), StatusListError::Malformed(_)));
    assert!(matches!(verify("", URI, NOW), StatusListError::Malformed(_)));
    let mut flipped = good.clone().into_bytes();
    let middle = good.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    assert_eq!(verify(&String::from_utf8(flipped).unwrap(), URI, NOW), StatusListError::Signature);
    // A token key is not a status list key.
    let token_key = keys.active_token_signer().unwrap();
    let header = serde_json::json!({"alg": "ES256", "kid": token_key.kid(), "typ": TYPE});
    let claims = serde_json::json!({"sub": URI, "iat": NOW.seconds(), "ttl": 60,
        "status_list": {"bits": 1, "lst": StatusList::default().to_lst()}});
    let foreign = compact::sign(&header, &claims, |bytes| token_key.sign(bytes)).unwrap();
    assert_eq!(verify(&foreign, URI, NOW), StatusListError::UnknownKey);
}

#[test]
fn claims_that_are_not_a_one_bit_list_give_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let signer = keys(directory.path()).active_status_list_signer().unwrap();
    let lst = StatusList::default().to_lst();
    let good = serde_json::json!({"sub": URI, "iat": NOW.seconds(), "ttl": 60,
        "status_list": {"bits": 1, "lst": lst}});
    let token = |typ: &str, alg: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = good.clone();
        change(&mut claims);
        let header = serde_json::json!({"alg": alg, "kid": signer.kid(), "typ": typ});
        compact::sign(&header, &claims, |bytes| signer.sign(bytes)).unwrap()
    };
    let accepted = |token: &str| {
        let key = |_: &str| Some(signer.verifying_key());
        VerifiedStatusList::verify(token, URI, key, NOW).is_ok()
    };
    assert!(accepted(&token(TYPE, "ES256", &|_| {})));
    assert!(!accepted(&token("JWT", "ES256", &|_| {})));
    assert!(!accepted(&token(TYPE, "none", &|_| {})));
    assert!(!accepted(&token(TYPE, "ES256", &|claims| claims["status_list"]["bits"] = 2.into())));
    assert!(
        !accepted(&token(TYPE, "ES256", &|claims| claims["status_list"]["lst"] = "eNo".into()))
    );
    assert!(
        !accepted(&token(TYPE, "ES256", &|claims| {
            claims.as_object_mut().unwrap().remove("ttl");
        })),
        "a list that never goes stale is not fresh"
    );
}

#[test]
fn a_bomb_is_not_inflated() {
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 9 * 1024 * 1024], 9);
    assert!(StatusList::from_lst(&URL_SAFE_NO_PAD.encode(packed)).is_err());
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 1024 * 1024], 9);
    assert!(StatusList::from_lst(&URL_SAFE_NO_PAD.encode(packed)).is_ok());
}
