//! Facts as Cedar sees them: principal, action, resource, context and the entities behind them.

mod arguments;

use std::collections::HashSet;

use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::ScopeForm;
use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};

use crate::act::Act;
use crate::facts::{AgentFacts, Facts};
use crate::names::{Action, Names, uid};
use crate::need::Needs;

/// Groups, approvals and labels a request may carry; more is refused.
const LIST_MAX: usize = 1_024;

/// A request that cannot be put to policy.
#[derive(Debug)]
pub(crate) struct Unaskable {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

impl Unaskable {
    fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: reason.into() }
    }

    fn cedar(fault: impl std::fmt::Display) -> Self {
        Self::new(Outcome::PolicyUnavailable, format!("the request cannot be expressed: {fault}"))
    }
}

/// Who does what to what, before any fact is looked at.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) principal: EntityUid,
    pub(crate) principal_groups: Vec<EntityUid>,
    pub(crate) action: &'a Action,
    pub(crate) resource: EntityUid,
    pub(crate) resource_groups: Vec<EntityUid>,
}

impl<'a> Frame<'a> {
    /// The frame of a request.
    ///
    /// # Errors
    ///
    /// When it breaks a bound, or lacks what its act is about.
    pub(crate) fn new(names: &'a Names, act: &Act, facts: &Facts) -> Result<Self, Unaskable> {
        bounded(facts)?;
        let groups_of_agent = |agent: &AgentFacts| {
            vec![uid(&names.team, &agent.owner), uid(&names.trust_domain, &agent.trust_domain)]
        };
        let actor = || uid(&names.agent, facts.actor.id.as_ref());
        let (principal, principal_groups) = match act {
            Act::StartTask => (
                uid(&names.subject, facts.subject.id.as_ref()),
                facts.subject.groups.iter().map(|group| uid(&names.group, group)).collect(),
            ),
            _ => (actor(), groups_of_agent(&facts.actor)),
        };
        let (resource, resource_groups) = match act {
            Act::StartTask => (uid(&names.workflow, facts.task.workflow.as_ref()), Vec::new()),
            Act::Delegate => {
                let Some(delegatee) = &facts.delegatee else {
                    let reason = "the agent that is handed authority is not known";
                    return Err(Unaskable::new(Outcome::AgentUnregistered, reason));
                };
                (uid(&names.agent, delegatee.id.as_ref()), groups_of_agent(delegatee))
            }
            Act::Invoke { scope } => {
                if scope.form() == ScopeForm::Wildcard || Act::RESERVED.contains(&scope.as_str()) {
                    let reason = format!("`{scope}` is not a scope that can be used for itself");
                    return Err(Unaskable::new(Outcome::Malformed, reason));
                }
                let system = vec![uid(&names.system, &facts.resource.system)];
                (uid(&names.resource, &facts.resource.id), system)
            }
            Act::CrossDomain { domain } => (uid(&names.trust_domain, domain), Vec::new()),
        };
        let action = names.action(act);
        Ok(Self { principal, principal_groups, action, resource, resource_groups })
    }
}

fn bounded(facts: &Facts) -> Result<(), Unaskable> {
    let lists = [
        ("groups", facts.subject.groups.len()),
        ("attributes", facts.subject.attributes.len()),
        ("approvals", facts.approvals.len()),
        ("labels", facts.resource.labels.len()),
        ("arguments", facts.arguments.len()),
    ];
    match lists.into_iter().find(|(_, length)| *length > LIST_MAX) {
        Some((what, length)) => Err(Unaskable::new(
            Outcome::Malformed,
            format!("{length} {what} are more than the {LIST_MAX} that policy looks at"),
        )),
        None => Ok(()),
    }
}

/// Builds what Cedar evaluates, with the facts that are needed and no others.
pub(crate) fn build(
    names: &Names,
    frame: Frame<'_>,
    act: &Act,
    facts: &Facts,
    needs: Needs,
) -> Result<(Request, Entities), Unaskable> {
    let entities = entities(names, &frame, act, facts, needs)?;
    let context = context(names, facts, needs)?;
    let request =
        Request::new(frame.principal, frame.action.uid.clone(), frame.resource, context, None)
            .map_err(Unaskable::cedar)?;
    Ok((request, entities))
}

type Pairs = Vec<(String, RestrictedExpression)>;

