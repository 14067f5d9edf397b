//! Facts as policy sees them: principal, action, resource, context and the entities behind them.

mod arguments;

use std::borrow::Cow;

use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::ScopeForm;

use crate::act::Act;
use crate::facts::{AgentFacts, Facts, Sensitivity};
use crate::names::{Action, Kind, Name, Names};
use crate::need::Needs;
use crate::question::{EntityFacts, Fact, Members, Question};

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

    pub(crate) fn cedar(fault: impl std::fmt::Display) -> Self {
        Self::new(Outcome::PolicyUnavailable, format!("the request cannot be expressed: {fault}"))
    }
}

/// Who does what to what, before any fact is looked at.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) principal: Name<'a>,
    pub(crate) principal_groups: Vec<Name<'a>>,
    pub(crate) action: &'a Action,
    pub(crate) resource: Name<'a>,
    pub(crate) resource_groups: Vec<Name<'a>>,
}

impl<'a> Frame<'a> {
    /// The frame of a request.
    ///
    /// # Errors
    ///
    /// When it breaks a bound, or lacks what its act is about.
    pub(crate) fn new(names: &'a Names, act: &'a Act, facts: &'a Facts) -> Result<Self, Unaskable> {
        bounded(facts)?;
        let (principal, principal_groups) = match act {
            Act::StartTask => {
                (Name::new(Kind::Subject, facts.subject.id.as_ref()), groups_of_subject(facts))
            }
            _ => (agent_name(&facts.actor), groups_of_agent(&facts.actor)),
        };
        let (resource, resource_groups) = match act {
            Act::StartTask => (Name::new(Kind::Workflow, facts.task.workflow.as_ref()), Vec::new()),
            Act::Delegate => {
                let Some(delegatee) = &facts.delegatee else {
                    let reason = "the agent that is handed authority is not known";
                    return Err(Unaskable::new(Outcome::AgentUnregistered, reason));
                };
                (agent_name(delegatee), groups_of_agent(delegatee))
            }
            Act::Invoke { scope } => {
                if scope.form() == ScopeForm::Wildcard || Act::RESERVED.contains(&scope.as_str()) {
                    let reason = format!("`{scope}` is not a scope that can be used for itself");
                    return Err(Unaskable::new(Outcome::Malformed, reason));
                }
                let system = vec![Name::new(Kind::System, &facts.resource.system)];
                (Name::new(Kind::Resource, &facts.resource.id), system)
            }
            Act::CrossDomain { domain } => (Name::new(Kind::TrustDomain, domain), Vec::new()),
        };
        let action = names.action(act);
        Ok(Self { principal, principal_groups, action, resource, resource_groups })
    }
}

fn agent_name(agent: &AgentFacts) -> Name<'_> {
    Name::new(Kind::Agent, agent.id.as_ref())
}

fn groups_of_agent(agent: &AgentFacts) -> Vec<Name<'_>> {
    let domain = Name::new(Kind::TrustDomain, &agent.trust_domain);
    vec![Name::new(Kind::Team, &agent.owner), domain]
}

fn groups_of_subject(facts: &Facts) -> Vec<Name<'_>> {
    facts.subject.groups.iter().map(|group| Name::new(Kind::Group, group)).collect()
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

/// The question that the policies of a frame are asked, with the facts that are needed and no
/// others.
pub(crate) fn question<'a>(
    frame: Frame<'a>,
    act: &'a Act,
    facts: &'a Facts,
    needs: Needs,
) -> Question<'a> {
    let entities = entities(&frame, act, facts, needs);
    let Frame { principal, action, resource, .. } = frame;
    Question { principal, action, resource, context: context(facts, needs), entities }
}

/// Members of a record, as far as they are needed.
struct Needed<'a> {
    needs: Needs,
    members: Members<'a>,
}

impl<'a> Needed<'a> {
    fn of(needs: Needs) -> Self {
        Self { needs, members: Members::new() }
    }

    fn put(mut self, need: Needs, name: &'static str, value: impl FnOnce() -> Fact<'a>) -> Self {
        if self.needs.any(need) {
            self.members.push((name, value()));
        }
        self
    }

    fn record(self) -> Fact<'a> {
        Fact::Record(self.members)
    }
}

