use http::Request;
use rstest::rstest;

use super::testing::{NOW, private, tag};
use super::*;

fn compile(directory: &Path, connector: &str, route: &str) -> Result<Connector, Vec<String>> {
    let secret = private(directory, "secret", "hunter2-hunter2");
    let connector = connector.replace("SECRET", &format!("{{ file = '{secret}' }}"));
    let route = if route.is_empty() { "upstream = 'https://crm.example'" } else { route };
    let text = format!(
        "name = 'crm'\npath = '/crm'\nowner = 'sales'\nbinding = 'wrapped'\n{route}\n\
         [connector]\npermissions = ['crm.read']\n{connector}"
    );
    let route: RouteConfig = toml::from_str(&text).unwrap();
    Connector::compile(route.connector.as_ref().unwrap(), &route, directory)
}

fn parts(user_agent: Option<&str>) -> Parts {
    let mut request =
        Request::get("https://crm.example/contacts?q=1").header("host", "crm.example");
    if let Some(said) = user_agent {
        request = request.header("user-agent", said);
    }
    request.header("x-audit", "agent's own").body(()).unwrap().into_parts().0
}

#[rstest]
#[case("[connector.key]\nheader = 'X-Api-Key'\nsecret = SECRET", "x-api-key", "hunter2-hunter2")]
#[case(
    "[connector.key]\nheader = 'Authorization'\nprefix = 'Bearer '\nsecret = SECRET",
    "authorization",
    "Bearer hunter2-hunter2"
)]
#[case(
    "[connector.basic]\nusername = 'svc'\npassword = SECRET",
    "authorization",
    "Basic c3ZjOmh1bnRlcjItaHVudGVyMg=="
)]
#[tokio::test]
async fn a_credential_is_put_where_the_vendor_looks_and_shown_nowhere(
    #[case] config: &str,
    #[case] header: &str,
    #[case] value: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let connector = compile(directory.path(), config, "").unwrap();
    let mut parts = parts(None);
    let echo = connector.apply(&mut parts, Some(&Bytes::new()), Some(&tag()), NOW).await.unwrap();
    assert_eq!(parts.headers[header], value);
    assert!(parts.headers[header].is_sensitive());
    let shown = format!("{connector:?} {parts:?} {echo:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("c3Zj"), "{shown}");
    assert!(echo.is_some());
}

#[tokio::test]
async fn a_credential_that_rotates_is_used_at_once_and_one_that_is_gone_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[connector.key]\nheader = 'X-Api-Key'\nsecret = SECRET";
    let connector = compile(directory.path(), config, "").unwrap();
    private(directory.path(), "secret", "hunter3-hunter3");
    let mut parts = parts(None);
    connector.apply(&mut parts, None, None, NOW).await.unwrap();
    assert_eq!(parts.headers["x-api-key"], "hunter3-hunter3");
    std::fs::remove_file(directory.path().join("secret")).unwrap();
    let stop = connector.apply(&mut parts, None, None, NOW).await.unwrap_err();
    assert_eq!(stop.code, ProblemCode::BadGateway);
    let directory = directory.path().display().to_string();
    assert!(!stop.detail.contains(&directory), "the agent learns no path: {}", stop.detail);
}

#[rstest]
#[case(Some("agent-sdk/1.0"), "agent-sdk/1.0 bailiwick/")]
#[case(None, "bailiwick/")]
#[case(Some("x Bailiwick/9 (decision=forged)"), "bailiwick/")]
#[tokio::test]
async fn a_call_says_by_which_decision_it_comes(#[case] said: Option<&str>, #[case] begins: &str) {
    let directory = tempfile::tempdir().unwrap();
    let config =
        "provenance_header = 'X-Audit'\n[connector.key]\nheader = 'X-Api-Key'\nsecret = SECRET";
    let connector = compile(directory.path(), config, "").unwrap();
    let (mut parts, tag) = (parts(said), tag());
    connector.apply(&mut parts, None, Some(&tag), NOW).await.unwrap();
    let told = parts.headers["user-agent"].to_str().unwrap();
    assert!(told.starts_with(begins), "{told}");
    assert!(told.ends_with(&format!("(decision={}; task={})", tag.decision, tag.task)), "{told}");
    assert!(!told.contains("forged"), "{told}");
    let ids = format!("decision={}; task={}; token={}", tag.decision, tag.task, tag.jti);
    assert_eq!(parts.headers["x-audit"], ids);
    // Housekeeping was not decided; what the agent put there goes nevertheless.
    let mut plumbing = self::parts(said);
    connector.apply(&mut plumbing, None, None, NOW).await.unwrap();
    assert!(!plumbing.headers.contains_key("x-audit"));
}

#[test]
fn a_connector_that_cannot_be_safe_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let faults = |config: &str, route: &str| {
        compile(directory.path(), config, route).err().unwrap_or_default()
    };
    let key = "[connector.key]\nheader = 'X-Api-Key'\nsecret = SECRET";
    assert!(faults(key, "").is_empty());
    assert!(faults(key, "upstream = 'http://127.0.0.1:1'").is_empty());
    assert!(faults(key, "upstream = 'http://crm.example'")[0].contains("plain http"));
    assert!(faults("", "")[0].contains("exactly one of"));
    assert!(
        faults(&format!("{key}\n[connector.basic]\nusername = 'a'\npassword = SECRET"), "")[0]
            .contains("exactly one of")
    );
    assert!(!faults("[connector.basic]\nusername = 'a:b'\npassword = SECRET", "").is_empty());
    assert!(!faults(&format!("provenance_header = 'Authorization'\n{key}"), "").is_empty());
    let told = faults("[connector.key]\nheader = 'X-Api-Key'\nsecret = { env = 'hunter2' }", "");
    assert!(told[0].contains("no usable variable"), "{told:?}");
}

#[test]
fn what_the_docs_show_is_a_configuration() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Routes {
        route: Vec<RouteConfig>,
    }
    let docs = [
        include_str!("../../../../docs/reference/connectors.md"),
        include_str!("../../../../docs/how-to/wrap-a-vendor.md"),
    ];
    let mut shown = 0;
    for text in docs {
        for block in text.split("```toml\n").skip(1) {
            // A block inside of a numbered step is indented; TOML does not mind.
            let block = block.split("```").next().unwrap();
            let read: Routes =
                toml::from_str(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
            assert!(read.route.iter().all(|route| route.connector.is_some()));
            shown += 1;
        }
    }
    assert!(shown >= 5, "{shown}");
}
