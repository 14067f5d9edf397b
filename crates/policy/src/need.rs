//! Which facts a policy looks at.
//!
//! Building a Cedar request costs more than evaluating a short policy, so only the facts that
//! some candidate policy can reach are put into it. What a policy reaches is read from its JSON
//! form once, at load; in doubt everything is needed.

use serde_json::Value;

/// A set of facts, one bit for each leaf of the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs(u64);

macro_rules! needs {
    ($($name:ident = $path:literal,)+) => {
        /// Leaves by their path.
        const LEAVES: &[(&str, Needs)] = &[$(($path, Needs::$name),)+];

        impl Needs {
            needs!(@bits 0; $($name)+);
        }
    };
    (@bits $bit:expr; $name:ident $($rest:ident)*) => {
        pub(crate) const $name: Needs = Needs(1 << ($bit));
        needs!(@bits $bit + 1; $($rest)*);
    };
    (@bits $bit:expr;) => {};
}

needs! {
    AGENT = "context.agent",
    APPROVALS = "context.approvals",
    ARGUMENTS = "context.arguments",
    BINDING = "context.binding",
    CHAIN_AGENTS = "context.chain.agents",
    CHAIN_DEPTH = "context.chain.depth",
    CHAIN_FANOUT = "context.chain.fanout",
    CHAIN_MAX_DEPTH = "context.chain.max_depth",
    CHAIN_PATH = "context.chain.path",
    EFFECT = "context.effect",
    HELD_CONSTRAINED = "context.held.constrained",
    HELD_SCOPES = "context.held.scopes",
    OFFLINE = "context.offline",
    PROVENANCE = "context.provenance",
    REQUESTED_CONSTRAINED = "context.requested.constrained",
    REQUESTED_SCOPES = "context.requested.scopes",
    SENSITIVITY = "context.sensitivity",
    SUBJECT = "context.subject",
    TASK_AGE = "context.task.age_seconds",
    TASK_DEADLINE = "context.task.deadline_seconds_left",
    TASK_ENVIRONMENT = "context.task.environment",
    TASK_EXPOSURE = "context.task.exposure",
    TASK_ID = "context.task.id",
    TASK_PURPOSE = "context.task.purpose",
    TASK_CEILING = "context.task.sensitivity_ceiling",
    TASK_TENANT = "context.task.tenant",
    TASK_WORKFLOW = "context.task.workflow",
    TTL = "context.ttl_seconds",
    CLEARANCE = "entity.clearance",
    ENVIRONMENT = "entity.environment",
    ISSUER = "entity.issuer",
    LABELS = "entity.labels",
    OWNER = "entity.owner",
    RESOURCE_SENSITIVITY = "entity.sensitivity",
    STATUS = "entity.status",
    TAGS = "entity.tags",
    TENANT = "entity.tenant",
    HIERARCHY = "hierarchy",
}

/// Fields of the context that are entities: what follows is an attribute of theirs.
const ENTITIES: [&str; 3] = ["context.agent", "context.subject", "context.arguments"];

impl Needs {
    /// Everything.
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// Anything of the chain.
    pub(crate) const CHAIN: Self = Self::CHAIN_AGENTS
        .and(Self::CHAIN_DEPTH)
        .and(Self::CHAIN_FANOUT)
        .and(Self::CHAIN_MAX_DEPTH)
        .and(Self::CHAIN_PATH);
    /// Anything of the held authority.
    pub(crate) const HELD: Self = Self::HELD_CONSTRAINED.and(Self::HELD_SCOPES);
    /// Anything of the requested authority.
    pub(crate) const REQUESTED: Self = Self::REQUESTED_CONSTRAINED.and(Self::REQUESTED_SCOPES);
    /// Anything of the task.
    pub(crate) const TASK: Self = Self::TASK_AGE
        .and(Self::TASK_DEADLINE)
        .and(Self::TASK_ENVIRONMENT)
        .and(Self::TASK_EXPOSURE)
        .and(Self::TASK_ID)
        .and(Self::TASK_PURPOSE)
        .and(Self::TASK_CEILING)
        .and(Self::TASK_TENANT)
        .and(Self::TASK_WORKFLOW);
    /// Anything for which an agent must be in the entity store.
    pub(crate) const OF_AGENT: Self = Self::CLEARANCE
        .and(Self::ENVIRONMENT)
        .and(Self::OWNER)
        .and(Self::STATUS)
        .and(Self::TENANT)
        .and(Self::HIERARCHY);
    /// Anything for which the subject must be in the entity store.
    pub(crate) const OF_SUBJECT: Self = Self::ISSUER.and(Self::TAGS).and(Self::HIERARCHY);
    /// Anything for which the resource must be in the entity store.
    pub(crate) const OF_RESOURCE: Self =
        Self::LABELS.and(Self::RESOURCE_SENSITIVITY).and(Self::HIERARCHY);

