//! Provenance carried on to the upstream, and read back in.

use serde::Deserialize;

/// What provenance goes along.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CarryConfig {}