fn context(facts: &Facts, needs: Needs) -> Members<'_> {
    let of_held = (Needs::HELD_SCOPES, Needs::HELD_CONSTRAINED);
    let of_requested = (Needs::REQUESTED_SCOPES, Needs::REQUESTED_CONSTRAINED);
    let subject = || Name::new(Kind::Subject, facts.subject.id.as_ref());
    let word = |kind, id| Fact::Entity(Name::new(kind, id));
    Needed::of(needs)
        .put(Needs::AGENT, "agent", || Fact::Entity(agent_name(&facts.actor)))
        .put(Needs::APPROVALS, "approvals", || texts(facts.approvals.iter()))
        .put(Needs::ARGUMENTS, "arguments", || Fact::Entity(arguments::NAME))
        .put(Needs::BINDING, "binding", || word(Kind::Binding, facts.binding.as_str()))
        .put(Needs::CHAIN, "chain", || chain(facts, needs))
        .put(Needs::EFFECT, "effect", || word(Kind::CallEffect, facts.effect.as_str()))
        .put(Needs::HELD, "held", || authority(&facts.held, needs, of_held))
        .put(Needs::OFFLINE, "offline", || Fact::Flag(facts.offline))
        .put(Needs::PROVENANCE, "provenance", || word(Kind::Provenance, facts.provenance.as_str()))
        .put(Needs::REQUESTED, "requested", || authority(&facts.requested, needs, of_requested))
        .put(Needs::SENSITIVITY, "sensitivity", || sensitivity(facts.sensitivity))
        .put(Needs::SUBJECT, "subject", || Fact::Entity(subject()))
        .put(Needs::TASK, "task", || task(facts, needs))
        .put(Needs::TTL, "ttl_seconds", || whole(facts.ttl_seconds))
        .members
}

fn chain(facts: &Facts, needs: Needs) -> Fact<'_> {
    let chain = &facts.chain;
    Needed::of(needs)
        .put(Needs::CHAIN_AGENTS, "agents", || texts(chain.agents.iter()))
        .put(Needs::CHAIN_DEPTH, "depth", || whole(u64::from(chain.depth)))
        .put(Needs::CHAIN_FANOUT, "fanout", || whole(u64::from(chain.fanout)))
        .put(Needs::CHAIN_MAX_DEPTH, "max_depth", || whole(u64::from(chain.max_depth)))
        .put(Needs::CHAIN_PATH, "path", || Fact::Text(Cow::Owned(chain.agents.join(" > "))))
        .record()
}

fn authority(
    held: &HeldAuthority,
    needs: Needs,
    (scopes, constrained): (Needs, Needs),
) -> Fact<'_> {
    let keys = || held.constraints.iter().map(|one| one.key());
    Needed::of(needs)
        .put(scopes, "scopes", || texts(held.scopes.iter()))
        .put(constrained, "constrained", || Fact::Set(keys().map(owned).collect()))
        .record()
}

fn task(facts: &Facts, needs: Needs) -> Fact<'_> {
    let task = &facts.task;
    let workflow = || Fact::Entity(Name::new(Kind::Workflow, task.workflow.as_ref()));
    let left = || Fact::Whole(task.deadline_seconds_left);
    Needed::of(needs)
        .put(Needs::TASK_AGE, "age_seconds", || whole(task.age_seconds))
        .put(Needs::TASK_DEADLINE, "deadline_seconds_left", left)
        .put(Needs::TASK_ENVIRONMENT, "environment", || text(&task.environment))
        .put(Needs::TASK_EXPOSURE, "exposure", || sensitivity(task.exposure))
        .put(Needs::TASK_ID, "id", || owned(task.id))
        .put(Needs::TASK_PURPOSE, "purpose", || text(&task.purpose))
        .put(Needs::TASK_CEILING, "sensitivity_ceiling", || sensitivity(task.sensitivity_ceiling))
        .put(Needs::TASK_TENANT, "tenant", || text(task.tenant.as_ref()))
        .put(Needs::TASK_WORKFLOW, "workflow", workflow)
        .record()
}

