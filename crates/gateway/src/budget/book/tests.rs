use bailiwick_core::LeaseId;

use super::*;

const NOW: UnixMillis = UnixMillis(1_000);
const KEY: &str = "pay:calls";

fn task() -> TaskId {
    TaskId::from_bytes([1; 16])
}

fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 16])
}

/// One call by a token whose parent is that, if it is known to be.
fn call(jti: u8, parent: Option<u8>, kind: DebitKind) -> [Need; 1] {
    let (jti, parent) = (token(jti), parent.map(token));
    let (key, amount) = (KEY.into(), Micros::units(1));
    [Need { of: Whose::Line, jti, parent, kind, key, amount }]
}

fn book() -> Book {
    let mut book = Book::default();
    book.enter(EpochId::from_bytes([9; 16]));
    book
}

/// The hops that a refusal to draw asks for: the whole line is `None`.
fn asked(book: &mut Book, needs: &[Need]) -> Vec<Option<TokenId>> {
    match book.take(task(), needs, NOW) {
        Taken::Draws(_) => Vec::new(),
        Taken::Short(requests) => {
            requests.iter().flat_map(|ask| ask.needs.iter().map(|need| need.node)).collect()
        }
    }
}

/// The Authority leases one unit of each hop that was asked for; a line is those `nodes`.
fn grant(book: &mut Book, needs: &[Need], nodes: &[u8]) {
    let Taken::Short(requests) = book.take(task(), needs, NOW) else { panic!("nothing is short") };
    for ask in requests {
        let leases: Vec<Lease> = nodes
            .iter()
            .map(|node| Lease {
                id: LeaseId::from_bytes([*node; 16]),
                node: token(*node),
                key: KEY.to_owned(),
                kind: needs[0].kind,
                amount_micros: Micros::units(1),
                lasts_ms: 60_000,
                expires: UnixMillis(61_000),
            })
            .collect();
        book.add(task(), &ask, &leases, NOW);
    }
}

fn nodes(book: &mut Book, needs: &[Need]) -> Vec<TokenId> {
    let Taken::Draws(draws) = book.take(task(), needs, NOW) else { panic!("something is short") };
    let mut nodes: Vec<TokenId> = draws.iter().map(|draw| draw.node).collect();
    nodes.sort_unstable();
    nodes
}

#[test]
fn a_child_draws_on_what_is_held_above_it_and_leases_only_its_own() {
    let mut book = book();
    let parent = call(2, Some(1), DebitKind::Subtree);
    assert_eq!(asked(&mut book, &parent), [None]);
    // The only units of hops 2 and 1, leased for a call that was put to a person instead.
    grant(&mut book, &parent, &[2, 1]);
    let child = call(3, Some(2), DebitKind::Subtree);
    assert_eq!(asked(&mut book, &child), [Some(token(3))]);
    grant(&mut book, &child, &[3]);
    assert_eq!(nodes(&mut book, &child), [token(1), token(2), token(3)]);
    // And they are gone, for the parent too.
    assert_eq!(asked(&mut book, &parent).len(), 2);
}

#[test]
fn an_ancestor_draws_on_what_is_held_for_its_descendant() {
    let mut book = book();
    let child = call(3, Some(2), DebitKind::Subtree);
    grant(&mut book, &child, &[3, 2, 1]);
    assert_eq!(nodes(&mut book, &call(2, Some(1), DebitKind::Subtree)), [token(1), token(2)]);
}

#[test]
fn a_sibling_leases_only_its_own() {
    let mut book = book();
    grant(&mut book, &call(3, Some(2), DebitKind::Subtree), &[3, 2, 1]);
    assert_eq!(asked(&mut book, &call(4, Some(2), DebitKind::Subtree)), [Some(token(4))]);
}

#[test]
fn a_line_is_asked_for_whole_when_it_is_not_known_to_go_on_from_there() {
    let mut book = book();
    grant(&mut book, &call(2, Some(1), DebitKind::Subtree), &[2, 1]);
    // Another parent, one that is not known for a renewal in the line, and a budget of one token alone.
    assert_eq!(asked(&mut book, &call(3, Some(5), DebitKind::Subtree)), [None]);
    assert_eq!(asked(&mut book, &call(3, None, DebitKind::Subtree)), [None]);
    grant(&mut book, &call(2, Some(1), DebitKind::Lifetime), &[2]);
    assert_eq!(asked(&mut book, &call(3, Some(2), DebitKind::Lifetime)), [None]);
}
