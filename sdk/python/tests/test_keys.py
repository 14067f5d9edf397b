import hashlib
import stat

import pytest
from conftest import jws_payload
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from bailiwick import HolderKey, LocalError, dpop
from bailiwick.keys import b64url

URL = "http://127.0.0.1:8420/oauth/token?x=1#f"


def test_thumbprint_of_rfc_8037_appendix_a():
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert (
        HolderKey(Ed25519PrivateKey.from_private_bytes(seed)).thumbprint
        == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_saved_key_is_private_and_the_same(tmp_path, algorithm):
    path = tmp_path / "holder.pem"
    key = HolderKey.generate(algorithm)
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert HolderKey.load(path).thumbprint == key.thumbprint
    with pytest.raises(FileExistsError):
        key.save(path)
    path.chmod(0o644)
    with pytest.raises(LocalError) as caught:
        HolderKey.load(path)
    assert caught.value.code == "key_file_exposed"


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_stock_library_verifies_our_proofs(algorithm):
    key = HolderKey.generate(algorithm)
    proof = dpop.proof(key, "post", URL, token="t", nonce="n")
    stock = (OKPKey if algorithm == "EdDSA" else ECKey).import_key(key.jwk)
    token = jws.deserialize_compact(proof, stock, algorithms=[algorithm])
    assert token.headers() == {"alg": algorithm, "jwk": key.jwk, "typ": "dpop+jwt"}
    claims = jws_payload(proof)
    assert claims["htm"] == "POST" and claims["htu"] == "http://127.0.0.1:8420/oauth/token" and claims["nonce"] == "n"
    assert claims["ath"] == b64url(hashlib.sha256(b"t").digest())


def test_no_two_proofs_are_alike():
    key = HolderKey.generate()
    assert len({jws_payload(dpop.proof(key, "GET", URL))["jti"] for _ in range(50)}) == 50


def test_the_private_key_is_not_in_the_text_form():
    assert "Ed25519PrivateKey" not in repr(HolderKey.generate())
