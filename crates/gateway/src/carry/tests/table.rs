//! The table of docs/reference/carriers.md says what each carrier keeps; each row is tried.

use super::*;

const FACTS: [&str; 6] = ["subject", "task", "token", "agents", "workflow", "decision"];

/// What a carrier made of a tag: the text that it holds, and a request that brings it back.
struct Carried {
    text: String,
    headers: HeaderMap,
    body: Option<Bytes>,
}

/// A statement's claims in the clear.
fn claims_of(statement: &str) -> String {
    let part = statement.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn in_header(carrier: &Carrier, tag: &ProvenanceTag, name: &str) -> Carried {
    let route = route("trace_state = true\nsql_comment_header = \"X-Sql-Comment\"");
    let mut all = HeaderMap::new();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    all.insert("traceparent", HeaderValue::from_static(parent));
    carrier.out(&route, &mut all, Some(tag));
    let value = all[name].clone();
    let text = value.to_str().unwrap();
    let text = match name {
        "bailiwick-provenance" => claims_of(text),
        _ => percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned(),
    };
    let name: HeaderName = name.parse().unwrap();
    Carried { text, headers: HeaderMap::from_iter([(name, value)]), body: None }
}

fn in_message(carrier: &Carrier, tag: &ProvenanceTag, at: &str) -> Carried {
    let mut message = json!({});
    carrier.out_in_message(&route(""), &mut message, at, tag);
    let carried = &message.pointer(at).unwrap()[MESSAGE_KEY];
    let statement = carried["statement"].as_str().unwrap();
    let ids = format!("{} {}", carried["task"], carried["decision"]);
    let text = format!("{ids} {}", claims_of(statement));
    Carried { text, headers: HeaderMap::new(), body: Some(message.to_string().into()) }
}

fn in_session(text: String) -> Carried {
    Carried { text, headers: HeaderMap::new(), body: None }
}

fn carry(carrier: &Carrier, tag: &ProvenanceTag, row: &str) -> Carried {
    match row {
        "HTTP, statement" => in_header(carrier, tag, "bailiwick-provenance"),
        "HTTP, id" => in_header(carrier, tag, "bailiwick-decision"),
        "MCP" => in_message(carrier, tag, "/params/_meta"),
        "A2A, JSON-RPC" => in_message(carrier, tag, "/params/message/metadata"),
        "A2A, HTTP+JSON" => in_message(carrier, tag, "/message/metadata"),
        "W3C baggage" => in_header(carrier, tag, "baggage"),
        "W3C trace context" => in_header(carrier, tag, "tracestate"),
        "SQL comment" => in_header(carrier, tag, "x-sql-comment"),
        "AWS session tags" => {
            let tags = session_tags(tag).into_iter().map(|(name, value)| format!("{name}={value}"));
            in_session(tags.collect::<Vec<_>>().join(" "))
        }
        "AWS source identity" => in_session(source_identity(tag)),
        other => panic!("a row of the table that nothing makes: {other}"),
    }
}

/// What the text keeps of the tag, in the words of the table.
fn kept(text: &str, tag: &ProvenanceTag, fact: &str) -> &'static str {
    let has = |what: &str| if text.contains(what) { "yes" } else { "–" };
    match fact {
        "subject" => has(&tag.subject),
        "task" => has(&tag.task.to_string()),
        "token" => has(&tag.jti.to_string()),
        "workflow" => has(&tag.workflow),
        "decision" => has(&tag.decision.to_string()),
        _ => {
            let there = tag.agents.iter().filter(|agent| text.contains(agent.as_str())).count();
            match there {
                0 => "–",
                1 => "the last",
                _ => "all",
            }
        }
    }
}

/// The rows of the first table of the page: name, place, and a cell for each column.
fn rows() -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/carriers.md");
    let page = std::fs::read_to_string(path).unwrap();
    let table = page
        .lines()
        .skip_while(|line| !line.starts_with("| carrier"))
        .take_while(|line| line.starts_with('|'));
    table
        .map(|line| {
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

#[test]
fn every_row_of_the_table_is_what_the_carrier_does() {
    let rows = rows();
    let head = &rows[0];
    assert_eq!(head[2..8], FACTS);
    assert_eq!(head[8..], ["signed", "compared"]);
    assert_eq!(rows.len(), 2 + 10, "one row a carrier");
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (carrier, other) = (carrier(here.path(), &[]), carrier(there.path(), &[]));
    let chain = chain_of(1, &["a", "b"]);
    let mut tag = tag_of(&chain);
    // Words that cannot be in a text by chance.
    tag.workflow = "pay-the-bills".to_owned();
    for row in &rows[2..] {
        let name = row[0].as_str();
        let carried = carry(&other, &tag, name);
        for (fact, said) in FACTS.iter().zip(&row[2..8]) {
            assert_eq!(said, kept(&carried.text, &tag, fact), "{name}: {fact} in {}", carried.text);
        }
        let judge = |stated: &VerifiedChain, arrived: &VerifiedChain| {
            let back = carry(&carrier, &tag_of(stated), name);
            carrier.classify(
                &route(""),
                &back.headers,
                back.body.as_ref(),
                Some(&Arc::new(arrived.clone())),
            )
        };
        let yes = |it: bool| if it { "yes" } else { "–" };
        let other_task = chain_of(2, &["a", "b"]);
        let compared = judge(&other_task, &chain) == Provenance::Substituted;
        assert_eq!(row[9], yes(compared), "{name}: compared");
        assert_eq!(judge(&chain, &chain), Provenance::Intact, "{name}: the benign twin");
        // Only what is signed tells one line of agents from another.
        let signed = judge(&chain_of(1, &["a", "c"]), &chain) == Provenance::Substituted;
        assert_eq!(row[8], yes(signed), "{name}: signed");
    }
}
