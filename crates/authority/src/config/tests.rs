use super::*;

const GOOD: &str = r#"
issuer = "https://authority.a.example"
data_dir = "data"
environment = "prod"
behind_tls_proxy = true
listen = "0.0.0.0:8420"

[[issuers]]
issuer = "https://idp.a.example"
kind = "subjects"
jwks_url = "https://idp.a.example/jwks"

[[issuers]]
issuer = "spiffe://a.example"
kind = "workloads"
jwks_file = "bundle.json"
trust_domain = "a.example"

[[operators]]
issuer = "https://idp.a.example"
group = "platform"
roles = ["admin"]
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, &[])
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::from_toml(text, "bailiwick.toml", Path::new("/etc/bailiwick"), &variables)
}

/// `GOOD` with one line replaced, or with text added.
fn with(from: &str, to: &str) -> String {
    assert!(from.is_empty() || GOOD.contains(from), "{from}");
    if from.is_empty() { format!("{to}\n{GOOD}") } else { GOOD.replacen(from, to, 1) }
}

#[test]
fn a_complete_file_loads_with_defaults() {
    let config = load(GOOD).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/bailiwick/data"));
    assert_eq!(config.management_listen.to_string(), "127.0.0.1:8421");
    assert_eq!(config.ledger.origin, "authority.a.example/ledger");
    assert_eq!(config.tokens.alg, TokenAlgorithm::Es256);
    assert_eq!(config.tokens.key_rotation_days, 30);
    assert_eq!(config.dpop.nonce, DpopNonce::Required);
    assert!(!config.dev);
    let issuers = config.issuer_configs();
    assert_eq!(issuers.len(), 2);
    assert_eq!(issuers[0].subject_prefix, "user:");
    assert_eq!(issuers[1].trust_domain.as_deref(), Some("a.example"));
    assert_eq!(issuers[1].jwks, JwksSource::File("/etc/bailiwick/bundle.json".into()));
}

#[test]
fn unknown_keys_are_errors_that_name_the_line_and_the_key_that_was_meant() {
    for (text, line, unknown, help) in [
        (with("data_dir", "data_dirr"), 3, "data_dirr", "did you mean `data_dir`?"),
        (with("jwks_file", "jwks-file"), 16, "jwks-file", "did you mean `jwks_file`?"),
        (
            format!("{GOOD}\n[tokens]\nkey_rotation_day = 60\n"),
            25,
            "key_rotation_day",
            "did you mean `key_rotation_days`?",
        ),
        (with("", "colour = 1"), 1, "colour", "known here: `issuer`"),
        (with("", "dev = true"), 1, "dev", "run `bailiwick serve --dev`"),
        (
            format!("{GOOD}\n[development]\non = true\n"),
            24,
            "development",
            "run `bailiwick serve --dev`",
        ),
        (with("\"admin\"", "\"admn\""), 22, "admn", "did you mean `admin`?"),
    ] {
        let error = load(&text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("bailiwick.toml:{line}:")), "{error}");
        assert!(error.contains(&format!("`{unknown}`")), "{error}");
        assert!(error.contains(help), "{error}");
    }
}

#[test]
fn text_that_is_not_toml_names_its_line() {
    let error =
        load(&with("environment = \"prod\"", "environment = prod")).unwrap_err().to_string();
    assert!(error.starts_with("bailiwick.toml:4:"), "{error}");
}

