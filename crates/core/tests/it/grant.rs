//! One grant against the chain it narrows.

use bailiwick_core::{
    Algorithm, GrantClaims, HolderBinding, Outcome, Sha256Hash, UnixMillis, UnverifiedToken,
    VerifiedChain, VerifyError, verify_grant,
};
use serde_json::json;

use crate::fixture::{NOW, Settled, World, agent, authority, sign_bytes};

struct Case {
    world: World,
    parent: Settled,
    above: VerifiedChain,
}

impl Case {
    fn new(holder: Algorithm) -> Self {
        let world = World::new(Algorithm::Es256, holder);
        let parent = world.settled_chain(1).remove(1);
        let above = world.verify(&parent.token.compact).unwrap();
        Self { world, parent, above }
    }

    fn claims(&self) -> GrantClaims {
        self.world.grant_claims(&self.parent.claims, self.parent.token.signing_hash)
    }

    fn verify(&self, compact: &str) -> Result<bailiwick_core::VerifiedGrant, VerifyError> {
        verify_grant(&UnverifiedToken::parse(compact)?, &self.above, &[], NOW)
    }
}

fn code_of(edit: impl Fn(&mut GrantClaims)) -> Outcome {
    let case = Case::new(Algorithm::EdDsa);
    let mut claims = case.claims();
    assert!(
        case.verify(&case.world.sign_grant(&claims, 1).compact).is_ok(),
        "the benign twin passes"
    );
    edit(&mut claims);
    case.verify(&case.world.sign_grant(&claims, 1).compact).unwrap_err().code()
}

#[test]
fn grants_verify_in_both_forms() {
    for holder in [Algorithm::EdDsa, Algorithm::Es256] {
        let case = Case::new(holder);
        let mut claims = case.claims();
        for cnf in [claims.cnf, None] {
            claims.cnf = cnf;
            let signed = case.world.sign_grant(&claims, 1);
            let grant = case.verify(&signed.compact).unwrap();
            assert_eq!(grant.claims(), &claims);
            assert_eq!(grant.signing_hash(), signed.signing_hash);
            assert_eq!(grant.grant_hash(), bailiwick_core::sha256(signed.compact.as_bytes()));
            assert_eq!(grant.delegator_key(), &case.world.holders[1].verifying_key());
            assert_eq!(grant.parent().claims(), &case.parent.claims);
            let token = UnverifiedToken::parse(&signed.compact).unwrap();
            let parent = token.as_grant().unwrap().claimed_parent();
            assert_eq!(parent, case.parent.token.signing_hash);
        }
    }
}

#[test]
fn every_way_to_disagree_with_the_parent() {
    assert_eq!(code_of(|c| c.iss = agent(9)), Outcome::HolderBindingFailed);
    assert_eq!(code_of(|c| c.par_hash = Sha256Hash([1; 32])), Outcome::ParHashMismatch);
    assert_eq!(code_of(|c| c.del_depth = 3), Outcome::DepthInvalid);
    assert_eq!(
        code_of(|c| c.sub = "user:mallory@a.example".parse().unwrap()),
        Outcome::PrincipalAltered
    );
    let task = bailiwick_core::TaskId::new(NOW, [8; 10]);
    assert_eq!(code_of(|c| c.txn = task), Outcome::TaskMismatch);
    assert_eq!(code_of(|c| c.hop.workflow = "crm.other".parse().unwrap()), Outcome::TaskMismatch);
    assert_eq!(code_of(|c| c.hop.env = "dev".into()), Outcome::TaskMismatch);
    assert_eq!(code_of(|c| c.hop.tenant = "evil".parse().unwrap()), Outcome::TenantMismatch);
    assert_eq!(
        code_of(|c| c.authority = authority("pay.x", json!([])).into()),
        Outcome::NotNarrower
    );
    assert_eq!(
        code_of(|c| c.authority = authority("crm.read", json!([])).into()),
        Outcome::NotNarrower
    );
    assert_eq!(code_of(|c| c.exp += 1), Outcome::Expired);
    assert_eq!(code_of(|c| c.iat += 31), Outcome::ClockSkew);
    assert_eq!(code_of(|c| c.aud = "https://files.a.example".into()), Outcome::AudienceMismatch);
}

#[test]
fn a_wider_depth_bound_is_not_narrower() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let mut claims = world.root_claims();
    claims.del_max_depth = 3;
    let root = world.settle(claims);
    let above = world.verify(&root.token.compact).unwrap();
    let mut grant = world.grant_claims(&root.claims, root.token.signing_hash);
    grant.del_max_depth = 4;
    let token = UnverifiedToken::parse(&world.sign_grant(&grant, 0).compact).unwrap();
    let error = verify_grant(&token, &above, &[], NOW).unwrap_err();
    assert_eq!(error.code(), Outcome::NotNarrower);
}

