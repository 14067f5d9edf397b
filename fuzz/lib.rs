//! The fuzz targets of Bailiwick by name. See README.md.

mod public;

/// Runs one target on an input.
///
/// # Panics
/// A property does not hold, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let mut all = public::TARGETS.into_iter().chain(bailiwick_gateway::fuzz::TARGETS);
    let target = all.find_map(|(own, target)| (own == name).then_some(target));
    target.expect("a target of this name")(data);
}
