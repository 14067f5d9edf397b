//! An A2A agent behind the gateway.

use serde::Deserialize;

/// An A2A agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct A2aConfig {}
