//! A vendor's credential behind the gateway.

use serde::Deserialize;

/// A vendor's credential.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectorConfig {}
