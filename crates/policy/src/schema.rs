//! The schema policies are checked against.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use bailiwick_core::crypto::sha256;
use bailiwick_core::scope::{Scope, ScopeForm};
use cedar_policy as cedar;
use cedar_policy::{CedarSchemaError, Schema, SchemaError, SchemaFragment};

use crate::act::Act;

/// The schema as it is documented, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The schema with the scopes that policies name as actions.
///
/// Scopes are open-ended, so they cannot be declared beforehand. A policy can tell apart only
/// the scopes it names, the wildcards it names, and everything else; so a schema with those, and
/// one more action in each group that stands for all scopes nobody named, checks it for every
/// scope there is.
pub(crate) struct ScopeActions;

/// A schema that cannot be built: a fault of this crate or of a scope's spelling.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaFault {
    #[error("schema text: {0}")]
    Text(#[from] Box<CedarSchemaError>),
    #[error("schema: {0}")]
    Schema(#[from] Box<SchemaError>),
}

impl ScopeActions {
    /// Names of actions in a policy that are not the schema's own.
    pub(crate) fn named_by(policy: &cedar::Policy) -> BTreeSet<String> {
        policy
            .entity_literals()
            .into_iter()
            .filter(|uid| uid.type_name().to_string() == "Action")
            .map(|uid| uid.id().unescaped().to_owned())
            .filter(|name| !Act::RESERVED.contains(&name.as_str()))
            .collect()
    }

    /// The schema for policies that name these scopes.
    pub(crate) fn schema(scopes: &BTreeSet<String>) -> Result<Schema, SchemaFault> {
        static BASE: LazyLock<Result<SchemaFragment, String>> = LazyLock::new(|| {
            SchemaFragment::from_cedarschema_str(SCHEMA)
                .map(|(fragment, _warnings)| fragment)
                .map_err(|fault| fault.to_string())
        });
        let named = parse(&Self::declarations(scopes))?;
        let base = match &*BASE {
            Ok(base) => base.clone(),
            // Parse it again for the typed fault.
            Err(_) => parse(SCHEMA)?,
        };
        Schema::from_schema_fragments([base, named]).map_err(|e| Box::new(e).into())
    }

    /// Action declarations: a group for each wildcard with a stand-in for its unnamed members,
    /// an action for each other scope.
    fn declarations(scopes: &BTreeSet<String>) -> String {
        const APPLIES: &str =
            "appliesTo { principal: Agent, resource: Resource, context: Request }";
        let mut text = format!("action \"{}\" in [Invoke] {APPLIES};\n", stand_in("Invoke"));
        for scope in scopes {
            let mut groups = "Invoke".to_owned();
            for wildcard in wildcards_above(scopes, scope) {
                let _ = write!(groups, ", \"{}\"", wildcard.escape_debug());
            }
            let name = scope.escape_debug();
            let applies = if scope.ends_with(".*") {
                let member = stand_in(scope);
                let member = member.escape_debug();
                let _ = writeln!(text, "action \"{member}\" in [\"{name}\"] {APPLIES};");
                ""
            } else {
                APPLIES
            };
            let _ = writeln!(text, "action \"{name}\" in [{groups}] {applies};");
        }
        text
    }
}

/// The wildcards in `scopes` that cover `scope`, narrowest first; not the scope itself. Opaque
/// scopes are under no wildcard.
pub(crate) fn wildcards_above<'a>(scopes: &'a BTreeSet<String>, scope: &str) -> Vec<&'a str> {
    let dotted = scope.parse::<Scope>().is_ok_and(|scope| scope.form() != ScopeForm::Opaque);
    let mut stem = scope.strip_suffix(".*").unwrap_or(scope);
    let mut above = Vec::new();
    while let (true, Some((shorter, _))) = (dotted, stem.rsplit_once('.')) {
        above.extend(scopes.get(&format!("{shorter}.*")).map(String::as_str));
        stem = shorter;
    }
    above
}

/// A name no scope can have, for the scopes of a group that nobody named.
pub(crate) fn stand_in(group: &str) -> String {
    format!("{group} (any other scope)")
}

fn parse(text: &str) -> Result<SchemaFragment, SchemaFault> {
    SchemaFragment::from_cedarschema_str(text)
        .map(|(fragment, _warnings)| fragment)
        .map_err(|fault| Box::new(fault).into())
}

/// Hash of the schema text: part of every policy-set hash, because the same policies under
/// another schema are other rules.
pub(crate) fn schema_hash() -> [u8; 32] {
    sha256(SCHEMA.as_bytes()).0
}
