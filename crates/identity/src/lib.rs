//! Who is calling: OIDC, SPIFFE, DPoP, mTLS, as verified types.
