//! From a file to a configuration that may start: parsed, resolved, validated.

use std::path::Path;

use url::{Host, Url};

use super::{Config, ConfigError, read};

/// Largest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

impl Config {
    /// Reads a file; relative paths in it are taken from its directory.
    ///
    /// # Errors
    /// Everything that [`ConfigError`] names; the gateway must not start then.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (text, file) = Self::text_of(path)?;
        Self::from_toml(&text, &file, path.parent().unwrap_or(Path::new(".")))
    }

    /// Parses and validates `text`; `file` names it in errors, `base` is where its paths begin.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str, file: &str, base: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(text, file, base)?;
        let faults = config.faults();
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::Refused(faults)) }
    }

    /// Says everything that keeps the gateway of this file from starting, at once.
    ///
    /// # Errors
    /// As [`Config::load`], and what [`StartError`](crate::StartError) would say of routes and files.
    pub fn check_file(path: &Path) -> Result<(), ConfigError> {
        let (text, file) = Self::text_of(path)?;
        let config = Self::read(&text, &file, path.parent().unwrap_or(Path::new(".")))?;
        let mut faults = config.faults();
        faults.extend(config.start_faults());
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Refused(faults)) }
    }

    fn text_of(path: &Path) -> Result<(String, String), ConfigError> {
        let file = path.display().to_string();
        let unreadable = |source| ConfigError::Unreadable { path: file.clone(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: file });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok((text, file))
    }

    fn read(text: &str, file: &str, base: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read::read(text).map_err(|faults| {
            let told = |fault: read::Fault| format!("{file}:{}: {}", fault.line, fault.message);
            ConfigError::Syntax(faults.into_iter().map(told).collect())
        })?;
        for (route, line) in config.routes.iter_mut().zip(read::lines_of(text, "route")) {
            route.line = line;
        }
        config.resolve(base);
        Ok(config)
    }

    fn resolve(&mut self, base: &Path) {
        let absolute = |path: &mut std::path::PathBuf| {
            if path.is_relative() && !path.as_os_str().is_empty() {
                *path = base.join(&path);
            }
        };
        absolute(&mut self.state_dir);
        self.identity.svid_file.iter_mut().for_each(absolute);
        if let Some(tls) = &mut self.tls {
            absolute(&mut tls.cert);
            absolute(&mut tls.key);
            tls.client_trust_domains.iter_mut().for_each(|domain| absolute(&mut domain.bundle));
        }
        if let Some(key) = self.ext_authz.as_mut().and_then(|envoy| envoy.key.as_mut()) {
            key.resolve(base);
        }
        for route in &mut self.routes {
            route.resolve(base);
        }
        if self.public_url.is_empty() {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            self.public_url = format!("{scheme}://{}", self.listen);
        }
        while self.public_url.ends_with('/') {
            self.public_url.pop();
        }
    }

    /// Moves the listener to another address; a public URL that was named after it follows.
    pub(crate) fn relocate(&mut self, listen: std::net::SocketAddr) {
        let named = format!("://{}", self.listen);
        if let Some((scheme, "")) = self.public_url.split_once(&named) {
            self.public_url = format!("{scheme}://{listen}");
        }
        self.listen = listen;
    }

    /// `host[:port]` of the public URL.
    pub(crate) fn public_authority(&self) -> Option<&str> {
        self.public_url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest))
    }

    /// The Authority's address.
    pub(crate) fn authority_url(&self) -> &str {
        self.authority.url.as_deref().unwrap_or(&self.authority.issuer)
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.state_dir.as_os_str().is_empty() {
            faults.push(
                "`state_dir` is missing: the spool of receipts must survive a restart".to_owned(),
            );
        }
        let public = Url::parse(&self.public_url).ok().filter(|url| url.host().is_some());
        if public.is_none() {
            faults.push("`public_url` is no URL, such as https://gateway.example".to_owned());
        }
        let plain = self.tls.is_none() && !self.behind_tls_proxy;
        if plain && !self.listen.ip().is_loopback() {
            faults.push(
                "`listen` is not on loopback and there is no [tls]: give a certificate, or set \
                 `behind_tls_proxy = true` when TLS ends in front of the gateway"
                    .to_owned(),
            );
        }
        let mut listeners =
            vec![("listen", self.listen), ("management_listen", self.management_listen)];
        listeners.extend(self.ext_authz.as_ref().map(|entry| ("ext_authz.listen", entry.listen)));
        while let Some((name, address)) = listeners.pop() {
            if address.port() != 0
                && let Some((other, _)) = listeners.iter().find(|(_, it)| *it == address)
            {
                faults.push(format!(
                    "`{name}` and `{other}` are the same address: give each its own"
                ));
            }
        }
        if !self.management_listen.ip().is_loopback() {
            faults.push("`management_listen` must be on loopback".to_owned());
        }
        for (name, text) in
            [("authority.issuer", &*self.authority.issuer), ("authority.url", self.authority_url())]
        {
            match Url::parse(text) {
                Ok(url) if url.scheme() == "https" || is_loopback(&url) => {}
                Ok(_) => faults.push(format!("`{name}` must be https, or http on loopback")),
                Err(error) => faults.push(format!("`{name}` is no URL: {error}")),
            }
        }
        let loopback = Url::parse(self.authority_url()).is_ok_and(|url| is_loopback(&url));
        match (&self.identity.svid_file, &self.identity.dev_agent) {
            (Some(_), None) => {}
            (None, Some(_)) if loopback => {}
            (None, Some(_)) => faults.push(
                "`identity.dev_agent` is for a development Authority on loopback only; use \
                 `identity.svid_file`"
                    .to_owned(),
            ),
            _ => faults.push(
                "[identity] takes exactly one of `svid_file` and `dev_agent`: the Authority has to \
                 know which enforcement point is asking"
                    .to_owned(),
            ),
        }
        faults
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
