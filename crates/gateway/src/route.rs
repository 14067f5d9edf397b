//! What the gateway stands in front of, compiled from the configuration.

use std::sync::Arc;

use bailiwick_policy::{Binding, Sensitivity};
use url::Url;

use crate::a2a::A2aAdapter;
use crate::carry::CarryConfig;
use crate::config::{Config, RouteConfig};
use crate::connector::Connector;
use crate::http_api::{HttpAdapter, canonical};
use crate::mcp::McpAdapter;
use crate::upstream::{UpstreamTlsConfig, Upstreams};
use crate::{downstreams, ext_authz};

/// How a route's requests are read.
pub(crate) enum Adapter {
    /// An HTTP API.
    Http(HttpAdapter),
    /// An MCP server.
    Mcp(McpAdapter),
    /// An A2A agent.
    A2a(A2aAdapter),
}

/// One thing behind the gateway.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// Without a trailing slash; empty for the whole host.
    pub(crate) prefix: String,
    pub(crate) audience: String,
    pub(crate) system: String,
    pub(crate) owner: String,
    pub(crate) binding: Binding,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) offline_hops: bool,
    pub(crate) upstream: Upstream,
    /// The way there, where the route says whom it trusts.
    pub(crate) connections: Option<Upstreams>,
    pub(crate) adapter: Adapter,
    pub(crate) connector: Option<Connector>,
    pub(crate) carry: CarryConfig,
}

/// Where a route's requests go.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
    /// Without a trailing slash.
    base: String,
}

impl Upstream {
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`upstream` is no URL: {error}"))?;
        let scheme = match url.scheme() {
            "http" => http::uri::Scheme::HTTP,
            "https" => http::uri::Scheme::HTTPS,
            other => return Err(format!("`upstream` has the scheme {other}; use http or https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("`upstream` holds a user name or password; use a connector".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("`upstream` is a base URL: it has no query and no fragment".to_owned());
        }
        let host = url.host_str().ok_or("`upstream` names no host")?;
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let authority = host.parse().map_err(|_| "`upstream` has no usable host".to_owned())?;
        Ok(Self { scheme, authority, base: url.path().trim_end_matches('/').to_owned() })
    }

    /// The URI of a canonical path and query below the base.
    pub(crate) fn uri(&self, path_and_query: &str) -> Result<http::Uri, http::Error> {
        http::Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(match (self.base.as_str(), path_and_query) {
                ("", "") => "/".to_owned(),
                (base, path) => format!("{base}{path}"),
            })
            .build()
    }

    /// `host[:port]`, for the `Host` header.
    pub(crate) fn host(&self) -> &str {
        self.authority.as_str()
    }
}

/// Every route; the longest prefix wins.
pub(crate) struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Compiles the routes. Every fault is reported, each with the route's name.
    pub(crate) fn compile(config: &Config) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut routes: Vec<Arc<Route>> = Vec::new();
        if config.routes.is_empty() {
            faults.push("there is no [[route]]: the gateway would refuse everything".to_owned());
        }
        for entry in &config.routes {
            match Route::compile(entry, config) {
                Ok(route) => {
                    let prefix = route.prefix.to_lowercase();
                    let same = |other: &&Arc<Route>| {
                        other.prefix.to_lowercase() == prefix || other.name == route.name
                    };
                    if let Some(other) = routes.iter().find(same) {
                        faults.push(format!(
                            "{} has the name or the path of route `{}`: give it its own",
                            place(entry),
                            other.name
                        ));
                    }
                    routes.push(Arc::new(route));
                }
                Err(found) => faults
                    .extend(found.into_iter().map(|fault| format!("{}: {fault}", place(entry)))),
            }
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        if faults.is_empty() { Ok(Self(routes)) } else { Err(faults) }
    }

    /// The route that answers to a raw path, and the path below its prefix. A path that another route
    /// would answer to, once it is in its canonical form and whatever its case, is nobody's: no
    /// spelling of what one route protects is decided by the rules of another.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<(&Arc<Route>, &'p str)> {
        let found = self.0.iter().find_map(|route| Some((route, under(&route.prefix, path)?)))?;
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-_".contains(&byte);
        if path.bytes().all(plain) && !path.contains("//") {
            return Some(found);
        }
        // What has no canonical form is for the adapter to refuse.
        let Ok(segments) = canonical::segments(path) else { return Some(found) };
        let whole = format!("/{}", segments.join("/")).to_lowercase();
        let loosely = |route: &&Arc<Route>| under(&route.prefix.to_lowercase(), &whole).is_some();
        let meant = self.0.iter().find(loosely);
        meant.is_some_and(|route| Arc::ptr_eq(route, found.0)).then_some(found)
    }

    /// Every route.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

/// Which route, for whoever has to mend it.
fn place(entry: &RouteConfig) -> String {
    match entry.line {
        0 => format!("route `{}`", entry.name),
        line => format!("route `{}` (line {line})", entry.name),
    }
}

/// The path below a prefix, if it is below it.
fn under<'p>(prefix: &str, path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    match rest {
        "" => Some("/"),
        _ if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