#[test]
fn each_refusal_names_its_field() {
    let table: &[(&str, &str, &str, &str)] = &[
        ("issuer = \"https://authority.a.example\"", "", "issuer", "is required"),
        ("https://authority.a.example", "http://authority.a.example", "issuer", "must be https"),
        ("https://authority.a.example", "https://authority.a.example/", "issuer", "trailing slash"),
        ("https://authority.a.example", "https://u@authority.a.example", "issuer", "no query"),
        ("https://authority.a.example", "https://authority.a.example?x=1", "issuer", "no query"),
        ("data_dir = \"data\"", "", "data_dir", "is required"),
        ("environment = \"prod\"", "", "environment", "is required"),
        ("\"prod\"", "\"Prod 1\"", "environment", "is required"),
        ("behind_tls_proxy = true", "", "listen", "is not loopback"),
        ("0.0.0.0:8420", "127.0.0.1:8421", "management_listen", "must differ"),
        ("kind = \"subjects\"", "kind = \"workloads\"", "issuers", "no one could start a task"),
        ("jwks_url = \"https://idp.a.example/jwks\"", "", "issuers[0].jwks_url", "exactly one"),
        ("https://idp.a.example/jwks", "http://idp.a.example/jwks", "issuers[0].jwks_url", "https"),
        ("https://idp.a.example/jwks", "file:///etc/x", "issuers[0].jwks_url", "https"),
        (
            "jwks_file = \"bundle.json\"",
            "jwks_file = \"b\"\njwks_url = \"https://x.example\"",
            "issuers[1].jwks_url",
            "exactly one",
        ),
        (
            "trust_domain = \"a.example\"",
            "trust_domain = \"dev.bailiwick.example\"",
            "issuers[1].trust_domain",
            "serve --dev",
        ),
        (
            "trust_domain = \"a.example\"",
            "trust_domain = \"A.example\"",
            "issuers[1].trust_domain",
            "trust domain",
        ),
        (
            "trust_domain = \"a.example\"",
            "trust_domain = \"a.example\"\nsubject_prefix = \"x:\"",
            "issuers[1].kind",
            "kind `subjects`",
        ),
        (
            "issuer = \"https://idp.a.example\"\nkind",
            "issuer = \"https://authority.a.example/dev\"\nkind",
            "issuers[0].issuer",
            "is this Authority itself",
        ),
        ("group = \"platform\"", "", "operators[0].subject", "exactly one"),
        (
            "group = \"platform\"",
            "group = \"p\"\nsubject = \"s\"",
            "operators[0].subject",
            "exactly one",
        ),
        ("group = \"platform\"", "group = \"\"", "operators[0].subject", "must not be empty"),
        ("[\"admin\"]", "[]", "operators[0].roles", "needs"),
        ("[\"admin\"]", "[\"auditor\"]", "operators", "nobody could register"),
        (
            "issuer = \"https://idp.a.example\"\ngroup",
            "issuer = \"https://other.example\"\ngroup",
            "operators[0].issuer",
            "must be one of",
        ),
    ];
    for (from, to, field, message) in table {
        let error = load(&with(from, to)).unwrap_err();
        let ConfigError::Refused(problems) = &error else { panic!("{from} -> {to}: {error}") };
        let found = problems
            .iter()
            .any(|problem| problem.field == *field && problem.message.contains(message));
        assert!(found, "{from} -> {to}: wanted {field}: {message}, got {error}");
    }
}

#[test]
fn numbers_outside_their_range_are_refused_and_inside_accepted() {
    for (good, bad) in [
        ("[tokens]\nkey_rotation_days = 365", "[tokens]\nkey_rotation_days = 366"),
        ("[tokens]\nkey_rotation_days = 1", "[tokens]\nkey_rotation_days = 0"),
        ("[ledger]\ncheckpoint_interval_ms = 20", "[ledger]\ncheckpoint_interval_ms = 1"),
        ("[limits]\nrequest_bytes_max = 16384", "[limits]\nrequest_bytes_max = 16"),
        ("[limits]\npage_rows_max = 10000", "[limits]\npage_rows_max = 10001"),
    ] {
        assert!(load(&format!("{GOOD}\n{good}\n")).is_ok(), "{good}");
        assert!(load(&format!("{GOOD}\n{bad}\n")).is_err(), "{bad}");
    }
}

#[test]
fn without_issuers_or_operators_nothing_starts() {
    let bare = "issuer = \"https://a.example\"\ndata_dir = \"d\"\nenvironment = \"prod\"\n";
    let error = load(bare).unwrap_err().to_string();
    assert!(error.contains("issuers: none is configured"), "{error}");
    assert!(error.contains("operators: none has the role `admin`"), "{error}");
}

#[test]
fn two_issuers_can_never_name_the_same_subject_or_workload() {
    let second = |prefix: &str| {
        format!(
            "{GOOD}\n[[issuers]]\nissuer = \"https://other.example\"\nkind = \"subjects\"\n\
             jwks_url = \"https://other.example/jwks\"\nsubject_prefix = \"{prefix}\"\n"
        )
    };
    for prefix in ["user:", "", "user:x"] {
        let error = load(&second(prefix)).unwrap_err().to_string();
        assert!(error.contains("issuers[2].subject_prefix"), "{prefix}: {error}");
    }
    assert!(load(&second("partner:")).is_ok());
    let workloads = |domain: &str| {
        format!(
            "{GOOD}\n[[issuers]]\nissuer = \"spiffe://other\"\nkind = \"workloads\"\n\
             jwks_file = \"b\"\ntrust_domain = \"{domain}\"\n"
        )
    };
    assert!(load(&workloads("a.example")).is_err());
    assert!(load(&workloads("b.example")).is_ok());
}

