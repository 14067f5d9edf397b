//! Where a reply holds the result of a call.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::Value;

use crate::trust::TrustRule;

/// Text blocks of one tool result that are looked at.
const BLOCKS_MAX: usize = 4_096;

/// Where a reply holds the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultPlace {
    /// The JSON of the reply is the result.
    Body,
    /// A JSON-RPC response to MCP `tools/call`: `structuredContent`, or else the text of `content`,
    /// read as the rule says. One text block is the result, several are a list of results.
    ToolResult,
}

impl ResultPlace {
    /// The result that a message holds; none when the call failed, or when the text is not what was
    /// declared.
    pub(super) fn find<'m>(
        self,
        rule: &TrustRule,
        status: StatusCode,
        message: &'m Value,
    ) -> Option<Cow<'m, Value>> {
        if !status.is_success() {
            return None;
        }
        match self {
            Self::Body => Some(Cow::Borrowed(message)),
            Self::ToolResult => tool_result(rule, message),
        }
    }
}

fn tool_result<'m>(rule: &TrustRule, message: &'m Value) -> Option<Cow<'m, Value>> {
    let result = message.get("result")?;
    if result.get("isError").is_some_and(|failed| *failed != Value::Bool(false)) {
        return None;
    }
    if let Some(structured) = result.get("structuredContent").filter(|it| !it.is_null()) {
        return Some(Cow::Borrowed(structured));
    }
    let blocks = result.get("content")?.as_array()?.iter();
    let texts = blocks.filter(|block| block.get("type").is_some_and(|it| it == "text"));
    let texts = texts.map(|block| rule.read_text(block.get("text")?.as_str()?));
    let mut results = texts.take(BLOCKS_MAX).collect::<Option<Vec<Value>>>()?;
    match results.len() {
        0 => None,
        1 => results.pop().map(Cow::Owned),
        _ => Some(Cow::Owned(Value::Array(results))),
    }
}
