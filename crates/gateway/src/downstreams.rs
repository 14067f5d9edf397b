//! What stands behind this gateway, told to the Authority: at the start and when it changes.
//!
//! It is what the gap report compares decisions with, so it says what each credential can do and what
//! the operations take of it, and nothing of the credential.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::enforcement::downstreams::{
    DOWNSTREAM_NEEDS_MAX, DOWNSTREAMS_MAX, Downstream, DownstreamCredential, DownstreamsReport,
};
use bailiwick_core::permission::Need;

use crate::connector::Connector;
use crate::gateway::Gateway;
use crate::link::Link;
use crate::repeated::Repeated;
use crate::route::{Adapter, Route, Routes};

/// How often imported descriptions are looked at again.
const LOOK: Duration = Duration::from_secs(60);
/// Waits after a report that did not get through, doubling.
const RETRY: Duration = Duration::from_millis(500);

/// Operations that take what the route's credential cannot do: one of the two is declared wrongly,
/// and a call would find out at the vendor.
pub(crate) fn unmet(adapter: &Adapter, connector: &Connector) -> Vec<String> {
    let permissions = connector.permissions();
    let faults = operations(adapter).into_iter().flat_map(|(name, needs)| {
        let unmet = permissions.unmet(needs);
        unmet.into_iter().map(move |need| {
            format!(
                "{name} needs `{need}`, which the connector's permissions do not give: correct one \
                 of them"
            )
        })
    });
    faults.collect()
}

fn operations(adapter: &Adapter) -> Vec<(String, &[Need])> {
    match adapter {
        Adapter::Http(http) => http.needs().collect(),
        Adapter::Mcp(mcp) => mcp.needs().collect(),
        Adapter::A2a(_) => Vec::new(),
    }
}

/// Everything that is declared; what is more than a report holds is left out, and said.
fn report(routes: &Routes) -> DownstreamsReport {
    if routes.iter().count() > DOWNSTREAMS_MAX {
        tracing::warn!("more routes than are reported; the gap does not know the others");
    }
    let routes: Vec<Downstream> =
        routes.iter().take(DOWNSTREAMS_MAX).map(|it| downstream(it)).collect();
    DownstreamsReport { routes }
}

fn downstream(route: &Route) -> Downstream {
    let operations = operations(&route.adapter);
    let needs: BTreeSet<&Need> = operations.iter().flat_map(|(_, needs)| needs.iter()).collect();
    if needs.len() > DOWNSTREAM_NEEDS_MAX {
        tracing::warn!(route = %route.name, "more needs than are reported; the gap looks wider");
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let undeclared = operations.iter().filter(|(_, needs)| needs.is_empty()).count();
    Downstream {
        route: route.name.to_string(),
        system: route.system.clone(),
        owner: route.owner.clone(),
        binding: route.binding.as_str().to_owned(),
        protocol: match &route.adapter {
            Adapter::Http(_) => "http",
            Adapter::Mcp(_) => "mcp",
            Adapter::A2a(_) => "a2a",
        }
        .to_owned(),
        credential: route.connector.as_ref().map(|connector| DownstreamCredential {
            kind: connector.kind().to_owned(),
            permissions: (*connector.permissions()).clone(),
        }),
        needs: needs.into_iter().take(DOWNSTREAM_NEEDS_MAX).cloned().collect(),
        operations: count(operations.len()),
        undeclared: count(undeclared),
    }
}

/// Tells the Authority until it is dropped. A gateway that cannot tell goes on enforcing: what it
/// decides is recorded all the same.
pub(crate) async fn run(link: Arc<Link>, gateway: Arc<Gateway>) {
    let mut told: Option<DownstreamsReport> = None;
    let mut retry = RETRY;
    let mut repeated = Repeated::default();
    loop {
        let current = report(&gateway.routes);
        let wait = if told.as_ref() == Some(&current) {
            LOOK
        } else {
            match link.client().declare_downstreams(&current).await {
                Ok(reply) => {
                    if reply.changed {
                        tracing::info!(version = reply.version, "downstreams are declared");
                    }
                    (told, retry) = (Some(current), RETRY);
                    repeated.is_over();
                    LOOK
                }
                Err(error) => {
                    if repeated.tells(&error.to_string()) {
                        tracing::warn!(%error, "downstreams cannot be declared now");
                    }
                    retry = retry.saturating_mul(2).min(LOOK);
                    retry
                }
            }
        };
        tokio::time::sleep(wait).await;
        gateway
            .routes
            .iter()
            .filter_map(|route| route.connector.as_ref())
            .for_each(Connector::import_again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(directory: &std::path::Path, permissions: &str) -> Config {
        std::fs::write(directory.join("grants.csv"), permissions).unwrap();
        bailiwick_identity::private_files::write(&directory.join("key"), b"hunter2-hunter2")
            .unwrap();
        let text = r#"
            state_dir = "state"
            [authority]
            issuer = "http://127.0.0.1:1"
            [identity]
            dev_agent = "spiffe://dev.bailiwick.example/gateway/tools"
            [[route]]
            name = "crm"
            path = "/crm"
            upstream = "http://127.0.0.1:2"
            owner = "sales"
            binding = "wrapped"
            [[route.http.operation]]
            method = "GET"
            path = "/contacts"
            scope = "crm.read"
            needs = ["SELECT public.contact"]
            [[route.http.operation]]
            method = "GET"
            path = "/health"
            scope = "crm.read"
            [route.connector]
            import = { postgres = "grants.csv" }
            [route.connector.key]
            header = "X-Api-Key"
            secret = { file = "key" }
        "#;
        Config::from_toml(text, "gateway.toml", directory).unwrap()
    }

    const HEAD: &str = "table_schema,table_name,privilege_type,is_grantable\n";

    #[test]
    fn what_is_declared_is_told_and_nothing_of_the_credential() {
        let directory = tempfile::tempdir().unwrap();
        let grants = format!("{HEAD}public,contact,SELECT,NO\npublic,payment,UPDATE,NO\n");
        let routes = Routes::compile(&config(directory.path(), &grants)).unwrap();
        let told = report(&routes);
        let route = &told.routes[0];
        assert_eq!((route.operations, route.undeclared), (2, 1));
        assert_eq!((route.binding.as_str(), route.protocol.as_str()), ("wrapped", "http"));
        assert_eq!(route.needs[0].to_string(), "SELECT public.contact");
        let credential = route.credential.as_ref().unwrap();
        assert_eq!(
            (credential.kind.as_str(), credential.permissions.permissions().len()),
            ("key", 2)
        );
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("X-Api-Key"), "{text}");

        // A description that changes is read again; a broken one changes nothing.
        let connector = routes.iter().next().unwrap().connector.as_ref().unwrap();
        std::fs::write(directory.path().join("grants.csv"), "nonsense\n1\n").unwrap();
        connector.import_again();
        assert_eq!(report(&routes), told);
        std::fs::write(
            directory.path().join("grants.csv"),
            format!("{HEAD}public,contact,SELECT,NO\n"),
        )
        .unwrap();
        connector.import_again();
        assert_ne!(report(&routes), told);
    }

    #[test]
    fn an_operation_that_needs_what_the_credential_cannot_do_does_not_start() {
        let directory = tempfile::tempdir().unwrap();
        let grants = format!("{HEAD}public,payment,UPDATE,NO\n");
        let faults = Routes::compile(&config(directory.path(), &grants)).err().unwrap();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("`GET /contacts` needs `SELECT public.contact`"), "{faults:?}");
    }
}