#[test]
fn plain_http_is_for_loopback() {
    for (issuer, listen, good) in [
        ("http://127.0.0.1:8420", "127.0.0.1:8420", true),
        ("http://localhost:8420", "127.0.0.1:8420", true),
        ("http://[::1]:8420", "[::1]:8420", true),
        ("http://127.0.0.1:8420", "0.0.0.0:8420", false),
        ("http://authority.a.example", "127.0.0.1:8420", false),
        ("http://localhost.a.example", "127.0.0.1:8420", false),
        ("https://authority.a.example", "127.0.0.1:8420", true),
    ] {
        let text = with("https://authority.a.example", issuer).replace("0.0.0.0:8420", listen);
        assert_eq!(load(&text).is_ok(), good, "{issuer} {listen}");
    }
}

#[test]
fn tls_needs_both_files() {
    let tls = |text: &str| format!("{}\n{text}\n", with("behind_tls_proxy = true", ""));
    assert!(load(&tls("[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"")).is_ok());
    assert!(load(&tls("[tls]\ncert = \"c.pem\"\nkey = \"\"")).is_err());
    assert!(load(&tls("[tls]\ncert = \"c.pem\"")).is_err());
}

#[test]
fn variables_override_the_file() {
    let config = load_with(
        GOOD,
        &[
            ("BAILIWICK_LISTEN", "127.0.0.1:9000"),
            ("BAILIWICK_TOKENS_KEY_ROTATION_DAYS", "7"),
            ("BAILIWICK_DPOP_NONCE", "off"),
            ("BAILIWICK_LOG_FORMAT", "json"),
            ("BAILIWICK_DATA_DIR", "/srv/bailiwick"),
            ("BAILIWICK_SERVICE_HOST", "10.0.0.1"),
            ("BAILIWICK_PORT_8420_TCP_ADDR", "10.0.0.1"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.tokens.key_rotation_days, 7);
    assert_eq!(config.dpop.nonce, DpopNonce::Off);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.data_dir, Path::new("/srv/bailiwick"));
}

#[test]
fn a_variable_that_almost_names_a_setting_is_an_error() {
    for (name, value, part) in [
        ("BAILIWICK_LISEN", "127.0.0.1:9000", "did you mean `BAILIWICK_LISTEN`?"),
        ("BAILIWICK_LEDGER_ORIGN", "x", "did you mean `BAILIWICK_LEDGER_ORIGIN`?"),
        ("BAILIWICK_LISTEN", "nowhere", "`nowhere` is not a value of it"),
        ("BAILIWICK_DPOP_NONCE", "of", "did you mean `off`?"),
        ("BAILIWICK_TOKENS_ALG", "HS256", "is not a value of it"),
    ] {
        let error = load_with(GOOD, &[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(part), "{error}");
    }
}

#[test]
fn development_is_loopback_and_never_production() {
    let dev = |listen: &str| Config::dev(Path::new("/tmp/dev"), listen.parse().unwrap());
    let config = dev("127.0.0.1:8420");
    assert!(config.validate().is_ok());
    assert!(config.dev);
    assert_eq!(config.issuer, "http://127.0.0.1:8420");
    assert_eq!(config.management_listen.to_string(), "127.0.0.1:8421");
    assert_eq!(config.operators[0].issuer, "http://127.0.0.1:8420/dev");
    assert!(dev("[::1]:8420").validate().is_ok());
    for listen in ["0.0.0.0:8420", "10.0.0.1:8420", "[::]:8420"] {
        let error = dev(listen).validate().unwrap_err().to_string();
        assert!(error.contains("loopback only"), "{error}");
    }
    for environment in ["prod", "production", "live"] {
        let mut config = dev("127.0.0.1:8420");
        config.environment = environment.to_owned();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("production environment"), "{error}");
    }
}

#[test]
fn a_file_is_read_and_a_missing_one_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bailiwick.toml");
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.contains("cannot read the configuration"), "{error}");
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(Config::load(&path).unwrap().data_dir, directory.path().join("data"));
    std::fs::write(&path, format!("# {}\n{GOOD}", "x".repeat(1024 * 1024))).unwrap();
    assert!(matches!(Config::load(&path), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn the_file_of_the_reference_loads() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = load(block).unwrap();
    assert_eq!(config.issuers.len(), 2);
    for (name, _) in env::OVERRIDES {
        assert!(page.contains(&format!("`BAILIWICK_{name}`")), "{name} is not documented");
    }
}
