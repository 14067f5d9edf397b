//! From a file to a gateway that is ready: what is said on the way.

use std::path::Path;
use std::time::Duration;

use bailiwick_gateway::{Config, Server};
use reqwest::Client;
use serde_json::Value;

use crate::authority::World;
use crate::edge::Edge;

const GATEWAY: &str = "spiffe://dev.bailiwick.example/gateway/tools";

fn file(issuer: &str, identity: &str, routes: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nmanagement_listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n\
         [authority]\nissuer = \"{issuer}\"\n[identity]\n{identity}\n{routes}"
    )
}

fn route(name: &str, upstream: &str, more: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"{upstream}\"\nowner = \"t\"\n\
         binding = \"carries\"\n{more}\n[[route.http.operation]]\nmethod = \"GET\"\npath = \"/x\"\n\
         scope = \"files.read\"\n"
    )
}

fn check(dir: &Path, text: &str) -> Result<(), String> {
    let path = dir.join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    Config::check_file(&path).map_err(|error| error.to_string())
}

#[test]
fn a_check_tells_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state"), "a file").unwrap();
    let tls = "[tls]\ncert = \"no.pem\"\nkey = \"no.key\"\n";
    let routes = [
        route("one", "ftp://a.example", ""),
        route("two", "https://b.example", "upstream_tls = { ca_file = \"no.ca\" }"),
        route("two", "http://127.0.0.1:9", "carry = { trusted_keys = [\"no.jwk\"] }"),
    ];
    let text = file("http://a.example", "", &format!("{tls}{}", routes.concat()));
    let told = check(dir.path(), &text).unwrap_err();
    for part in [
        "`authority.issuer` must be https",
        "[identity] takes exactly one",
        "[tls] `cert`",
        "[tls] `key`",
        "route `one` (line 11): `upstream` has the scheme ftp",
        "route `two` (line 22): `upstream_tls.ca_file`",
        "`carry.trusted_keys`",
        "`state_dir`",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // What cannot be read at all has its line, too.
    let told = check(dir.path(), "[authority]\n[identity]\nfoo = 1\nbar = 2\n").unwrap_err();
    for part in
        ["gateway.toml:1: missing field `issuer`", "toml:3: unknown field `foo`", "toml:4: "]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The benign twin.
    std::fs::remove_file(dir.path().join("state")).unwrap();
    let dev = format!("dev_agent = \"{GATEWAY}\"");
    let good = file("http://127.0.0.1:9", &dev, &route("one", "http://127.0.0.1:9", ""));
    assert_eq!(check(dir.path(), &good), Ok(()));
}

#[test]
fn two_listeners_have_two_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let dev = format!("dev_agent = \"{GATEWAY}\"");
    let text = file("http://127.0.0.1:9", &dev, &route("one", "http://127.0.0.1:9", ""));
    let same = text.replace("127.0.0.1:0", "127.0.0.1:8430");
    let told = check(dir.path(), &same).unwrap_err();
    assert!(told.contains("`management_listen` and `listen` are the same address"), "{told}");
    assert_eq!(check(dir.path(), &text), Ok(()));
}

async fn ready(management: &str, query: &str) -> (u16, Value) {
    let http = Client::builder().no_proxy().build().unwrap();
    let reply = http.get(format!("{management}/ready{query}")).send().await.unwrap();
    let status = reply.status().as_u16();
    (status, reply.json().await.unwrap_or_default())
}

#[tokio::test]
async fn a_gateway_without_an_identity_waits_for_it_and_says_so() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let routes = route("one", "http://127.0.0.1:9", "");
    let text = file(&world.url, "svid_file = \"svid.jwt\"", &routes);
    let config = Config::from_toml(&text, "gateway.toml", dir.path()).unwrap();
    let server = Server::start(config).await.unwrap();
    let management = format!("http://{}", server.management_address().unwrap());
    let running = tokio::spawn(server.run(std::future::pending()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (status, told) = ready(&management, "").await;
    assert_eq!((status, &told["feed_age_ms"]), (503, &Value::Null), "{told}");
    let missing = told["missing"].to_string();
    assert!(missing.contains("there is no identity yet") && missing.contains("svid.jwt"), "{told}");
    // It comes, and nothing has to be started anew.
    std::fs::write(dir.path().join("svid.jwt"), world.svid(GATEWAY).await).unwrap();
    for _ in 0..200 {
        if ready(&management, "").await.0 == 200 {
            assert!(!running.is_finished());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", ready(&management, "").await);
}

#[tokio::test]
async fn readiness_is_told_for_each_sensitivity() {
    let edge = Edge::start_with("[staleness]\nrestricted_ms = 0", "").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (status, told) = ready(&edge.management, "").await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["sensitivity"]["restricted"]["fresh"], false);
    assert_eq!(told["sensitivity"]["public"]["bound_ms"], 300_000);
    assert_eq!(ready(&edge.management, "?sensitivity=internal").await.0, 200);
    let (status, told) = ready(&edge.management, "?sensitivity=restricted").await;
    assert_eq!(status, 503);
    assert!(
        told["missing"].to_string().contains("for restricted data the bound is 0 ms"),
        "{told}"
    );
    assert_eq!(ready(&edge.management, "?sensitivity=secret").await.0, 400);
}
