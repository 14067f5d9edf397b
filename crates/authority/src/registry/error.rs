//! Why a registry document or a task's parameters were refused.

use std::fmt;

/// What kind of document an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// The file as a whole.
    File,
    /// An owner.
    Owner,
    /// An agent.
    Agent,
    /// A workflow.
    Workflow,
}

impl DocumentKind {
    /// The name of the kind, as in `[[owner]]`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Owner => "owner",
            Self::Agent => "agent",
            Self::Workflow => "workflow",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $code:literal,)+) => {
        /// Stable reason for which a registry document is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RegistryErrorCode { $($(#[$doc])+ $variant,)+ }

        impl RegistryErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable text.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
        }
    };
}

codes! {
    /// The file is larger than the bound.
    TooLarge = "registry_too_large",
    /// The text is not TOML or not of the expected shape.
    Syntax = "registry_syntax",
    /// A key that no document has.
    UnknownKey = "registry_unknown_key",
    /// A required key is missing.
    Missing = "registry_missing_key",
    /// A value of the wrong type or outside its range.
    Value = "registry_value",
    /// Two documents of one kind with one id, or one list entry twice.
    Duplicate = "registry_duplicate",
    /// The owner does not exist or is not active.
    OwnerNotLive = "registry_owner_not_live",
    /// The reviewer does not exist, is not active or is the owner.
    ReviewerNotLive = "registry_reviewer_not_live",
    /// A workflow names an agent that is not registered, or of another tenant or environment.
    AgentUnregistered = "registry_agent_unregistered",
    /// The change would leave something that is in use without what it needs.
    InUse = "registry_in_use",
    /// An agent that an operator quarantined cannot be made active by a file.
    Quarantined = "registry_quarantined",
    /// The JSON Schema of the parameters is not acceptable.
    Schema = "registry_schema",
    /// A template cannot be filled for every acceptable set of parameters.
    Template = "registry_template",
    /// A rule that can never match.
    NeverMatches = "registry_never_matches",
}

/// One fault of a registry document. `Display` is complete: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    /// Kind of the document.
    pub kind: DocumentKind,
    /// Its id; its position (`#2`) when it has none; empty for the file.
    pub id: String,
    /// Path of the field, such as `edges[0].to`; empty for the document.
    pub field: String,
    /// Stable reason.
    pub code: RegistryErrorCode,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if !self.id.is_empty() {
            write!(f, " {:?}", self.id)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {} [{}]", self.message, self.code.code())
    }
}

impl std::error::Error for RegistryError {}

/// Why a task's parameters do not fill a workflow's templates. The text is bounded and safe to show
/// to the caller that sent the parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The parameters are larger than the bound.
    #[error("the parameters are larger than {0} bytes")]
    TooLarge(usize),
    /// A parameter that the workflow does not have.
    #[error("parameter `{name}`: the workflow has no such parameter; {hint}")]
    UnknownParameter {
        /// Its name, cut to a bound.
        name: String,
        /// What was probably meant.
        hint: String,
    },
    /// The parameters do not satisfy the workflow's schema.
    #[error("parameter {path}: {message}")]
    Invalid {
        /// JSON pointer of the value.
        path: String,
        /// What its schema wants.
        message: String,
    },
    /// A parameter's value cannot stand where a template puts it.
    #[error("parameter `{name}` cannot fill {place}: {message}")]
    Unfit {
        /// The parameter.
        name: String,
        /// Where the template is.
        place: String,
        /// What is wrong with the value.
        message: String,
    },
    /// The filled template is not valid authority.
    #[error("the filled template is not valid authority at {place}: {message}")]
    NotAuthority {
        /// Where.
        place: String,
        /// What is wrong.
        message: String,
    },
}

impl TemplateError {
    /// The stable outcome name: parameters that do not fit are a malformed request.
    pub const fn code(&self) -> bailiwick_core::outcome::Outcome {
        bailiwick_core::outcome::Outcome::Malformed
    }
}

/// Longest piece of a caller's text that an error repeats, in characters.
pub(crate) const ECHO_CHARS_MAX: usize = 120;

/// `text` cut to the bound, on one line, so that it can be shown.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(ECHO_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(ECHO_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}
