//! Budgets by lease: the Authority allots, draws are local and durable, what is unused goes back.

mod draw;

pub(crate) use self::draw::{Draw, Fate};
