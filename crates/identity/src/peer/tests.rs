use bailiwick_core::{Algorithm, Outcome, SigningKey};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::testing::{ProofExtras, dpop_proof};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const URL: &str = "https://tools.example/pay";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn refused(pairs: &[(&'static str, &str)]) -> bool {
    PeerCredentials::from_headers(&headers(pairs)).is_err()
}

#[test]
fn what_is_presented_is_read_by_its_scheme() {
    let map = headers(&[
        ("authorization", "DPoP a.b.c"),
        ("dpop", "d.e.f"),
        ("actor-token", "g.h.i"),
        ("delegation-chain", "j.k.l~m.n.o"),
    ]);
    let peer = PeerCredentials::from_headers(&map).unwrap();
    assert_eq!(peer.authorization(), Some(&Authorization::Dpop(PresentedToken::new("a.b.c"))));
    assert_eq!(peer.bearer(), None);
    assert_eq!(peer.proof().unwrap().expose(), "d.e.f");
    assert_eq!(peer.actor_token().unwrap().expose(), "g.h.i");
    assert_eq!(peer.delegation_chain().unwrap().expose(), "j.k.l~m.n.o");
    let bearer = PeerCredentials::from_headers(&headers(&[("authorization", "bearer a.b.c")]));
    assert_eq!(bearer.unwrap().bearer().unwrap().expose(), "a.b.c");
    let nothing = PeerCredentials::from_headers(&HeaderMap::new()).unwrap();
    assert!(nothing.authorization().is_none() && nothing.proof().is_none());
}

#[test]
fn each_header_comes_once_and_holds_one_token() {
    assert!(!refused(&[("authorization", "Bearer a.b.c"), ("dpop", "d.e.f")]));
    for name in ["authorization", "dpop", "actor-token", "delegation-chain"] {
        let value = if name == "authorization" { "Bearer a.b.c" } else { "a.b.c" };
        assert!(refused(&[(name, value), (name, value)]), "{name} twice");
    }
    for value in
        ["", "Bearer", "Bearer ", "a.b.c", "Basic YTpi", "Bearer a b", "Bearer a,b", "DPoP a;b"]
    {
        assert!(refused(&[("authorization", value)]), "{value:?}");
    }
    for value in ["", "a b", "a, b", "a.b.c,d.e.f", "\"a\""] {
        assert!(refused(&[("dpop", value)]), "{value:?}");
    }
}

#[test]
fn sizes_are_bounded() {
    let text = |n: usize| "a".repeat(n);
    assert!(!refused(&[("authorization", &format!("Bearer {}", text(TOKEN_BYTES_MAX)))]));
    assert!(refused(&[("authorization", &format!("Bearer {}", text(TOKEN_BYTES_MAX + 1)))]));
    assert!(!refused(&[("dpop", &text(PROOF_BYTES_MAX))]));
    assert!(refused(&[("dpop", &text(PROOF_BYTES_MAX + 1))]));
    assert!(!refused(&[("delegation-chain", &text(CHAIN_BYTES_MAX))]));
    assert!(refused(&[("delegation-chain", &text(CHAIN_BYTES_MAX + 1))]));
}

#[test]
fn possession_is_proved_for_the_token_that_is_presented() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let proof = |token| {
        let extras = ProofExtras { access_token: Some(token), ..Default::default() };
        dpop_proof(&key, "POST", URL, extras, NOW)
    };
    let prove = |pairs: &[(&'static str, &str)]| {
        let peer = PeerCredentials::from_headers(&headers(pairs)).unwrap();
        peer.prove_holder("POST", URL, NonceRule::NotRequired, NOW)
    };
    let good = prove(&[("authorization", "DPoP a.b.c"), ("dpop", &proof("a.b.c"))]).unwrap();
    let held = HolderBinding::Jkt(key.verifying_key().thumbprint());
    assert_eq!(good.check(&held), Ok(()));
    let other = SigningKey::generate(Algorithm::EdDsa).unwrap().verifying_key().thumbprint();
    for binding in [HolderBinding::Jkt(other), HolderBinding::X5tS256(other.0)] {
        assert_eq!(good.check(&binding).unwrap_err().code(), Outcome::HolderBindingFailed);
    }
    let bad: [&[(&'static str, &str)]; 5] = [
        &[],
        &[("authorization", "DPoP a.b.c")],
        &[("authorization", "Bearer a.b.c")],
        &[("authorization", "Bearer a.b.c"), ("dpop", &proof("a.b.c"))],
        &[("authorization", "DPoP a.b.c"), ("dpop", &proof("x.y.z"))],
    ];
    for pairs in bad {
        assert_eq!(prove(pairs).unwrap_err().code(), Outcome::HolderBindingFailed);
    }
}

#[test]
fn nothing_that_is_presented_is_printed() {
    let map = headers(&[("authorization", "DPoP secret-token"), ("dpop", "secret-proof")]);
    let shown = format!("{:?}", PeerCredentials::from_headers(&map).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

proptest! {
    #[test]
    fn no_header_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            for name in ["authorization", "dpop", "delegation-chain"] {
                let mut map = HeaderMap::new();
                map.append(HeaderName::from_static(name), value.clone());
                let _ = PeerCredentials::from_headers(&map);
            }
        }
    }
}
