//! What of a JSON Schema says which members there are: `properties`, `items`, and what is composed.

use serde_json::Value;

use super::super::argument::{ArgumentConfig, Kind, Place};
use super::word;

/// References that lead to one another, and levels of composition.
const DEPTH_MAX: usize = 16;
/// Schemas that one is composed of.
const PARTS_MAX: usize = 1_024;

/// A schema, and every schema that it is composed of (`allOf`, `oneOf`, `anyOf`): what any of them
/// names is named. Then those that always hold, which no alternative takes the place of.
pub(super) struct Schema<'a>(Vec<&'a Value>, Vec<&'a Value>);

impl<'a> Schema<'a> {
    pub(super) fn read(document: &'a Value, schema: &'a Value) -> Result<Self, String> {
        let mut schema_of = Self(Vec::new(), Vec::new());
        schema_of.gather(document, schema, true, 0)?;
        Ok(schema_of)
    }

    pub(super) fn is_object(&self) -> bool {
        self.0.iter().any(|it| is(it, "object") || it.get("properties").is_some())
    }

    pub(super) fn is_array(&self) -> bool {
        self.0.iter().any(|it| is(it, "array"))
    }

    pub(super) fn default(&self) -> Option<&'a Value> {
        self.0.iter().find_map(|it| it.get("default"))
    }

    /// The first of its parts.
    pub(super) fn first(&self) -> Option<&'a Value> {
        self.0.iter().copied().find(|it| it.get("type").is_some())
    }

    /// The schema of an item, for a list; else itself.
    pub(super) fn element(&self, document: &'a Value) -> Result<Self, String> {
        match self.0.iter().find_map(|it| it.get("items")) {
            Some(items) if self.is_array() => Self::read(document, items),
            _ => Ok(Self(self.0.clone(), self.1.clone())),
        }
    }

    fn properties(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.0.iter().filter_map(|it| it.get("properties")?.as_object()).flatten()
    }

    fn requires(&self, name: &str) -> bool {
        let required = self.1.iter().filter_map(|it| it.get("required")?.as_array());
        required.flatten().any(|it| it == name)
    }

    /// Its members as arguments of a body, and those further in that have a name of their own.
    pub(super) fn arguments(
        &self,
        document: &'a Value,
        form: bool,
    ) -> Result<Vec<ArgumentConfig>, String> {
        let mut arguments: Vec<ArgumentConfig> = Vec::new();
        for (name, property) in self.properties() {
            if arguments.iter().any(|it| it.name == *name && it.pointer.is_none()) {
                continue;
            }
            let schema = Self::read(document, property)?;
            let mut argument =
                ArgumentConfig::plain(name, Place::Body, kind(schema.element(document)?.first()));
            schema.annotate(&mut argument)?;
            argument.required = self.requires(name);
            // In a form a list is a field that comes several times; in JSON it is one value.
            argument.list = form && schema.is_array();
            if form {
                arguments.push(argument);
                continue;
            }
            argument.kind = if argument.lower { Kind::String } else { argument.kind };
            arguments.push(argument);
            let at = format!("/{}", escaped(name));
            schema.further(document, &at, &mut arguments, &mut self.0.clone())?;
        }
        // A list, or something else, that is the body itself.
        if !form && self.is_array() && arguments.is_empty() {
            let mut whole = ArgumentConfig::plain("body", Place::Body, Kind::String);
            whole.pointer = Some(String::new());
            self.annotate(&mut whole)?;
            arguments.push(whole);
            self.further(document, "", &mut arguments, &mut Vec::new())?;
        }
        Ok(arguments)
    }

    /// Members further in that have a name of their own (`x-bailiwick-as`). `above` are the schemas
    /// that lead here: one that contains itself is named once.
    fn further(
        &self,
        document: &'a Value,
        at: &str,
        arguments: &mut Vec<ArgumentConfig>,
        above: &mut Vec<&'a Value>,
    ) -> Result<(), String> {
        let again = self.0.iter().any(|part| above.iter().any(|other| std::ptr::eq(*part, *other)));
        if again || above.len() > PARTS_MAX || arguments.len() > PARTS_MAX {
            return Ok(());
        }
        let before = above.len();
        above.extend(&self.0);
        for (name, property) in self.properties() {
            let property = Self::read(document, property)?;
            property.named(document, &format!("{at}/{}", escaped(name)), arguments, above)?;
        }
        for items in self.0.iter().filter_map(|it| it.get("items")) {
            Self::read(document, items)?.named(document, &format!("{at}/*"), arguments, above)?;
        }
        above.truncate(before);
        Ok(())
    }

    /// Itself at `at`, if it has a name, and what is further in.
    fn named(
        &self,
        document: &'a Value,
        at: &str,
        arguments: &mut Vec<ArgumentConfig>,
        above: &mut Vec<&'a Value>,
    ) -> Result<(), String> {
        let name = self.0.iter().find_map(|it| word::<String>(it, "x-bailiwick-as").transpose());
        let known = arguments.iter().any(|it| it.pointer.as_deref() == Some(at));
        if let (Some(name), false) = (name.transpose()?, known) {
            let mut argument = ArgumentConfig::plain(&name, Place::Body, Kind::String);
            argument.pointer = Some(at.to_owned());
            self.annotate(&mut argument)?;
            arguments.push(argument);
        }
        self.further(document, at, arguments, above)
    }

    fn annotate(&self, argument: &mut ArgumentConfig) -> Result<(), String> {
        for part in &self.0 {
            if let Some(key) = word(part, "x-bailiwick-as")? {
                argument.key = Some(key);
            }
            argument.lower |= word::<bool>(part, "x-bailiwick-lower")?.unwrap_or_default();
        }
        Ok(())
    }

    fn gather(
        &mut self,
        document: &'a Value,
        schema: &'a Value,
        always: bool,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX || self.0.len() > PARTS_MAX {
            return Err("a schema is composed of too many others".to_owned());
        }
        let resolved = resolve(document, schema)?;
        // Beside a reference, 3.1 lets more be said.
        let beside =
            schema.get("$ref").is_some() && schema.as_object().is_some_and(|it| it.len() > 1);
        for part in beside.then_some(schema).into_iter().chain([resolved]) {
            self.0.push(part);
            self.1.extend(always.then_some(part));
        }
        for (name, always) in [("allOf", always), ("oneOf", false), ("anyOf", false)] {
            for part in resolved.get(name).and_then(Value::as_array).into_iter().flatten() {
                self.gather(document, part, always, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn is(schema: &Value, wanted: &str) -> bool {
    types(schema).any(|it| it == wanted)
}

/// The types of a schema: one in 3.0, perhaps several in 3.1.
fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let said = schema.get("type");
    let one = said.and_then(Value::as_str);
    let several = said.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(several)
}

/// What text of a URL is read as.
pub(super) fn kind(schema: Option<&Value>) -> Kind {
    let mut found = schema.into_iter().flat_map(types).filter(|it| *it != "null");
    match (found.next(), found.next()) {
        (Some("integer"), None) => Kind::Integer,
        (Some("number"), None) => Kind::Number,
        (Some("boolean"), None) => Kind::Boolean,
        // Of several types text is the one that keeps what was said.
        _ => Kind::String,
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Follows local references.
pub(super) fn resolve<'a>(document: &'a Value, value: &'a Value) -> Result<&'a Value, String> {
    let mut found = value;
    for _ in 0..DEPTH_MAX {
        let Some(reference) = found.get("$ref").and_then(Value::as_str) else { return Ok(found) };
        let pointer = reference.strip_prefix('#');
        found = pointer
            .and_then(|pointer| document.pointer(pointer))
            .ok_or_else(|| format!("`{reference}` leads nowhere in this document"))?;
    }
    Err("references lead in a circle".to_owned())
}
