//! How a refusal is told to an A2A client: as an error of A2A, in the form of its binding.
//!
//! Clients make an exception of the error that they know by its number (JSON-RPC) or `reason` (HTTP), and
//! drop what they do not know. So each refusal is one of A2A's own errors; our code begins its message,
//! and stands in `metadata` with the decision.

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::RefusalForm;
use crate::stop::Stop;

/// Who defines the reasons of A2A.
const DOMAIN: &str = "a2a-protocol.org";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// An error of A2A (§5.4, §9.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum A2aError {
    /// It does not exist, or is not the caller's: nobody is told which.
    TaskNotFound,
    PushNotificationNotSupported,
    /// Not for this caller, or for nobody.
    UnsupportedOperation,
    ContentTypeNotSupported,
    VersionNotSupported,
    Parse,
    InvalidRequest,
    MethodNotFound,
    InvalidParams,
    Internal,
}

impl A2aError {
    fn of(code: ProblemCode, status: StatusCode) -> Self {
        match code {
            ProblemCode::Outcome(Outcome::TaskMismatch) => Self::TaskNotFound,
            ProblemCode::NotFound => Self::MethodNotFound,
            ProblemCode::UnsupportedMediaType => Self::ContentTypeNotSupported,
            ProblemCode::RateLimited => Self::Internal,
            _ if status.is_server_error() => Self::Internal,
            _ if status == StatusCode::BAD_REQUEST => Self::InvalidParams,
            _ if status == StatusCode::UNAUTHORIZED || status == StatusCode::PAYLOAD_TOO_LARGE => {
                Self::InvalidRequest
            }
            _ => Self::UnsupportedOperation,
        }
    }

    const fn number(self) -> i64 {
        match self {
            Self::TaskNotFound => -32_001,
            Self::PushNotificationNotSupported => -32_003,
            Self::UnsupportedOperation => -32_004,
            Self::ContentTypeNotSupported => -32_005,
            Self::VersionNotSupported => -32_009,
            Self::Parse => -32_700,
            Self::InvalidRequest => -32_600,
            Self::MethodNotFound => -32_601,
            Self::InvalidParams => -32_602,
            Self::Internal => -32_603,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::PushNotificationNotSupported => "PUSH_NOTIFICATION_NOT_SUPPORTED",
            Self::UnsupportedOperation => "UNSUPPORTED_OPERATION",
            Self::ContentTypeNotSupported => "CONTENT_TYPE_NOT_SUPPORTED",
            Self::VersionNotSupported => "VERSION_NOT_SUPPORTED",
            Self::Parse | Self::InvalidRequest => "INVALID_REQUEST",
            Self::MethodNotFound => "METHOD_NOT_FOUND",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::Internal => "INTERNAL_ERROR",
        }
    }

    /// The HTTP status: A2A's, where it has one for the error, else the problem's own.
    fn status(self, own: StatusCode) -> StatusCode {
        match self {
            Self::TaskNotFound => StatusCode::NOT_FOUND,
            Self::PushNotificationNotSupported
            | Self::ContentTypeNotSupported
            | Self::VersionNotSupported => StatusCode::BAD_REQUEST,
            // Known and refused is 403; what is served to nobody has no 405 in A2A.
            Self::UnsupportedOperation if own == StatusCode::METHOD_NOT_ALLOWED => {
                StatusCode::BAD_REQUEST
            }
            _ => own,
        }
    }
}

/// A stop that is told as this error of A2A.
pub(super) fn stop(
    code: impl Into<ProblemCode>,
    error: A2aError,
    detail: impl Into<String>,
) -> Stop {
    let mut stop = Stop::new(code, detail);
    stop.form = Some(Box::new(RefusalForm::A2a { id: None, error: Some(error) }));
    stop
}

/// The status and body of a refusal. `id` is the JSON-RPC request's; without one it is of HTTP+JSON.
pub(crate) fn told(
    id: Option<&Value>,
    error: Option<A2aError>,
    code: ProblemCode,
    own: StatusCode,
    problem: &Value,
) -> (StatusCode, &'static str, Value) {
    let error = error.unwrap_or_else(|| A2aError::of(code, own));
    let members = problem.as_object().cloned().unwrap_or_default();
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let detail = if text("detail").is_empty() { text("title") } else { text("detail") };
    let message = format!("{}: {detail}", text("code"));
    let info = json!([{
        "@type": ERROR_INFO, "reason": error.reason(), "domain": DOMAIN,
        "metadata": metadata(&members),
    }]);
    match id {
        // Who one is, is told by HTTP (§7.3); what one may do, by the protocol.
        Some(id) => {
            let error = json!({ "code": error.number(), "message": message, "data": info });
            let reply = json!({ "jsonrpc": "2.0", "id": id, "error": error });
            let status = if own == StatusCode::UNAUTHORIZED { own } else { StatusCode::OK };
            (status, "application/json", reply)
        }
        None => {
            let status = error.status(own);
            let error = json!({
                "code": status.as_u16(), "status": name(status), "message": message,
                "details": info,
            });
            (status, "application/a2a+json", json!({ "error": error }))
        }
    }
}

