//! What this gateway holds of budgets, and what of it is taken.

use std::collections::HashMap;
use std::sync::Arc;

use bailiwick_api::enforcement::leases::{LEASE_NEEDS_MAX, Lease, LeaseNeed, LeaseRequest};
use bailiwick_core::{DebitKind, EpochId, LeaseId, Micros, TaskId, TokenId, UnixMillis};

use super::draw::{Draw, Fate};
use super::needs::{Need, Whose};

/// Lines kept; a forgotten one is asked for again.
const LINES_MAX: usize = 200_000;
/// What is wanted beyond the need at first, in needs.
const WANT_FIRST: i64 = 4;
/// The most that is wanted, in needs.
const WANT_MAX: i64 = 4096;

/// One budget: of which task, of which hop, of which kind and key.
type BudgetKey = (TaskId, TokenId, DebitKind, Arc<str>);

/// Which hops a token's key is drawn on.
type LineKey = (TokenId, DebitKind, Arc<str>);

/// The leases of one epoch.
#[derive(Debug, Default)]
pub(super) struct Book {
    epoch: Option<EpochId>,
    held: HashMap<BudgetKey, Allotment>,
    lines: HashMap<LineKey, Vec<TokenId>>,
    /// Draws of calls that went away while their record was on its way to the disk.
    orphans: Vec<Vec<Draw>>,
}

/// What is held of one budget.
#[derive(Debug)]
struct Allotment {
    leases: Vec<HeldLease>,
    /// How many needs are wanted the next time.
    want: i64,
    /// When the last lease of it ends: until then it is remembered how much is drawn.
    ends: UnixMillis,
}

impl Default for Allotment {
    fn default() -> Self {
        Self { leases: Vec::new(), want: WANT_FIRST, ends: UnixMillis(0) }
    }
}

#[derive(Debug)]
struct HeldLease {
    id: LeaseId,
    left: Micros,
    ends: UnixMillis,
    /// Reservations that have not been settled.
    out: u32,
}

/// What [`Book::take`] came to.
pub(super) enum Taken {
    /// Everything is taken.
    Draws(Vec<Draw>),
    /// Nothing is taken; this has to be leased first, one request after another.
    Short(Vec<LeaseRequest>),
}

impl Allotment {
    fn left(&self, now: UnixMillis) -> i64 {
        let good = self.leases.iter().filter(|lease| now < lease.ends);
        good.fold(0, |sum, lease| sum.saturating_add(lease.left.0))
    }
}

impl Book {
    /// The epoch of the leases.
    pub(super) fn epoch(&self) -> Option<EpochId> {
        self.epoch
    }

