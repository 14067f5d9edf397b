//! An HTTP API behind the gateway.

use serde::Deserialize;

/// An HTTP API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {}
