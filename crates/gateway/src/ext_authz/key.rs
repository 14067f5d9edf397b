//! Who may ask. What is answered of a route with a connector holds a vendor's credential, so the
//! Envoy that is told it shows a key of its own: an agent on the same machine reaches the listener,
//! too.

use bailiwick_core::time::UnixMillis;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::config::{Config, RouteConfig};
use crate::connector::SecretSource;

/// Where Envoy shows its key: `initial_metadata` of its `grpc_service`.
const SHOWN: &str = "bailiwick-envoy-key";

/// The key that Envoy shows, if it has to show one.
pub(crate) struct Key(Option<SecretSource>);

/// Compiles the key.
///
/// # Errors
/// What is wrong with its source.
pub(crate) fn key(config: &Config) -> Result<Key, String> {
    let source = config.ext_authz.as_ref().and_then(|entry| entry.key.as_ref());
    source.map(|source| SecretSource::compile_for("[ext_authz] `key`", source)).transpose().map(Key)
}

impl Key {
    /// Lets whoever shows the key go on.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, which Envoy turns into a refusal of the request.
    pub(super) async fn require(
        &self,
        metadata: &MetadataMap,
        now: UnixMillis,
    ) -> Result<(), Status> {
        let Some(source) = &self.0 else { return Ok(()) };
        let key = source.get(now).await.map_err(|fault| {
            tracing::error!(%fault, "the key that Envoy shows cannot be read");
            Status::unavailable("the gateway cannot read the key that Envoy shows")
        })?;
        let mut shown = metadata.get_all(SHOWN).iter();
        match (shown.next(), shown.next()) {
            (Some(value), None) if key.is(value.as_bytes()) => Ok(()),
            _ => {
                tracing::warn!("somebody asks over ext_authz without Envoy's key");
                Err(Status::unauthenticated("show `bailiwick-envoy-key`"))
            }
        }
    }
}

/// Why a route's credential cannot be given to Envoy, if it is to be.
pub(crate) fn faults(entry: &RouteConfig, config: &Config) -> Vec<String> {
    let Some(connector) = entry.connector.as_ref().filter(|connector| connector.envoy) else {
        return Vec::new();
    };
    let ours = config.ext_authz.as_ref();
    let in_query = connector.key.as_ref().is_some_and(|key| key.query.is_some());
    let checks = [
        (entry.http.is_none(), "only HTTP routes are served through Envoy"),
        (
            connector.aws.is_some(),
            "an AWS signature is over what is sent, which Envoy makes after it has asked: put the \
             gateway itself in front of this route",
        ),
        (in_query, "Envoy is told headers: a key in the query stays at the gateway"),
        (ours.is_none(), "there is no [ext_authz] for Envoy to ask"),
        (
            ours.is_some_and(|entry| entry.key.is_none()),
            "[ext_authz] has no `key`: whoever reaches its listener would be told the credential",
        ),
        (
            ours.is_some_and(|entry| !entry.listen.ip().is_loopback()),
            "[ext_authz] `listen` is not on loopback: the credential would be seen on the way",
        ),
    ];
    let found = checks.into_iter().filter(|(wrong, _)| *wrong);
    found.map(|(_, why)| format!("connector: `envoy = true`: {why}")).collect()
}

#[cfg(test)]
mod tests {
    use bailiwick_identity::private_files;
    use rstest::rstest;

    use super::*;

    const KEY: &str = "envoy-key-0123456789";
    const HTTP: &str =
        "[[route.http.operation]]\nmethod = 'GET'\npath = '/x'\nscope = 'crm.read'\n";
    const CRM: &str = "[route.connector.key]\nheader = 'X-Key'\nsecret = { env = 'PATH' }\n";

    fn config(ext_authz: &str, adapter: &str, credential: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        private_files::write(&directory.path().join("key"), KEY.as_bytes()).unwrap();
        let text = format!(
            "state_dir = 'state'\n[authority]\nissuer = 'http://127.0.0.1:1'\n[identity]\n\
             dev_agent = 'spiffe://dev.bailiwick.example/g'\n{ext_authz}\n[[route]]\nname = 'crm'\n\
             path = '/crm'\nupstream = 'http://127.0.0.1:9'\nowner = 't'\nbinding = 'wrapped'\n\
             {adapter}[route.connector]\npermissions = []\nenvoy = true\n{credential}"
        );
        Config::from_toml(&text, "gateway.toml", directory.path()).unwrap()
    }

    fn told(config: &Config) -> String {
        faults(&config.routes[0], config).join("\n")
    }

    const WHOLE: &str = "[ext_authz]\nlisten = '127.0.0.1:8433'\nkey = { env = 'PATH' }";

    #[rstest]
    #[case(WHOLE, HTTP, CRM, "")]
    #[case("", HTTP, CRM, "no [ext_authz]")]
    #[case("[ext_authz]\nlisten = '127.0.0.1:8433'", HTTP, CRM, "no `key`")]
    #[case("[ext_authz]\nlisten = '0.0.0.0:8433'\nkey = { env = 'PATH' }", HTTP, CRM, "loopback")]
    #[case(WHOLE, "[route.mcp]\n", CRM, "only HTTP routes")]
    #[case(WHOLE, HTTP, "[route.connector.key]\nquery = 'k'\nsecret = { env = 'PATH' }\n", "query")]
    #[case(
        WHOLE,
        HTTP,
        "[route.connector.aws]\nregion = 'x'\nservice = 's3'\ncredentials = { env = 'PATH' }\n",
        "an AWS signature"
    )]
    fn a_credential_that_envoy_cannot_be_given_is_told_at_the_start(
        #[case] ext_authz: &str,
        #[case] adapter: &str,
        #[case] credential: &str,
        #[case] fault: &str,
    ) {
        let told = told(&config(ext_authz, adapter, credential));
        assert!(told.contains(fault) && fault.is_empty() == told.is_empty(), "{told}");
    }

    #[tokio::test]
    async fn whoever_does_not_show_the_key_is_told_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        private_files::write(&path, KEY.as_bytes()).unwrap();
        let mut config = config(WHOLE, HTTP, CRM);
        config.ext_authz.as_mut().unwrap().key =
            Some(toml::from_str(&format!("file = '{}'", path.display())).unwrap());
        let key = key(&config).unwrap();
        let ask = async |shown: &[&str]| {
            let mut metadata = MetadataMap::new();
            for value in shown {
                metadata.append(SHOWN, value.parse().unwrap());
            }
            key.require(&metadata, UnixMillis(0)).await.map_err(|status| status.code())
        };
        assert_eq!(ask(&[KEY]).await, Ok(()));
        for shown in [&[][..], &[""], &["envoy-key"], &[KEY, KEY], &["envoy-key-0123456789 "]] {
            assert_eq!(ask(shown).await, Err(tonic::Code::Unauthenticated), "{shown:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ask(&[KEY]).await, Err(tonic::Code::Unavailable));
    }
}
