//! An MCP server behind the gateway.

use serde::Deserialize;

/// An MCP server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpConfig {}
