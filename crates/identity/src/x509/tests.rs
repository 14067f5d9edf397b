use bailiwick_core::Outcome;
use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::*;

/// 2027-01-15, inside the validity that the certificates here have.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const AGENT: &str = "spiffe://a.example/agent/payer";

type Ca = CertifiedIssuer<'static, KeyPair>;

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2028, 1, 1);
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root(name: &str) -> Ca {
    CertifiedIssuer::self_signed(ca_params(name), key()).unwrap()
}

fn leaf_params() -> CertificateParams {
    let mut params = params("payer");
    params.subject_alt_names = vec![uri(AGENT)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn leaf(params: &CertificateParams, ca: &Ca) -> CertificateDer<'static> {
    params.signed_by(&key(), ca).unwrap().der().clone()
}

fn bundles(domain: &str, roots: &[&Ca]) -> TrustBundles {
    let mut bundles = TrustBundles::default();
    let roots: Vec<_> = roots.iter().map(|ca| ca.der().clone()).collect();
    bundles.insert(&domain.parse().unwrap(), &roots).unwrap();
    bundles
}

fn outcome(chain: &[CertificateDer<'_>], bundles: &TrustBundles) -> Option<Outcome> {
    verify_x509_svid(chain, bundles, NOW).err().map(|error| error.code())
}

#[test]
fn a_good_svid_names_the_workload_and_binds_its_certificate() {
    let ca = root("a");
    let der = leaf(&leaf_params(), &ca);
    let peer =
        verify_x509_svid(std::slice::from_ref(&der), &bundles("a.example", &[&ca]), NOW).unwrap();
    assert_eq!(peer.workload().id(), AGENT);
    assert_eq!(peer.workload().trust_domain(), Some("a.example"));
    assert_eq!(peer.workload().method(), WorkloadMethod::X509Svid);
    assert_eq!(peer.x5t_s256(), sha256(&der));
    let end = UnixMillis::from_seconds(peer.workload().expires());
    assert_eq!(peer.check_time(end), Ok(()));
    assert_eq!(peer.check_time(UnixMillis(end.0 + 1000)), Err(IdentityError::Expired));
}

#[test]
fn leaves_that_are_no_svid_are_refused() {
    let ca = root("a");
    let bundles = bundles("a.example", &[&ca]);
    assert_eq!(outcome(&[leaf(&leaf_params(), &ca)], &bundles), None);
    type Spoil = fn(&mut CertificateParams);
    let cases: [(&str, Spoil, Outcome); 14] = [
        ("no name", |p| p.subject_alt_names.clear(), Outcome::Malformed),
        (
            "two URI names",
            |p| p.subject_alt_names.push(uri("spiffe://a.example/x")),
            Outcome::Malformed,
        ),
        (
            "a URI besides",
            |p| p.subject_alt_names.push(uri("https://a.example")),
            Outcome::Malformed,
        ),
        (
            "no SPIFFE ID",
            |p| p.subject_alt_names = vec![uri("https://a.example/x")],
            Outcome::Malformed,
        ),
        ("no path", |p| p.subject_alt_names = vec![uri("spiffe://a.example")], Outcome::Malformed),
        (
            "odd path",
            |p| p.subject_alt_names = vec![uri("spiffe://a.example/x/")],
            Outcome::Malformed,
        ),
        (
            "other domain",
            |p| p.subject_alt_names = vec![uri("spiffe://b.example/x")],
            Outcome::IssuerUntrusted,
        ),
        ("a CA", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Outcome::Malformed),
        ("no key usage", |p| p.key_usages.clear(), Outcome::Malformed),
        (
            "signs certificates",
            |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign),
            Outcome::Malformed,
        ),
        ("signs CRLs", |p| p.key_usages.push(KeyUsagePurpose::CrlSign), Outcome::Malformed),
        (
            "for servers",
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            Outcome::Malformed,
        ),
        ("over", |p| p.not_after = date_time_ymd(2027, 1, 1), Outcome::Expired),
        ("not yet", |p| p.not_before = date_time_ymd(2027, 6, 1), Outcome::ClockSkew),
    ];
    for (name, spoil, want) in cases {
        let mut params = leaf_params();
        spoil(&mut params);
        assert_eq!(outcome(&[leaf(&params, &ca)], &bundles), Some(want), "{name}");
    }
    let twins: [(&str, Spoil); 3] = [
        ("a DNS name besides", |p| {
            p.subject_alt_names.push(SanType::DnsName("payer".try_into().unwrap()))
        }),
        ("no extended key usage", |p| p.extended_key_usages.clear()),
        ("an explicit end entity", |p| p.is_ca = IsCa::ExplicitNoCa),
    ];
    for (name, change) in twins {
        let mut params = leaf_params();
        change(&mut params);
        assert_eq!(outcome(&[leaf(&params, &ca)], &bundles), None, "{name}");
    }
}

#[test]
fn a_root_vouches_for_its_own_domain_only() {
    let (a, b) = (root("a"), root("b"));
    let mut both = bundles("a.example", &[&a]);
    both.insert(&"b.example".parse().unwrap(), &[b.der().clone()]).unwrap();
    assert_eq!(outcome(&[leaf(&leaf_params(), &a)], &both), None);
    let forged = leaf(&leaf_params(), &b);
    assert_eq!(outcome(&[forged], &both), Some(Outcome::IssuerUntrusted));
    let same_name = root("a");
    let lookalike = leaf(&leaf_params(), &same_name);
    assert!(outcome(&[lookalike], &both).is_some(), "the name of a CA is not its key");
    let none = TrustBundles::default();
    assert_eq!(outcome(&[leaf(&leaf_params(), &a)], &none), Some(Outcome::IssuerUntrusted));
}

#[test]
fn intermediates_are_followed_within_the_domain() {
    let ca = root("a");
    let bundles = bundles("a.example", &[&ca]);
    let chain_through = |params: CertificateParams| {
        let intermediate = CertifiedIssuer::signed_by(params, key(), &ca).unwrap();
        [leaf(&leaf_params(), &intermediate), intermediate.der().clone()]
    };
    let named = |text: &str| {
        let mut params = ca_params("i");
        params.subject_alt_names = vec![uri(text)];
        params
    };
    assert_eq!(outcome(&chain_through(ca_params("i")), &bundles), None);
    assert_eq!(outcome(&chain_through(named("spiffe://a.example")), &bundles), None);
    let foreign = outcome(&chain_through(named("spiffe://b.example")), &bundles);
    assert_eq!(foreign, Some(Outcome::IssuerUntrusted));
    let without = chain_through(ca_params("i"));
    assert_eq!(outcome(&without[..1], &bundles), Some(Outcome::IssuerUntrusted));
    let by_leaf = CertifiedIssuer::signed_by(leaf_params(), key(), &ca).unwrap();
    let chain = [leaf(&leaf_params(), &by_leaf), by_leaf.der().clone()];
    assert!(outcome(&chain, &bundles).is_some(), "a leaf signs nothing");
}

#[test]
fn roots_are_checked_when_pinned_and_end_like_everything() {
    let domain: TrustDomain = "a.example".parse().unwrap();
    let mut bundles = TrustBundles::default();
    assert!(bundles.is_empty());
    let ca = root("a");
    let not_ca = leaf(&leaf_params(), &ca);
    assert!(bundles.insert(&domain, &[not_ca]).is_err());
    let mut foreign = ca_params("b");
    foreign.subject_alt_names = vec![uri("spiffe://b.example")];
    let foreign = CertifiedIssuer::self_signed(foreign, key()).unwrap();
    assert!(bundles.insert(&domain, &[foreign.der().clone()]).is_err());
    assert!(bundles.insert_pem(&domain, b"no certificate").is_err());
    assert!(bundles.is_empty());
    bundles.insert_pem(&domain, ca.pem().as_bytes()).unwrap();
    assert_eq!(outcome(&[leaf(&leaf_params(), &ca)], &bundles), None);
    let mut over = ca_params("a");
    over.not_after = date_time_ymd(2027, 1, 1);
    let over = CertifiedIssuer::self_signed(over, key()).unwrap();
    bundles.insert(&domain, &[over.der().clone()]).unwrap();
    assert_eq!(outcome(&[leaf(&leaf_params(), &over)], &bundles), Some(Outcome::IssuerUntrusted));
}

#[test]
fn chains_are_bounded() {
    let ca = root("a");
    let bundles = bundles("a.example", &[&ca]);
    let der = leaf(&leaf_params(), &ca);
    assert_eq!(outcome(&[], &bundles), Some(Outcome::HolderBindingFailed));
    let long = vec![der.clone(); CERTIFICATES_MAX + 1];
    assert_eq!(outcome(&long, &bundles), Some(Outcome::Malformed));
    let large = CertificateDer::from(vec![0x30; CERTIFICATE_BYTES_MAX + 1]);
    assert_eq!(outcome(&[der.clone(), large], &bundles), Some(Outcome::Malformed));
    let mut padded = der.to_vec();
    padded.push(0);
    assert_eq!(outcome(&[padded.into()], &bundles), Some(Outcome::Malformed));
}

proptest! {
    #[test]
    fn no_certificate_makes_the_verifier_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let ca = root("a");
        let bundles = bundles("a.example", &[&ca]);
        prop_assert!(outcome(&[bytes.into()], &bundles).is_some());
        let mut der = leaf(&leaf_params(), &ca).to_vec();
        let at = at.index(der.len());
        prop_assume!(der[at] != to);
        der[at] = to;
        prop_assert!(outcome(&[der.into()], &bundles).is_some());
    }
}
