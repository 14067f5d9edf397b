//! The public key inside an X.509 certificate, read just far enough to find it.
//!
//! Nothing about the certificate is judged here: a certificate-bound token names it by its hash, so
//! whoever bound the token has validated it. Only the outer shape is read (RFC 5280 §4.1).

/// The DER `SubjectPublicKeyInfo` of a DER certificate, whole.
pub(crate) fn spki_of(certificate: &[u8]) -> Option<&[u8]> {
    let outer = element(certificate)?;
    if outer.tag != SEQUENCE || !outer.rest.is_empty() {
        return None;
    }
    let tbs = element(outer.content)?;
    let mut rest = if tbs.tag == SEQUENCE { tbs.content } else { return None };
    let first = element(rest)?;
    if first.tag == VERSION {
        rest = first.rest;
    }
    // Serial number, signature algorithm, issuer, validity, subject.
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        let skipped = element(rest)?;
        if skipped.tag != tag {
            return None;
        }
        rest = skipped.rest;
    }
    let key = element(rest)?;
    (key.tag == SEQUENCE).then_some(key.whole)
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// Tag, length and content.
    whole: &'a [u8],
    /// What follows.
    rest: &'a [u8],
}

/// Reads one element with a definite, minimal length of at most 65 535 bytes.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (tag, after) = der.split_first()?;
    let (first, after) = after.split_first()?;
    let (length, body) = match first {
        0..=0x7f => (usize::from(*first), after),
        0x81 => {
            let (length, body) = after.split_first()?;
            (usize::from(*length), body)
        }
        0x82 => {
            let (length, body) = after.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), body)
        }
        _ => return None,
    };
    let minimal = match first {
        0x81 => length > 0x7f,
        0x82 => length > 0xff,
        _ => true,
    };
    let (content, rest) = body.split_at_checked(length)?;
    let whole = der.get(..der.len() - rest.len())?;
    minimal.then_some(Element { tag: *tag, content, whole, rest })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::*;
    use crate::crypto::{SigningKey, VerifyingKey};

    #[test]
    fn finds_the_key_and_survives_damage() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(vec!["a.example".into()]).unwrap();
            let certificate = params.self_signed(&pair).unwrap();
            let key = SigningKey::from_pkcs8(&pair.serialize_der()).unwrap().verifying_key();
            let spki = spki_of(certificate.der()).unwrap();
            assert_eq!(VerifyingKey::from_spki_der(spki).unwrap(), key);
            for length in 0..certificate.der().len() {
                assert_eq!(spki_of(&certificate.der()[..length]), None);
            }
            for at in 0..certificate.der().len() {
                let mut damaged = certificate.der().to_vec();
                damaged[at] ^= 0xff;
                let _ = spki_of(&damaged);
            }
        }
        assert_eq!(spki_of(&[0x30, 0x81, 0x01, 0x00]), None, "a length that is not minimal");
    }
}