impl Route {
    fn compile(entry: &RouteConfig, config: &Config) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if entry.name.is_empty() || entry.name.starts_with('.') || !entry.name.chars().all(plain) {
            faults.push("`name` is made of letters, digits, `-`, `_` and `.`".to_owned());
        }
        if !entry.path.starts_with('/') || entry.path.contains(['%', '?', '#', '*']) {
            faults.push("`path` is a plain prefix that begins with `/`, such as `/crm`".to_owned());
        }
        if entry.owner.trim().is_empty() {
            faults.push("`owner` is empty: somebody has to answer for the system".to_owned());
        }
        if entry.binding == Binding::Wrapped && entry.connector.is_none() && entry.mcp.is_none() {
            faults.push(
                "`binding = \"wrapped\"` needs a [route.connector], or is an MCP server of yours"
                    .to_owned(),
            );
        }
        faults.extend(entry.carry.fault());
        let upstream = Upstream::parse(&entry.upstream).map_err(|fault| faults.push(fault)).ok();
        let connections = upstream
            .as_ref()
            .map_or(Ok(None), |upstream| connections(entry.upstream_tls.as_ref(), upstream));
        let connections = connections.map_err(|found| faults.extend(found)).unwrap_or_default();
        let adapter = adapter(entry, config).map_err(|found| faults.extend(found)).ok();
        let connector = match &entry.connector {
            None => None,
            Some(connector) => Connector::compile(connector, entry, &config.state_dir)
                .map_err(|found| faults.extend(found))
                .ok(),
        };
        if let (Some(adapter), Some(connector)) = (&adapter, &connector) {
            faults.extend(downstreams::unmet(adapter, connector));
        }
        faults.extend(ext_authz::faults(entry, config));
        let (Some(upstream), Some(adapter), true) = (upstream, adapter, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Self {
            name: entry.name.as_str().into(),
            prefix: entry.path.trim_end_matches('/').to_owned(),
            audience: entry.audience.clone().unwrap_or_else(|| config.public_url.clone()),
            system: entry.system.clone().unwrap_or_else(|| entry.name.clone()),
            owner: entry.owner.clone(),
            binding: entry.binding,
            sensitivity: entry.sensitivity,
            offline_hops: entry.offline_hops,
            upstream,
            connections,
            adapter,
            connector,
            carry: entry.carry.clone(),
        })
    }
}

fn connections(
    tls: Option<&UpstreamTlsConfig>,
    upstream: &Upstream,
) -> Result<Option<Upstreams>, Vec<String>> {
    let Some(tls) = tls else { return Ok(None) };
    if upstream.scheme != http::uri::Scheme::HTTPS {
        let fault = "[route.upstream_tls] is for an `upstream` that is https; give one, or leave the \
                     table out";
        return Err(vec![fault.to_owned()]);
    }
    Upstreams::of(tls).map(Some)
}

fn adapter(entry: &RouteConfig, config: &Config) -> Result<Adapter, Vec<String>> {
    match (&entry.http, &entry.mcp, &entry.a2a) {
        (Some(http), None, None) => HttpAdapter::compile(http, entry).map(Adapter::Http),
        (None, Some(mcp), None) => {
            let others =
                config.routes.iter().filter(|it| it.mcp.is_some() && it.name != entry.name);
            let others: Vec<&str> = others.map(|other| other.name.as_str()).collect();
            McpAdapter::compile(mcp, entry, &config.state_dir, &others).map(Adapter::Mcp)
        }
        (None, None, Some(a2a)) => {
            let (url, state) = (&config.public_url, &config.state_dir);
            A2aAdapter::compile(a2a, entry, url, state).map(Adapter::A2a)
        }
        _ => Err(vec![
            "give exactly one of [route.http], [route.mcp] and [route.a2a]: it says how requests \
             are mapped to scopes"
                .to_owned(),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn routes() -> Routes {
        let one = |name: &str, path: &str| {
            format!(
                "[[route]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"http://127.0.0.1:9\"\n\
                 owner = \"t\"\nbinding = \"carries\"\n[route.http]\n[[route.http.operation]]\n\
                 method = \"GET\"\npath = \"/{{rest+}}\"\nscope = \"a.b\"\n"
            )
        };
        let text = format!(
            "listen = \"127.0.0.1:1\"\nstate_dir = \"/tmp\"\npublic_url = \"https://gateway.example\"\n\
             [authority]\nissuer = \"http://127.0.0.1:1\"\n[identity]\ndev_agent = \"spiffe://dev.bailiwick.example/g\"\n{}{}",
            one("crm", "/crm"),
            one("admin", "/crm/admin"),
        );
        let config = Config::from_toml(&text, "gateway.toml", std::path::Path::new("/")).unwrap();
        Routes::compile(&config).unwrap()
    }

    #[rstest]
    #[case("/crm/x", Some(("crm", "/x")))]
    #[case("/crm", Some(("crm", "/")))]
    #[case("/crm/%78//y/./z", Some(("crm", "/%78//y/./z")))]
    #[case("/crm/admin/x", Some(("admin", "/x")))]
    #[case("/crm/administrator", Some(("crm", "/administrator")))]
    #[case("/crm/%61dmin/x", None)]
    #[case("/crm//admin/x", None)]
    #[case("/crm/./admin/x", None)]
    #[case("/crm/x/../admin/x", None)]
    #[case("/crm/Admin/x", None)]
    #[case("/crm/ADMINISTRATOR", Some(("crm", "/ADMINISTRATOR")))]
    #[case("/crm/admin%2Fx", None)]
    #[case("/crm/admin/../x", None)]
    #[case("/crmx", None)]
    #[case("/%63rm/x", None)]
    // For the adapter, which says what is wrong with it.
    #[case("/crm/%ff", Some(("crm", "/%ff")))]
    fn no_spelling_is_decided_by_another_routes_rules(
        #[case] path: &str,
        #[case] found: Option<(&str, &str)>,
    ) {
        let routes = routes();
        let answer = routes.find(path).map(|(route, rest)| (&*route.name, rest));
        assert_eq!(answer, found);
    }
}
