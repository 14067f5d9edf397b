//! `BAILIWICK_*` variables: each overrides one setting of the file.

use std::{fmt::Display, str::FromStr};

use super::{Config, ConfigError, DpopNonce, LogFormat, TlsConfig, TokenAlgorithm};
use crate::suggest;

const PREFIX: &str = "BAILIWICK_";

type Apply = fn(&mut Config, &str) -> Result<(), String>;

/// Every override, by the name after `BAILIWICK_`.
pub(super) const OVERRIDES: &[(&str, Apply)] = &[
    ("ISSUER", |config, value| set(&mut config.issuer, value)),
    ("LISTEN", |config, value| set(&mut config.listen, value)),
    ("MANAGEMENT_LISTEN", |config, value| set(&mut config.management_listen, value)),
    ("DATA_DIR", |config, value| {
        config.data_dir = value.into();
        Ok(())
    }),
    ("ENVIRONMENT", |config, value| set(&mut config.environment, value)),
    ("BEHIND_TLS_PROXY", |config, value| set(&mut config.behind_tls_proxy, value)),
    ("TLS_CERT", |config, value| {
        tls(config).cert = value.into();
        Ok(())
    }),
    ("TLS_KEY", |config, value| {
        tls(config).key = value.into();
        Ok(())
    }),
    ("TOKENS_ALG", |config, value| {
        let known = [("ES256", TokenAlgorithm::Es256), ("EdDSA", TokenAlgorithm::EdDsa)];
        one_of(&mut config.tokens.alg, &known, value)
    }),
    ("TOKENS_KEY_ROTATION_DAYS", |config, value| set(&mut config.tokens.key_rotation_days, value)),
    ("DPOP_NONCE", |config, value| {
        let known = [("required", DpopNonce::Required), ("off", DpopNonce::Off)];
        one_of(&mut config.dpop.nonce, &known, value)
    }),
    ("LEDGER_ORIGIN", |config, value| set(&mut config.ledger.origin, value)),
    ("LEDGER_CHECKPOINT_INTERVAL_MS", |config, value| {
        set(&mut config.ledger.checkpoint_interval_ms, value)
    }),
    ("LOG_LEVEL", |config, value| set(&mut config.log.level, value)),
    ("LOG_FORMAT", |config, value| {
        one_of(
            &mut config.log.format,
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            value,
        )
    }),
];

/// Applies the overrides among `variables`.
///
/// A variable that almost names a setting is an error. One that resembles none is left alone:
/// orchestrators put variables of their own under the name of a service (`BAILIWICK_SERVICE_HOST`,
/// `BAILIWICK_PORT_8420_TCP`), and the CLI has some too.
pub(super) fn apply(
    config: &mut Config,
    variables: &[(String, String)],
) -> Result<(), ConfigError> {
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let fault = |message| ConfigError::Environment { variable: variable.clone(), message };
        match OVERRIDES.iter().find(|(known, _)| *known == name) {
            Some((_, apply)) => apply(config, value).map_err(fault)?,
            None => {
                let known = OVERRIDES.iter().map(|(known, _)| *known);
                if let Some(meant) = suggest::nearest(name, known) {
                    return Err(fault(format!("no such setting; did you mean `{PREFIX}{meant}`?")));
                }
            }
        }
    }
    Ok(())
}

fn set<T: FromStr<Err: Display>>(target: &mut T, value: &str) -> Result<(), String> {
    *target = value.parse().map_err(|error| format!("`{value}` is not a value of it: {error}"))?;
    Ok(())
}

fn one_of<T: Copy>(target: &mut T, known: &[(&str, T)], value: &str) -> Result<(), String> {
    let found = known.iter().find(|(name, _)| *name == value);
    let (_, chosen) = found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("`{value}` is not a value of it; {}", suggest::hint(value, &names))
    })?;
    *target = *chosen;
    Ok(())
}

fn tls(config: &mut Config) -> &mut TlsConfig {
    config.tls.get_or_insert_with(|| TlsConfig {
        cert: "".into(),
        key: "".into(),
        client_trust_domains: Vec::new(),
    })
}
