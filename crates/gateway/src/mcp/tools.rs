//! Which tools a route serves, and what calling them takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bailiwick_core::permission::{NEEDS_MAX, Need};
use bailiwick_core::scope::{Scope, ScopeForm};
use bailiwick_policy::ResourceFacts;

use super::catalogue::Catalogue;
use super::pins::{Pins, pins_path};
use super::{McpConfig, ToolConfig};
use crate::call::{CallEffect, Needs};
use crate::config::RouteConfig;
use crate::http_api::Undeclared;
use crate::reads::{ResultPlace, Trusted};

/// How old, at most, the gateway's view of a server's tools may be made.
const TOOLS_AGE_SECONDS_MAX: u64 = 3600;

/// A tool, compiled.
pub(super) struct Tool {
    pub(super) scope: Scope,
    pub(super) effect: CallEffect,
    pub(super) resource: ResourceFacts,
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) required: Vec<String>,
    pub(super) trust: Option<Trusted>,
    pub(super) needs: Needs,
}

/// Which tools there are, and what they take.
pub(super) struct Tools {
    pub(super) named: BTreeMap<String, Tool>,
    template: Option<String>,
    pub(super) resources: Option<Scope>,
    pub(super) prompts: Option<Scope>,
    /// What is touched by what nothing more is said of.
    pub(super) plain: ResourceFacts,
    pub(super) pins: Pins,
    pub(super) catalogue: Catalogue,
    pub(super) undeclared: Undeclared,
}

impl Tools {
    /// `others` are the other routes of this gateway that have tools.
    pub(super) fn compile(
        config: &McpConfig,
        route: &RouteConfig,
        state_dir: &Path,
        others: &[&str],
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let plain = ResourceFacts {
            id: route.name.clone(),
            labels: route.labels.clone(),
            sensitivity: route.sensitivity,
            system: route.system.clone().unwrap_or_else(|| route.name.clone()),
        };
        let mut named = BTreeMap::new();
        for entry in &config.tool {
            let Some(tool) = tool(entry, config, &plain, &mut faults) else { continue };
            if named.insert(entry.name.clone(), tool).is_some() {
                faults.push(format!("tool `{}` is listed twice", entry.name));
            }
        }
        if config.tool.is_empty() && config.scope_template.is_none() {
            faults.push("there is no [[route.mcp.tool]] and no `scope_template`: every call would be refused".to_owned());
        }
        if let Some(template) = &config.scope_template
            && (!template.contains("{tool}")
                || one_scope(&template.replace("{tool}", "tool")).is_none())
        {
            faults.push(format!("`scope_template`: `{template}` makes no scope; write one such as \"files.{{tool}}\""));
        }
        let mut scope = |name: &str, text: &Option<String>| {
            let text = text.as_ref()?;
            let scope = one_scope(text);
            if scope.is_none() {
                faults.push(format!("`{name}`: `{text}` is no single scope"));
            }
            scope
        };
        let resources = scope("resources_scope", &config.resources_scope);
        let prompts = scope("prompts_scope", &config.prompts_scope);
        let age = config.tools_age_seconds_max;
        if age == 0 || age > TOOLS_AGE_SECONDS_MAX {
            faults.push(format!("`tools_age_seconds_max` is from 1 to {TOOLS_AGE_SECONDS_MAX}"));
        }
        let others = if config.same_names { &[] } else { others };
        let others = others.iter().map(|other| pins_path(state_dir, other)).collect();
        let own = named.keys().cloned().collect();
        let pins = Pins::open(pins_path(state_dir, &route.name), config.pin, own, others);
        let pins = pins.map_err(|error| faults.push(error.to_string())).ok();
        let (Some(pins), true) = (pins, faults.is_empty()) else { return Err(faults) };
        let catalogue = Catalogue::new(Duration::from_secs(age));
        let template = config.scope_template.clone();
        let undeclared = config.undeclared;
        Ok(Self { named, template, resources, prompts, plain, pins, catalogue, undeclared })
    }

    /// The scope of a tool, if it is served.
    pub(super) fn scope(&self, name: &str) -> Option<Scope> {
        if let Some(tool) = self.named.get(name) {
            return Some(tool.scope.clone());
        }
        one_scope(&self.template.as_ref()?.replace("{tool}", name))
    }

    /// What each tool takes of the vendor's credential.
    pub(super) fn needs(&self) -> impl Iterator<Item = (String, &[Need])> {
        let named = self.named.iter().map(|(name, tool)| (format!("tool `{name}`"), &*tool.needs));
        let others = [
            ("other tools", self.template.is_some()),
            ("resources", self.resources.is_some()),
            ("prompts", self.prompts.is_some()),
        ];
        let others = others.into_iter().filter(|(_, served)| *served);
        named.chain(others.map(|(name, _)| (name.to_owned(), [].as_slice())))
    }

    /// Every scope that the configuration names; a template as all that it may make.
    pub(super) fn scopes(&self) -> Vec<String> {
        let template = self.template.as_ref().and_then(|it| it.strip_suffix(".{tool}"));
        let mut scopes: Vec<String> = self
            .named
            .values()
            .map(|tool| &tool.scope)
            .chain(&self.resources)
            .chain(&self.prompts)
            .map(Scope::to_string)
            .chain(template.map(|stem| format!("{stem}.*")))
            .collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }
}

fn tool(
    entry: &ToolConfig,
    config: &McpConfig,
    plain: &ResourceFacts,
    faults: &mut Vec<String>,
) -> Option<Tool> {
    let template = config.scope_template.as_ref();
    let scope = entry.scope.clone().or(template.map(|it| it.replace("{tool}", &entry.name)));
    let Some(scope) = scope.as_deref().and_then(one_scope) else {
        let found = scope.unwrap_or_default();
        faults.push(format!("tool `{}`: `{found}` is no single scope; give it one", entry.name));
        return None;
    };
    let effect = entry.effect.unwrap_or_default();
    if let Some(fault) = Trusted::fault(entry.trust.as_ref(), effect) {
        faults.push(format!("tool `{}`: {fault}", entry.name));
    }
    if entry.needs.len() > NEEDS_MAX {
        faults.push(format!("tool `{}`: more than {NEEDS_MAX} `needs`", entry.name));
    }
    let keys: std::collections::BTreeSet<_> = entry.arguments.values().collect();
    if keys.len() != entry.arguments.len() {
        faults.push(format!("tool `{}`: two of its `arguments` have one name", entry.name));
    }
    Some(Tool {
        scope,
        effect,
        resource: ResourceFacts {
            id: entry.name.clone(),
            labels: entry.labels.clone().unwrap_or_else(|| plain.labels.clone()),
            sensitivity: entry.sensitivity.unwrap_or(plain.sensitivity),
            system: plain.system.clone(),
        },
        arguments: entry.arguments.clone(),
        required: entry.required.clone(),
        trust: Trusted::compile(entry.trust.as_ref(), ResultPlace::ToolResult),
        needs: entry.needs.clone().into(),
    })
}

/// A scope that stands for one thing: what a call takes is never a wildcard.
fn one_scope(text: &str) -> Option<Scope> {
    text.parse::<Scope>().ok().filter(|scope| scope.form() != ScopeForm::Wildcard)
}