/// Members of a record, as far as they are needed.
struct Members {
    needs: Needs,
    pairs: Pairs,
}

impl Members {
    fn new(needs: Needs) -> Self {
        Self { needs, pairs: Pairs::with_capacity(8) }
    }

    fn put(
        mut self,
        need: Needs,
        name: &str,
        value: impl FnOnce() -> RestrictedExpression,
    ) -> Self {
        if self.needs.any(need) {
            self.pairs.push((name.to_owned(), value()));
        }
        self
    }

    fn record(self) -> RestrictedExpression {
        // INVARIANT: a record fails only on a member that is there twice; each name is put once.
        RestrictedExpression::new_record(self.pairs)
            .unwrap_or_else(|_| RestrictedExpression::new_bool(false))
    }
}

fn context(names: &Names, facts: &Facts, needs: Needs) -> Result<Context, Unaskable> {
    let of_held = (Needs::HELD_SCOPES, Needs::HELD_CONSTRAINED);
    let of_requested = (Needs::REQUESTED_SCOPES, Needs::REQUESTED_CONSTRAINED);
    let members = Members::new(needs)
        .put(Needs::AGENT, "agent", || entity(uid(&names.agent, facts.actor.id.as_ref())))
        .put(Needs::APPROVALS, "approvals", || strings(facts.approvals.iter()))
        .put(Needs::ARGUMENTS, "arguments", || entity(names.arguments.clone()))
        .put(Needs::BINDING, "binding", || names.binding(facts.binding))
        .put(Needs::CHAIN, "chain", || chain(facts, needs))
        .put(Needs::EFFECT, "effect", || names.effect(facts.effect))
        .put(Needs::HELD, "held", || authority(&facts.held, needs, of_held))
        .put(Needs::OFFLINE, "offline", || RestrictedExpression::new_bool(facts.offline))
        .put(Needs::PROVENANCE, "provenance", || names.provenance(facts.provenance))
        .put(Needs::REQUESTED, "requested", || authority(&facts.requested, needs, of_requested))
        .put(Needs::SENSITIVITY, "sensitivity", || names.sensitivity(facts.sensitivity))
        .put(Needs::SUBJECT, "subject", || entity(uid(&names.subject, facts.subject.id.as_ref())))
        .put(Needs::TASK, "task", || task(names, facts, needs))
        .put(Needs::TTL, "ttl_seconds", || long(facts.ttl_seconds));
    Context::from_pairs(members.pairs).map_err(Unaskable::cedar)
}

fn chain(facts: &Facts, needs: Needs) -> RestrictedExpression {
    let chain = &facts.chain;
    Members::new(needs)
        .put(Needs::CHAIN_AGENTS, "agents", || strings(chain.agents.iter()))
        .put(Needs::CHAIN_DEPTH, "depth", || long(u64::from(chain.depth)))
        .put(Needs::CHAIN_FANOUT, "fanout", || long(u64::from(chain.fanout)))
        .put(Needs::CHAIN_MAX_DEPTH, "max_depth", || long(u64::from(chain.max_depth)))
        .put(Needs::CHAIN_PATH, "path", || string(&chain.agents.join(" > ")))
        .record()
}

fn authority(
    held: &HeldAuthority,
    needs: Needs,
    (scopes, constrained): (Needs, Needs),
) -> RestrictedExpression {
    Members::new(needs)
        .put(scopes, "scopes", || strings(held.scopes.iter()))
        .put(constrained, "constrained", || strings(held.constraints.iter().map(|one| one.key())))
        .record()
}

fn task(names: &Names, facts: &Facts, needs: Needs) -> RestrictedExpression {
    let task = &facts.task;
    let left = task.deadline_seconds_left;
    let workflow = || entity(uid(&names.workflow, task.workflow.as_ref()));
    let ceiling = || names.sensitivity(task.sensitivity_ceiling);
    Members::new(needs)
        .put(Needs::TASK_AGE, "age_seconds", || long(task.age_seconds))
        .put(Needs::TASK_DEADLINE, "deadline_seconds_left", || RestrictedExpression::new_long(left))
        .put(Needs::TASK_ENVIRONMENT, "environment", || string(&task.environment))
        .put(Needs::TASK_EXPOSURE, "exposure", || names.sensitivity(task.exposure))
        .put(Needs::TASK_ID, "id", || string(&task.id.to_string()))
        .put(Needs::TASK_PURPOSE, "purpose", || string(&task.purpose))
        .put(Needs::TASK_CEILING, "sensitivity_ceiling", ceiling)
        .put(Needs::TASK_TENANT, "tenant", || string(task.tenant.as_ref()))
        .put(Needs::TASK_WORKFLOW, "workflow", workflow)
        .record()
}