    pub(crate) fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What a policy in JSON form reaches.
    pub(crate) fn of_policy(policy: &Value) -> Self {
        let mut needs = Self::default();
        for head in ["principal", "resource"] {
            let constraint = policy.get(head);
            let op = constraint.and_then(|c| c.get("op")).and_then(Value::as_str);
            let within = constraint.is_some_and(|c| c.get("in").is_some());
            match op {
                Some("All" | "==" | "is") if !within => {}
                Some("in" | "is") => needs = needs.and(Self::HIERARCHY),
                _ => return Self::ALL,
            }
        }
        match policy.get("conditions").and_then(Value::as_array) {
            Some(conditions) => conditions.iter().for_each(|condition| {
                needs.visit(condition.get("body").unwrap_or(&Value::Null), false);
            }),
            None => return Self::ALL,
        }
        needs
    }

    /// Adds what an expression reaches. `by_name` says that its value is only compared, so that
    /// of an entity nothing but the name matters.
    fn visit(&mut self, node: &Value, by_name: bool) {
        if let Some(path) = path_of(node) {
            self.reach(&path, by_name);
            return;
        }
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item, false)),
            Value::Object(members) => {
                for (op, operands) in members {
                    let compares = matches!(op.as_str(), "==" | "!=" | "in" | "is");
                    let is_within = op == "is" && operands.get("in").is_some();
                    let of_action = operands.pointer("/left/Var").is_some_and(|v| v == "action");
                    if (op == "in" || is_within) && !of_action {
                        *self = self.and(Self::HIERARCHY);
                    }
                    if matches!(op.as_str(), "getTag" | "hasTag") {
                        self.tags(operands);
                    } else {
                        self.operands(operands, compares && members.len() == 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn operands(&mut self, operands: &Value, by_name: bool) {
        match operands {
            Value::Object(members) => members.values().for_each(|one| self.visit(one, by_name)),
            Value::Array(items) => items.iter().for_each(|one| self.visit(one, by_name)),
            _ => {}
        }
    }

    /// Adds what reading a tag reaches.
    fn tags(&mut self, operands: &Value) {
        match operands.get("left").and_then(path_of) {
            Some(path) if split_entity(&path).is_some_and(|(_, attribute)| attribute.is_none()) => {
                self.reach(&path, true);
                *self = self.and(Self::TAGS);
            }
            _ => self.operands(operands, false),
        }
        self.visit(operands.get("right").unwrap_or(&Value::Null), false);
    }

    fn reach(&mut self, path: &str, by_name: bool) {
        if path == "action" {
            return;
        }
        if path == "context" {
            *self = Self::ALL;
            return;
        }
        let (entity, attribute) = match split_entity(path) {
            Some(parts) => parts,
            None => {
                self.take(path);
                return;
            }
        };
        self.take(entity);
        match attribute {
            Some(attribute) => self.take(&format!("entity.{attribute}")),
            None if by_name => {}
            None => self.take("entity"),
        }
    }

    /// Adds every leaf at, below or above a path.
    fn take(&mut self, path: &str) {
        for (leaf, bit) in LEAVES {
            if is_at_or_below(leaf, path) || is_at_or_below(path, leaf) {
                *self = self.and(*bit);
            }
        }
    }
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Splits a path at the entity in it.
fn split_entity(path: &str) -> Option<(&str, Option<&str>)> {
    ["principal", "resource"].into_iter().chain(ENTITIES).find_map(|entity| {
        let rest = path.strip_prefix(entity)?;
        match rest.strip_prefix('.') {
            Some(attribute) => Some((entity, Some(attribute))),
            None => rest.is_empty().then_some((entity, None)),
        }
    })
}

/// The dotted path of `var.attr.attr` or `var.attr has attr`; nothing else has one.
fn path_of(node: &Value) -> Option<String> {
    let members = node.as_object().filter(|members| members.len() == 1)?;
    if let Some(var) = members.get("Var") {
        return var.as_str().map(str::to_owned);
    }
    let access = members.get(".").or_else(|| members.get("has"))?;
    let mut path = path_of(access.get("left")?)?;
    path.push('.');
    path.push_str(access.get("attr")?.as_str()?);
    Some(path)
}
