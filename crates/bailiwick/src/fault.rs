//! Why a command failed: whose fault it is, what to do, and which exit code says so.

use crate::cli::Format;
use bailiwick_api::{ClientError, ProblemCode};
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;
use std::fmt;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Ours: usage, a file, a key. Exit code 1.
    Local,
    /// Theirs, or the network's. Exit code 2.
    Remote,
    /// Nobody's: the answer is no. Exit code 3.
    Denied,
}

/// A place in a file.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) source: NamedSource<String>,
    pub(crate) labels: Vec<LabeledSpan>,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Fault {
    side: Side,
    code: Option<String>,
    message: String,
    help: Option<String>,
    place: Option<Box<Place>>,
    related: Vec<Fault>,
}

impl Fault {
    fn new(side: Side, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { side, code: None, message, help: None, place: None, related: Vec::new() }
    }

    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(Side::Local, message)
    }

    pub(crate) fn remote(message: impl Into<String>) -> Self {
        Self::new(Side::Remote, message)
    }

    /// A refusal with its stable code.
    pub(crate) fn denied(code: &str, message: impl Into<String>) -> Self {
        Self::new(Side::Denied, message).with_code(code)
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn with_code(mut self, code: &str) -> Self {
        self.help = self
            .help
            .or_else(|| ProblemCode::from_code(code).map(|known| known.remedy().to_owned()));
        self.code = Some(code.to_owned());
        self
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// Several faults under one heading.
    pub(crate) fn with_related(mut self, related: Vec<Fault>) -> Self {
        self.related = related;
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.side {
            Side::Local => 1,
            Side::Remote => 2,
            Side::Denied => 3,
        }
    }

    /// Says on stderr what went wrong.
    #[allow(clippy::print_stderr, reason = "stderr is where faults go")]
    pub(crate) fn report(&self, format: Format) {
        match format {
            Format::Json => eprintln!("{}", json!({ "error": self.to_json() })),
            Format::Table => {
                let mut text = String::new();
                let handler = miette::GraphicalReportHandler::new();
                let drawn = handler.render_report(&mut text, self);
                if drawn.is_ok() { eprint!("{text}") } else { eprintln!("{self}") }
            }
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let mut value = json!({ "message": self.message, "exit_code": self.exit_code() });
        if let Some(members) = value.as_object_mut() {
            if let Some(code) = &self.code {
                members.insert("code".into(), json!(code));
            }
            if let Some(help) = &self.help {
                members.insert("help".into(), json!(help));
            }
            if let Some((file, line)) = self.file_and_line() {
                members.insert("file".into(), json!(file));
                members.insert("line".into(), json!(line));
            }
            if !self.related.is_empty() {
                let related: Vec<_> = self.related.iter().map(Self::to_json).collect();
                members.insert("related".into(), json!(related));
            }
        }
        value
    }

    fn file_and_line(&self) -> Option<(String, usize)> {
        let place = self.place.as_deref()?;
        let offset = place.labels.first()?.offset();
        let text = place.source.inner();
        let line = text.get(..offset)?.matches('\n').count().saturating_add(1);
        Some((place.source.name().to_owned(), line))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = self.file_and_line() {
            write!(f, "{file}:{line}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Diagnostic for Fault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.place.as_ref().map(|place| {
            Box::new(place.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>
        })
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        (!self.related.is_empty()).then(|| {
            Box::new(self.related.iter().map(|fault| fault as &dyn Diagnostic))
                as Box<dyn Iterator<Item = &'a dyn Diagnostic>>
        })
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        let fault = match &error {
            ClientError::Credential(_) | ClientError::BadBase(_) => Self::local(error.to_string()),
            ClientError::Transport { url, source } => {
                Self::remote(format!("{url}: {}", innermost(source))).with_help(
                    "Is the server running? Its URL comes from --server or BAILIWICK_SERVER.",
                )
            }
            ClientError::Unexpected { .. } => Self::remote(error.to_string()),
            ClientError::Problem(_) | ClientError::OAuth { .. } => refusal(&error),
        };
        match error.decision_id() {
            Some(id) => {
                let help = fault.help.clone().unwrap_or_default();
                fault.with_help(format!("{help}\nLogged: bailiwick trace {id}").trim().to_owned())
            }
            None => fault,
        }
    }
}

/// A refusal by the server: refused, malformed by us, or failed closed.
fn refusal(error: &ClientError) -> Fault {
    let status = error.status().unwrap_or(0);
    let code = error.code().unwrap_or("unknown").to_owned();
    let effective = ProblemCode::from_code(&code).map_or(status, ProblemCode::status);
    let side = match effective {
        401 | 403 | 409 => Side::Denied,
        500.. => Side::Remote,
        400..=499 => Side::Local,
        _ => Side::Remote,
    };
    let detail = match error {
        ClientError::Problem(problem) if problem.detail.is_empty() => problem.title.clone(),
        ClientError::Problem(problem) => problem.detail.clone(),
        ClientError::OAuth { error, .. } => {
            error.error_description.clone().unwrap_or_else(|| error.error.clone())
        }
        other => other.to_string(),
    };
    Fault::new(side, detail).with_code(&code)
}

/// The cause at the bottom, which says most: "connection refused" rather than "error sending".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_api::Problem;
    use bailiwick_core::outcome::Outcome;

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        let exit = |code: ProblemCode| {
            Fault::from(ClientError::Problem(Box::new(Problem::new(code, "x")))).exit_code()
        };
        assert_eq!(exit(Outcome::PolicyDenied.into()), 3);
        assert_eq!(exit(Outcome::TaskClosed.into()), 3);
        assert_eq!(exit(ProblemCode::Unauthenticated), 3);
        assert_eq!(exit(Outcome::LedgerUnavailable.into()), 2);
        assert_eq!(exit(ProblemCode::Internal), 2);
        assert_eq!(exit(Outcome::Malformed.into()), 1);
        assert_eq!(exit(ProblemCode::NotFound), 1);
    }

    #[test]
    fn a_place_is_named_by_file_and_line() {
        let text = "a = 1\nb = 2\n".to_owned();
        let fault = Fault::local("no b").at(Place {
            source: NamedSource::new("x.toml", text),
            labels: vec![LabeledSpan::at_offset(6, "here")],
        });
        assert_eq!(fault.to_string(), "x.toml:2: no b");
        assert_eq!(fault.to_json()["line"], 2);
    }
}
