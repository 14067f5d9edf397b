//! A vendor's credential: it lives here and nowhere else.

use bytes::Bytes;
use serde::Deserialize;

use crate::carry::ProvenanceTag;
use crate::config::RouteConfig;
use crate::stop::Stop;

/// A vendor's credential.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectorConfig {}

/// A vendor's credential, ready to be put into a request.
pub(crate) struct Connector;

impl Connector {
    pub(crate) fn compile(_: &ConnectorConfig, _: &RouteConfig) -> Result<Self, Vec<String>> {
        Ok(Self)
    }

    pub(crate) async fn apply(
        &self,
        _: &mut http::request::Parts,
        _: Option<&Bytes>,
        _: Option<&ProvenanceTag>,
    ) -> Result<(), Stop> {
        Ok(())
    }
}