/// The entities that have attributes, tags or groups some candidate policy looks at.
fn entities(
    names: &Names,
    frame: &Frame<'_>,
    act: &Act,
    facts: &Facts,
    needs: Needs,
) -> Result<Entities, Unaskable> {
    let mut added = Vec::with_capacity(4);
    let starts = matches!(act, Act::StartTask);
    if needs.any(Needs::OF_AGENT) {
        if !starts || needs.any(Needs::AGENT) {
            added.push(agent(names, &facts.actor, needs)?);
        }
        match (&facts.delegatee, act) {
            (Some(delegatee), Act::Delegate) if delegatee.id != facts.actor.id => {
                added.push(agent(names, delegatee, needs)?);
            }
            _ => {}
        }
    }
    if needs.any(Needs::OF_SUBJECT) && (starts || needs.any(Needs::SUBJECT)) {
        added.push(subject(names, facts, needs)?);
    }
    if needs.any(Needs::OF_RESOURCE) && matches!(act, Act::Invoke { .. }) {
        added.push(resource(names, frame, facts, needs)?);
    }
    if needs.any(Needs::ARGUMENTS) {
        added.push(arguments::entity(names, &facts.arguments).map_err(Unaskable::cedar)?);
    }
    let base = frame.action.entities.clone();
    base.add_entities(added, None).map_err(Unaskable::cedar)
}

fn agent(names: &Names, agent: &AgentFacts, needs: Needs) -> Result<Entity, Unaskable> {
    let owner = uid(&names.team, &agent.owner);
    let attributes = Members::new(needs)
        .put(Needs::CLEARANCE, "clearance", || names.sensitivity(agent.clearance))
        .put(Needs::ENVIRONMENT, "environment", || string(&agent.environment))
        .put(Needs::OWNER, "owner", || entity(owner.clone()))
        .put(Needs::STATUS, "status", || names.status(agent.status))
        .put(Needs::TENANT, "tenant", || string(agent.tenant.as_ref()))
        .pairs;
    let groups = if needs.any(Needs::HIERARCHY) {
        HashSet::from([owner, uid(&names.trust_domain, &agent.trust_domain)])
    } else {
        HashSet::new()
    };
    let name = uid(&names.agent, agent.id.as_ref());
    Entity::new(name, attributes.into_iter().collect(), groups).map_err(Unaskable::cedar)
}

fn subject(names: &Names, facts: &Facts, needs: Needs) -> Result<Entity, Unaskable> {
    let subject = &facts.subject;
    let issuer = needs.any(Needs::ISSUER).then(|| ("issuer".to_owned(), string(&subject.issuer)));
    let groups: Vec<EntityUid> = if needs.any(Needs::HIERARCHY) {
        subject.groups.iter().map(|group| uid(&names.group, group)).collect()
    } else {
        Vec::new()
    };
    let tags: Pairs = if needs.any(Needs::TAGS) {
        subject.attributes.iter().map(|(name, value)| (name.clone(), string(value))).collect()
    } else {
        Pairs::new()
    };
    let name = uid(&names.subject, subject.id.as_ref());
    Entity::new_with_tags(name, issuer, groups, tags).map_err(Unaskable::cedar)
}

fn resource(
    names: &Names,
    frame: &Frame<'_>,
    facts: &Facts,
    needs: Needs,
) -> Result<Entity, Unaskable> {
    let attributes = Members::new(needs)
        .put(Needs::LABELS, "labels", || strings(facts.resource.labels.iter()))
        .put(Needs::RESOURCE_SENSITIVITY, "sensitivity", || {
            names.sensitivity(facts.resource.sensitivity)
        })
        .pairs;
    let groups = frame.resource_groups.iter().cloned().collect();
    Entity::new(frame.resource.clone(), attributes.into_iter().collect(), groups)
        .map_err(Unaskable::cedar)
}

fn entity(uid: EntityUid) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid)
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn strings<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.map(|text| string(text.as_ref())))
}

/// Cedar's integers are signed; what does not fit is far beyond every bound and stays there.
fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}