#[test]
fn only_the_holder_of_the_parent_may_sign() {
    let case = Case::new(Algorithm::EdDsa);
    let claims = case.claims();
    let by_another = case.world.sign_grant(&claims, 2);
    assert_eq!(case.verify(&by_another.compact).unwrap_err().code(), Outcome::HolderBindingFailed);

    // The holder's public key in the header, another's signature below it.
    let honest = case.world.sign_grant(&claims, 1);
    let (input, _) = honest.compact.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let decode = |part: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()
    };
    let forged = sign_bytes(&case.world.holders[2], &decode(header), &decode(payload));
    assert_eq!(case.verify(&forged).unwrap_err().code(), Outcome::SignatureInvalid);

    // A settled token is not a grant.
    let settled = &case.parent.token.compact;
    assert_eq!(case.verify(settled).unwrap_err().code(), Outcome::Malformed);
}

#[test]
fn certificate_bound_delegators_sign_with_their_certificates_key() {
    use bailiwick_core::{SigningKey, UnsignedToken, sha256};
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let case = Case::new(Algorithm::EdDsa);
        let certify = || {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            let der = params.self_signed(&pair).unwrap().der().to_vec();
            (SigningKey::from_pkcs8(&pair.serialize_der()).unwrap(), der)
        };
        let (key, certificate) = certify();
        let mut bound = case.parent.claims.clone();
        bound.cnf = HolderBinding::X5tS256(sha256(&certificate));
        let bound = case.world.settle(bound);
        let above = case.world.verify(&bound.token.compact).unwrap();
        let mut claims = case.claims();
        claims.par_hash = bound.token.signing_hash;
        let code = |certificate: &[u8], key: &SigningKey| {
            let unsigned = UnsignedToken::grant_by_certificate(&claims, certificate).unwrap();
            let signature = key.sign(unsigned.signing_input()).unwrap();
            let token = UnverifiedToken::parse(&unsigned.attach(&signature).compact).unwrap();
            verify_grant(&token, &above, &[], NOW).map(|_| ()).map_err(|e| e.code())
        };
        assert_eq!(code(&certificate, &key), Ok(()));
        let (other_key, other_certificate) = certify();
        assert_eq!(code(&certificate, &other_key), Err(Outcome::SignatureInvalid));
        assert_eq!(code(&other_certificate, &other_key), Err(Outcome::HolderBindingFailed));
        // The same key without its certificate, and a key-bound delegator's.
        let unsigned = UnsignedToken::grant(&claims, &key.verifying_key()).unwrap();
        let signature = key.sign(unsigned.signing_input()).unwrap();
        for compact in
            [unsigned.attach(&signature).compact, case.world.sign_grant(&claims, 1).compact]
        {
            let token = UnverifiedToken::parse(&compact).unwrap();
            let error = verify_grant(&token, &above, &[], NOW).unwrap_err();
            assert_eq!(error.code(), Outcome::HolderBindingFailed);
        }
        assert!(UnsignedToken::grant_by_certificate(&claims, b"no certificate").is_err());
    }
}

#[test]
fn embedded_keys_are_public_and_exact() {
    let case = Case::new(Algorithm::EdDsa);
    let payload = bailiwick_core::jcs::canonicalize_value(&case.claims().to_json()).unwrap();
    let key = &case.world.holders[1];
    let code = |jwk: serde_json::Value| {
        let header = json!({"alg": "EdDSA", "c14n": "JCS", "jwk": jwk, "typ": "at+jwt"});
        let header = bailiwick_core::jcs::canonicalize_value(&header).unwrap();
        case.verify(&sign_bytes(key, &header, &payload)).map(|_| ()).map_err(|e| e.code())
    };
    let jwk = key.verifying_key().to_jwk();
    assert_eq!(code(jwk.clone()), Ok(()));
    for (name, value) in [
        ("d", json!("AAAA")),
        ("kid", json!("k1")),
        ("x", json!("AAAA")),
        ("kty", json!("oct")),
        ("crv", json!("Ed448")),
        ("y", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        assert_eq!(code(jwk), Err(Outcome::Malformed), "{name}");
    }
}

#[test]
fn audiences_and_time_are_the_callers_to_say() {
    let case = Case::new(Algorithm::EdDsa);
    let mut claims = case.claims();
    claims.aud = "https://files.a.example".into();
    let token = UnverifiedToken::parse(&case.world.sign_grant(&claims, 1).compact).unwrap();
    let allowed = ["https://files.a.example".to_owned()];
    assert!(verify_grant(&token, &case.above, &allowed, NOW).is_ok());
    let later = UnixMillis(NOW.0 + 300_000);
    let error = verify_grant(&token, &case.above, &allowed, later).unwrap_err();
    assert_eq!(error.code(), Outcome::Expired);
}