/// The entities that have attributes, tags or groups some candidate policy looks at.
fn entities<'a>(
    frame: &Frame<'a>,
    act: &Act,
    facts: &'a Facts,
    needs: Needs,
) -> Vec<EntityFacts<'a>> {
    let mut added = Vec::with_capacity(4);
    let starts = matches!(act, Act::StartTask);
    if needs.any(Needs::OF_AGENT) {
        if !starts || needs.any(Needs::AGENT) {
            added.push(agent(&facts.actor, needs));
        }
        match (&facts.delegatee, act) {
            (Some(delegatee), Act::Delegate) if delegatee.id != facts.actor.id => {
                added.push(agent(delegatee, needs));
            }
            _ => {}
        }
    }
    if needs.any(Needs::OF_SUBJECT) && (starts || needs.any(Needs::SUBJECT)) {
        added.push(subject(facts, needs));
    }
    if needs.any(Needs::OF_RESOURCE) && matches!(act, Act::Invoke { .. }) {
        added.push(resource(frame, facts, needs));
    }
    if needs.any(Needs::ARGUMENTS) {
        added.push(arguments::entity(&facts.arguments));
    }
    added
}

fn agent(agent: &AgentFacts, needs: Needs) -> EntityFacts<'_> {
    let status = || Fact::Entity(Name::new(Kind::AgentStatus, agent.status.as_str()));
    let owner = || Fact::Entity(Name::new(Kind::Team, &agent.owner));
    let attributes = Needed::of(needs)
        .put(Needs::CLEARANCE, "clearance", || sensitivity(agent.clearance))
        .put(Needs::ENVIRONMENT, "environment", || text(&agent.environment))
        .put(Needs::OWNER, "owner", owner)
        .put(Needs::STATUS, "status", status)
        .put(Needs::TENANT, "tenant", || text(agent.tenant.as_ref()))
        .members;
    let hierarchy = needs.any(Needs::HIERARCHY);
    let groups = if hierarchy { groups_of_agent(agent) } else { Vec::new() };
    EntityFacts { name: agent_name(agent), attributes, groups, tags: Members::new() }
}

fn subject(facts: &Facts, needs: Needs) -> EntityFacts<'_> {
    let subject = &facts.subject;
    let tags = || subject.attributes.iter().map(|(name, value)| (name.as_str(), text(value)));
    let hierarchy = needs.any(Needs::HIERARCHY);
    EntityFacts {
        name: Name::new(Kind::Subject, subject.id.as_ref()),
        attributes: Needed::of(needs)
            .put(Needs::ISSUER, "issuer", || text(&subject.issuer))
            .members,
        groups: if hierarchy { groups_of_subject(facts) } else { Vec::new() },
        tags: if needs.any(Needs::TAGS) { tags().collect() } else { Members::new() },
    }
}

fn resource<'a>(frame: &Frame<'a>, facts: &'a Facts, needs: Needs) -> EntityFacts<'a> {
    let of = &facts.resource;
    let attributes = Needed::of(needs)
        .put(Needs::LABELS, "labels", || texts(of.labels.iter()))
        .put(Needs::RESOURCE_SENSITIVITY, "sensitivity", || sensitivity(of.sensitivity))
        .members;
    let groups = frame.resource_groups.clone();
    EntityFacts { name: frame.resource, attributes, groups, tags: Members::new() }
}

fn sensitivity(of: Sensitivity) -> Fact<'static> {
    let level = Fact::Entity(Name::new(Kind::Level, of.as_str()));
    Fact::Record(vec![("level", level), ("rank", Fact::Whole(of.rank()))])
}

fn text(text: &str) -> Fact<'_> {
    Fact::Text(Cow::Borrowed(text))
}

fn owned(text: impl ToString) -> Fact<'static> {
    Fact::Text(Cow::Owned(text.to_string()))
}

fn texts<'a, T: AsRef<str> + 'a>(texts: impl Iterator<Item = &'a T>) -> Fact<'a> {
    Fact::Set(texts.map(|one| text(one.as_ref())).collect())
}

/// Cedar's integers are signed; what does not fit is far beyond every bound and stays there.
fn whole(value: u64) -> Fact<'static> {
    Fact::Whole(i64::try_from(value).unwrap_or(i64::MAX))
}
