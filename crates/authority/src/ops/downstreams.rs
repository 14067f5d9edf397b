//! A gateway says what stands behind it. What it says anew is a leaf of the ledger.

use std::collections::BTreeSet;

use bailiwick_api::ProblemCode;
use bailiwick_api::enforcement::downstreams::{
    DOWNSTREAM_NEEDS_MAX, DOWNSTREAMS_MAX, Downstream, DownstreamsReply, DownstreamsReport,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::{ReceiptKind, record};
use bailiwick_policy::Binding;
use serde_json::json;

use crate::authority::Authority;
use crate::fault::Stop;
use crate::model::{DownstreamsRecord, Effect};
use crate::registry::AgentEntry;
use crate::spine::Event;

/// Bytes of one name.
const NAME_BYTES_MAX: usize = 256;
/// How often a declaration is tried against another process of the same gateway.
const TRIES: usize = 4;

/// Takes what a gateway declares.
///
/// # Errors
///
/// The declaration has no form, or nothing can be recorded now.
pub(crate) async fn declare(
    authority: &Authority,
    point: &AgentEntry,
    report: DownstreamsReport,
) -> Result<DownstreamsReply, Stop> {
    check(&report).map_err(|what| Stop::new(Outcome::Malformed, what))?;
    let unwritable = |error: serde_json::Error| Stop::new(ProblemCode::Internal, error.to_string());
    let document = serde_json::to_value(&report).map_err(unwritable)?;
    let gateway = &point.document.id;
    for _ in 0..TRIES {
        let known = authority.store.downstreams_of(gateway).await?;
        let version = match &known {
            Some(known) if known.document == document => {
                return Ok(DownstreamsReply { version: known.version, changed: false });
            }
            Some(known) => known.version.saturating_add(1),
            None => 1,
        };
        let now = authority.clock.now();
        let event = Event {
            kind: ReceiptKind::System,
            time_ms: now.0,
            subject_ids: vec![gateway.to_string()],
            payload: json!({
                "v": 1, "type": "downstreams_declared", "gateway": gateway, "version": version,
                "routes": document.get("routes"), "time": now.0,
            }),
        };
        let record_ = DownstreamsRecord {
            gateway: gateway.clone(),
            version,
            declared_ms: now,
            document: document.clone(),
        };
        let effect = Effect::DeclareDownstreams(Box::new(record_));
        match record(&authority.store, event, effect).await.map_err(|error| error.error) {
            Ok(_) => return Ok(DownstreamsReply { version, changed: true }),
            Err(error) if error.refused().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let detail = "the gateway's processes declare different downstreams at once; try again";
    Err(Stop::new(ProblemCode::VersionConflict, detail))
}

fn check(report: &DownstreamsReport) -> Result<(), String> {
    if report.routes.len() > DOWNSTREAMS_MAX {
        return Err(format!("at most {DOWNSTREAMS_MAX} routes"));
    }
    let names: BTreeSet<&str> = report.routes.iter().map(|it| it.route.as_str()).collect();
    if names.len() != report.routes.len() {
        return Err("two routes have one name".to_owned());
    }
    report.routes.iter().try_for_each(check_route)
}

fn check_route(route: &Downstream) -> Result<(), String> {
    let names = [&route.route, &route.system, &route.owner, &route.protocol];
    if names.iter().any(|it| it.is_empty() || it.len() > NAME_BYTES_MAX) {
        return Err(format!("a name of 1 to {NAME_BYTES_MAX} bytes is missing"));
    }
    if route.binding.parse::<Binding>().is_err() {
        return Err("`binding` is verifies, carries, wrapped or opaque".to_owned());
    }
    let kinds = ["key", "basic", "oauth", "aws"];
    if route.credential.as_ref().is_some_and(|it| !kinds.contains(&it.kind.as_str())) {
        return Err("`kind` is key, basic, oauth or aws".to_owned());
    }
    if route.needs.len() > DOWNSTREAM_NEEDS_MAX {
        return Err(format!("at most {DOWNSTREAM_NEEDS_MAX} needs of one route"));
    }
    Ok(())
}