/// What of a problem is not in the message; text alone, as `google.rpc.ErrorInfo` has it.
fn metadata(problem: &Map<String, Value>) -> Map<String, Value> {
    const ELSEWHERE: [&str; 3] = ["title", "status", "detail"];
    let members = problem.iter().filter(|(name, _)| !ELSEWHERE.contains(&name.as_str()));
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    members.map(|(name, value)| (name.clone(), Value::from(text(value)))).collect()
}

/// The name in `google.rpc.Code`.
fn name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "FAILED_PRECONDITION",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_api::Problem;
    use rstest::rstest;

    use super::*;

    fn refused(code: ProblemCode) -> (StatusCode, Value) {
        let mut problem =
            serde_json::to_value(Problem::new(code, "because").with_trace("t")).unwrap();
        problem["decision_id"] = json!("d");
        let status = problem["status"].as_u64().unwrap();
        (StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap(), problem)
    }

    #[rstest]
    #[case(Outcome::ScopeNotGranted.into(), -32_004, 403, "UNSUPPORTED_OPERATION", "PERMISSION_DENIED")]
    #[case(Outcome::TaskMismatch.into(), -32_001, 404, "TASK_NOT_FOUND", "NOT_FOUND")]
    #[case(Outcome::TaskClosed.into(), -32_004, 409, "UNSUPPORTED_OPERATION", "FAILED_PRECONDITION")]
    #[case(Outcome::Malformed.into(), -32_602, 400, "INVALID_PARAMS", "INVALID_ARGUMENT")]
    #[case(Outcome::RevocationStale.into(), -32_603, 503, "INTERNAL_ERROR", "UNAVAILABLE")]
    #[case(ProblemCode::MethodNotAllowed, -32_004, 400, "UNSUPPORTED_OPERATION", "INVALID_ARGUMENT")]
    #[case(ProblemCode::NotFound, -32_601, 404, "METHOD_NOT_FOUND", "NOT_FOUND")]
    #[case(ProblemCode::TooLarge, -32_600, 413, "INVALID_REQUEST", "INVALID_ARGUMENT")]
    #[case(ProblemCode::RateLimited, -32_603, 429, "INTERNAL_ERROR", "RESOURCE_EXHAUSTED")]
    #[case(ProblemCode::BadGateway, -32_603, 502, "INTERNAL_ERROR", "INTERNAL")]
    fn each_refusal_is_an_error_of_a2a_in_both_bindings(
        #[case] code: ProblemCode,
        #[case] number: i64,
        #[case] http: u16,
        #[case] reason: &str,
        #[case] name: &str,
    ) {
        let (own, problem) = refused(code);
        let message = format!("{}: because", code.code());
        let (status, media, rpc) = told(Some(&json!("7")), None, code, own, &problem);
        assert_eq!((status.as_u16(), media), (200, "application/json"));
        assert_eq!((&rpc["id"], &rpc["error"]["code"]), (&json!("7"), &json!(number)));
        assert_eq!(rpc["error"]["message"], message.as_str());
        let (status, media, rest) = told(None, None, code, own, &problem);
        assert_eq!((status.as_u16(), media), (http, "application/a2a+json"));
        let error = &rest["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(http), &json!(name)));
        assert_eq!(error["message"], message.as_str());
        for info in [&rpc["error"]["data"][0], &error["details"][0]] {
            assert_eq!(info["reason"], reason);
            assert_eq!(info["domain"], DOMAIN);
            assert_eq!(info["metadata"]["code"], code.code());
            assert_eq!(info["metadata"]["decision_id"], "d");
        }
    }

    #[test]
    fn who_one_is_is_told_by_http() {
        let code = Outcome::ProvenanceMissing.into();
        let (own, problem) = refused(code);
        let (status, _, rpc) = told(Some(&Value::Null), None, code, own, &problem);
        assert_eq!((status.as_u16(), &rpc["error"]["code"]), (401, &json!(-32_600)));
        let (status, _, rest) = told(None, None, code, own, &problem);
        assert_eq!((status.as_u16(), &rest["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    }
}