    /// A lease of another epoch is drawn on no more.
    pub(super) fn enter(&mut self, epoch: EpochId) {
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.held.clear();
            self.orphans.clear();
        }
    }

    /// Takes all of the needs, or nothing.
    pub(super) fn take(&mut self, task: TaskId, needs: &[Need], now: UnixMillis) -> Taken {
        let Some(epoch) = self.epoch else { return Taken::Short(Vec::new()) };
        let mut wanted: HashMap<BudgetKey, i64> = HashMap::new();
        let mut missing = Vec::new();
        for need in needs {
            match self.nodes(need) {
                None => missing.push(self.ask_line(need)),
                Some(nodes) => {
                    for node in nodes {
                        let key = (task, node, need.kind, Arc::clone(&need.key));
                        let sum = wanted.entry(key).or_default();
                        *sum = sum.saturating_add(need.amount.0);
                    }
                }
            }
        }
        for ((_, node, kind, key), amount) in &wanted {
            let left = self.left(&(task, *node, *kind, Arc::clone(key)), now);
            if left < *amount {
                missing.push(self.ask_node(task, needs, (*node, *kind, key), amount - left));
            }
        }
        if !missing.is_empty() {
            return Taken::Short(requests(epoch, needs, missing));
        }
        let fate = Fate::of(epoch);
        let mut draws = Vec::new();
        for (key, amount) in wanted {
            self.draw(key, amount, now, &fate, &mut draws);
        }
        Taken::Draws(draws)
    }

    fn left(&self, key: &BudgetKey, now: UnixMillis) -> i64 {
        self.held.get(key).map_or(0, |held| held.left(now))
    }

    fn nodes(&self, need: &Need) -> Option<Vec<TokenId>> {
        match need.of {
            Whose::Unsettled(node, _) => Some(vec![node]),
            Whose::Line => self.line(need.jti, need).cloned().or_else(|| {
                // Below a hop whose budgets are known, there is one more: the child's own. What is held
                // of those above is drawn on; asked for again, it could be refused for being held here.
                let above = self.line(need.parent?, need)?;
                let subtree = need.kind == DebitKind::Subtree;
                subtree.then(|| [&[need.jti], above.as_slice()].concat())
            }),
        }
    }

    fn line(&self, token: TokenId, need: &Need) -> Option<&Vec<TokenId>> {
        self.lines.get(&(token, need.kind, Arc::clone(&need.key)))
    }

    fn ask_line(&self, need: &Need) -> LeaseNeed {
        LeaseNeed {
            key: need.key.to_string(),
            kind: need.kind,
            need_micros: need.amount,
            want_micros: Micros(need.amount.0.saturating_mul(WANT_FIRST)),
            node: None,
            unsettled_limit_micros: None,
        }
    }

    fn ask_node(
        &self,
        task: TaskId,
        needs: &[Need],
        (node, kind, key): (TokenId, DebitKind, &Arc<str>),
        short: i64,
    ) -> LeaseNeed {
        let want =
            self.held.get(&(task, node, kind, Arc::clone(key))).map_or(WANT_FIRST, |h| h.want);
        let limit = needs.iter().find_map(|need| match need.of {
            Whose::Unsettled(of, limit) if of == node && need.key == *key && need.kind == kind => {
                Some(limit)
            }
            _ => None,
        });
        LeaseNeed {
            key: key.to_string(),
            kind,
            need_micros: Micros(short),
            want_micros: Micros(short.saturating_mul(want)),
            node: Some(node),
            unsettled_limit_micros: limit,
        }
    }

    /// Draws on the leases that end first.
    fn draw(
        &mut self,
        key: BudgetKey,
        amount: i64,
        now: UnixMillis,
        fate: &Fate,
        draws: &mut Vec<Draw>,
    ) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let mut rest = amount;
        for lease in held.leases.iter_mut().filter(|lease| now < lease.ends) {
            let part = rest.min(lease.left.0);
            if part <= 0 {
                continue;
            }
            lease.left.0 = lease.left.0.saturating_sub(part);
            lease.out = lease.out.saturating_add(1);
            rest = rest.saturating_sub(part);
            let (task, node, kind, key) = key.clone();
            let amount = Micros(part);
            draws.push(Draw { lease: lease.id, task, node, kind, key, amount, fate: fate.clone() });
        }
    }

    /// Leases that were handed out at `now` or later.
    pub(super) fn add(
        &mut self,
        task: TaskId,
        ask: &LeaseRequest,
        leases: &[Lease],
        now: UnixMillis,
    ) {
        if self.lines.len() >= LINES_MAX {
            self.lines.clear();
        }
        for need in ask.needs.iter().filter(|need| need.node.is_none()) {
            let of = leases.iter().filter(|l| l.key == need.key && l.kind == need.kind);
            let nodes: Vec<TokenId> = of.map(|lease| lease.node).collect();
            let key: Arc<str> = need.key.as_str().into();
            if need.kind == DebitKind::Subtree {
                // Where the line passes another hop, the rest of it is that hop's own line.
                for (place, node) in nodes.iter().enumerate().skip(1) {
                    let rest = nodes.get(place..).unwrap_or_default().to_vec();
                    self.lines.entry((*node, need.kind, Arc::clone(&key))).or_insert(rest);
                }
            }
            self.lines.insert((ask.jti, need.kind, key), nodes);
        }
        for lease in leases {
            let key = (task, lease.node, lease.kind, lease.key.as_str().into());
            let held = self.held.entry(key).or_default();
            held.want = held.want.saturating_mul(2).min(WANT_MAX);
            let ends = UnixMillis(now.0.saturating_add(lease.lasts_ms));
            held.ends = held.ends.max(ends);
            let (id, left) = (lease.id, lease.amount_micros);
            held.leases.push(HeldLease { id, left, ends, out: 0 });
        }
    }

    /// A call goes away without having been told that it is recorded.
    pub(super) fn abandon(&mut self, draws: Vec<Draw>) {
        match draws.first().map(|draw| draw.fate.clone()) {
            Some(fate) if fate.is_open() => self.orphans.push(draws),
            Some(fate) => self.settle(&draws, fate.may_give_back()),
            None => {}
        }
    }

    /// Reservations come to their end; with `back` their units are free again.
    pub(super) fn settle(&mut self, draws: &[Draw], back: bool) {
        for draw in draws {
            let key = (draw.task, draw.node, draw.kind, Arc::clone(&draw.key));
            let held = self.held.get_mut(&key);
            let lease = held.and_then(|held| held.leases.iter_mut().find(|l| l.id == draw.lease));
            if let Some(lease) = lease {
                lease.out = lease.out.saturating_sub(1);
                if back {
                    lease.left = lease.left.saturating_add(draw.amount);
                }
            }
        }
    }

    /// Takes out the leases that are over (all of them, when there is no `now`) and that no
    /// reservation is out on.
    pub(super) fn over(&mut self, now: Option<UnixMillis>) -> Vec<LeaseId> {
        for draws in std::mem::take(&mut self.orphans) {
            self.abandon(draws);
        }
        let mut over = Vec::new();
        for held in self.held.values_mut() {
            held.leases.retain(|lease| {
                // One that is used up has nothing to give back, and is settled with the others.
                let ends = now.is_none_or(|now| now >= lease.ends || lease.left.0 <= 0);
                let goes = ends && lease.out == 0;
                if goes {
                    over.push(lease.id);
                    if lease.left.0 > 0 {
                        held.want = (held.want / 2).max(WANT_FIRST);
                    }
                }
                !goes
            });
        }
        self.held
            .retain(|_, held| !held.leases.is_empty() || now.is_some_and(|now| now < held.ends));
        over
    }
}

/// What is missing as requests, none larger than may be asked.
fn requests(epoch: EpochId, needs: &[Need], missing: Vec<LeaseNeed>) -> Vec<LeaseRequest> {
    let Some(jti) = needs.first().map(|need| need.jti) else { return Vec::new() };
    let request = |needs: &[LeaseNeed]| LeaseRequest { epoch, jti, needs: needs.to_vec() };
    missing.chunks(LEASE_NEEDS_MAX).map(request).collect()
}

#[cfg(test)]
mod tests;
