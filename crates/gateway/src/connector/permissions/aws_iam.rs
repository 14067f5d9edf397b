//! AWS IAM policy documents (IAM User Guide, "IAM JSON policy reference").

use bailiwick_core::permission::{Effect, Permission};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Statement")]
    statement: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Word,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    condition: Option<Value>,
}

#[derive(Clone, Copy, Deserialize)]
enum Word {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// The statements of a policy, each as a permission or a denial.
pub(super) fn permissions(text: &str) -> Result<Vec<Permission>, String> {
    let document: Document = serde_json::from_str(text)
        .map_err(|error| format!("this is no IAM policy of an identity: {error}"))?;
    document.statement.into_vec().into_iter().map(permission).collect()
}

fn permission(statement: Statement) -> Result<Permission, String> {
    let everything = || vec!["*".to_owned()];
    let (actions, except_actions) = match (statement.action, statement.not_action) {
        (Some(actions), None) => (actions.into_vec(), Vec::new()),
        (None, Some(not)) => (everything(), not.into_vec()),
        _ => return Err("a statement has one of `Action` and `NotAction`".to_owned()),
    };
    let (resources, except_resources) = match (statement.resource, statement.not_resource) {
        (Some(resources), None) => (resources.into_vec(), Vec::new()),
        (None, Some(not)) => (everything(), not.into_vec()),
        _ => return Err("a statement has one of `Resource` and `NotResource`".to_owned()),
    };
    // `${aws:username}` and the like stand for something that is not known here: for anything.
    let known = |text: String| match text.split_once("${") {
        Some((before, _)) => format!("{before}*"),
        None => text,
    };
    let conditional =
        statement.condition.is_some_and(|it| it.as_object().is_none_or(|it| !it.is_empty()));
    let variable = resources.iter().any(|it| it.contains("${"));
    Ok(Permission {
        effect: match statement.effect {
            Word::Allow => Effect::Allow,
            Word::Deny => Effect::Deny,
        },
        actions,
        except_actions,
        resources: resources.into_iter().map(known).collect(),
        // What is excepted is only what is surely excepted.
        except_resources: except_resources.into_iter().filter(|it| !it.contains("${")).collect(),
        conditional: conditional || variable,
    })
}
