//! Filling a workflow's templates with the parameters of one task.

use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::constraint::{Constraint, Rule};
use bailiwick_core::scope::Scope;
use serde_json::{Map, Value, json};

use super::compile::{CompiledWorkflow, ConstraintTemplate, form_kept};
use super::error::{TemplateError, shown};
use super::template::{Guard, Template};

/// A workflow filled with the parameters of one task.
#[derive(Debug, Clone)]
pub struct Instantiated {
    /// The ceiling of the task.
    pub authority: HeldAuthority,
    /// The parameters with the defaults.
    pub parameters: Value,
    /// The self-service part: outside these constraints, inside the ceiling, an approver is asked.
    /// Shape: `{"constraints":[…]}`; goes into `urn:bailiwick:hop`.`ask`.
    pub ask: Option<Value>,
}

impl CompiledWorkflow {
    /// Checks the parameters of a task against the schema and fills the templates with them.
    ///
    /// # Errors
    /// [`TemplateError`], bounded and safe to show to the caller that sent the parameters.
    pub fn instantiate(&self, parameters: &Value) -> Result<Instantiated, TemplateError> {
        let values = self.parameters.accept(parameters)?;
        let mut scopes = Vec::new();
        for (index, template) in self.scopes.iter().enumerate() {
            let place = format!("authority.scopes[{index}]");
            let filled = template.fill(&values, Guard::ScopeSegment, &place)?;
            scopes.extend(read_scopes(template, &filled, &place)?);
        }
        let (mut ceiling, mut ask) = (Vec::new(), Vec::new());
        for constraint in &self.constraints {
            let filled = constraint.fill(&values)?;
            if constraint.ask { ask.push(filled) } else { ceiling.push(filled) }
        }
        let detail = json!({
            "type": "agent_delegation",
            "scopes": scopes,
            "constraints": ceiling,
        });
        let authority =
            HeldAuthority::from_detail(&detail).map_err(|error| TemplateError::NotAuthority {
                place: "authority".to_owned(),
                message: shown(&error.to_string()),
            })?;
        let ask = (!ask.is_empty()).then(|| json!({ "constraints": ask }));
        Ok(Instantiated { authority, parameters: Value::Object(values), ask })
    }
}

impl ConstraintTemplate {
    /// The constraint in its token form.
    pub(super) fn fill(&self, values: &Map<String, Value>) -> Result<Value, TemplateError> {
        let filled = self.template.fill(values, self.guard, &self.place)?;
        let fault =
            |message: String| TemplateError::NotAuthority { place: self.place.clone(), message };
        if let Some(Value::String(text)) = filled.get(&self.rule)
            && text.is_empty()
            && matches!(self.rule.as_str(), "prefix" | "contains" | "under")
        {
            return Err(fault(format!("`{}` would be empty and restrict nothing", self.rule)));
        }
        match Constraint::from_json(&filled) {
            Ok(constraint) if matches!(constraint.rule(), Rule::Unknown { .. }) => {
                Err(fault(format!("`{}` is not a constraint type", shown(&self.rule))))
            }
            Ok(_) => Ok(filled),
            Err(error) => Err(fault(shown(&error.to_string()))),
        }
    }
}

/// The scopes that a filled scope template stands for: one, or each of a list.
pub(super) fn read_scopes(
    template: &Template,
    filled: &Value,
    place: &str,
) -> Result<Vec<Scope>, TemplateError> {
    let fault = |text: &str, why: &str| TemplateError::NotAuthority {
        place: place.to_owned(),
        message: format!("{:?} {why}", shown(text)),
    };
    let items = match filled {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut scopes = Vec::with_capacity(items.len());
    for item in items {
        let text = item.as_str().unwrap_or_default();
        let scope: Scope = text.parse().map_err(|_| fault(text, "is not a scope"))?;
        if !form_kept(template, &scope) {
            return Err(fault(text, "is wider or of another form than the template"));
        }
        scopes.push(scope);
    }
    Ok(scopes)
}

impl super::WorkflowDocument {
    /// Compiles this document and fills it once; the task path keeps a [`CompiledWorkflow`] instead.
    ///
    /// # Errors
    /// As [`CompiledWorkflow::instantiate`]; a document that does not compile is no authority.
    pub fn instantiate(&self, parameters: &Value) -> Result<Instantiated, TemplateError> {
        let compiled = CompiledWorkflow::compile(std::sync::Arc::new(self.clone()), 0);
        let compiled = compiled.map_err(|errors| TemplateError::NotAuthority {
            place: "workflow".to_owned(),
            message: errors.first().map(|error| shown(&error.to_string())).unwrap_or_default(),
        })?;
        compiled.instantiate(parameters)
    }
}
