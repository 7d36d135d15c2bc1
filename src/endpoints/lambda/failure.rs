//! What becomes of a call that fails: a fault with a code of its own, for clients without a word of whose account it was.

use super::client::{Failure, Refusal};
use crate::flow::{Fault, Origin, Retry, fault};
use crate::message::json::{self, Json, JsonLimits};
use std::time::Duration;

/// Codes that Synapse does not have. They are in the notes of the endpoint.
pub mod code {
    pub const FUNCTION_FAILED: i32 = 320_001;
    pub const FUNCTION_BUSY: i32 = 320_002;
    pub const THROTTLED: i32 = 320_003;
    pub const ACCESS_DENIED: i32 = 320_004;
    pub const NOT_FOUND: i32 = 320_005;
    pub const REFUSED: i32 = 320_006;
    pub const EVENT_TOO_LARGE: i32 = 320_007;
}

/// The fault of a function that ended with an error.
pub fn of_function(kind: &str, payload: &[u8], idempotent: bool) -> Fault {
    let limits = JsonLimits {
        size: 64 << 10,
        ..JsonLimits::default()
    };
    let told = json::parse(payload, &limits).unwrap_or(Json::Null);
    let text = |name: &str| told.get(name).and_then(Json::as_str).unwrap_or("");
    let (error, message) = (text("errorType"), text("errorMessage"));
    let reason = match error {
        "" => format!("the function failed ({kind})"),
        error => format!("the function failed ({kind}: {})", masked(error)),
    };
    // The function was stopped, rather than that it gave up.
    let timed_out = error == "Sandbox.Timedout" || message.contains("Task timed out after");
    let detail = match message {
        "" => reason.clone(),
        message => format!("{reason}: {}", masked(message)),
    };
    Fault::backend(code::FUNCTION_FAILED, reason)
        .detail(detail)
        .status(if timed_out { 504 } else { 502 })
        .retry(if idempotent {
            Retry::Idempotent
        } else {
            Retry::Unsafe
        })
}

/// The fault of a call that AWS did not take. Transport failures are those of every endpoint, and told elsewhere.
pub fn of_refusal(refusal: &Refusal) -> Fault {
    let Refusal {
        status,
        code: name,
        reason,
        retry_after,
        ..
    } = refusal;
    let name = if name.is_empty() { "no reason given" } else { name };
    let (code, status, words) = match (*status, name) {
        (429, _) | (_, "EC2ThrottledException") => {
            // Where the limit is the function's own, fewer calls are the cure; else it is everybody's.
            let own = reason
                .as_deref()
                .is_some_and(|reason| reason.contains("Function"));
            let why = reason.as_deref().unwrap_or(name);
            let after = retry_after.unwrap_or(Duration::from_secs(1));
            let (code, status) = if own {
                (code::FUNCTION_BUSY, 429)
            } else {
                (code::THROTTLED, 503)
            };
            return Fault::backend(code, format!("AWS Lambda takes no more calls just now ({why})"))
                .status(status)
                .retry_after(Some(after))
                .retry(Retry::Safe);
        }
        (_, "AccessDeniedException") | (403, _) => (
            code::ACCESS_DENIED,
            502,
            "AWS does not let this gateway call the function",
        ),
        (_, "ResourceNotFoundException") | (404, _) => (code::NOT_FOUND, 502, "there is no such function"),
        (413, _) => (
            code::EVENT_TOO_LARGE,
            413,
            "the event is larger than a function takes",
        ),
        _ => (code::REFUSED, 502, "AWS Lambda did not call the function"),
    };
    let retry = if status == 413 { Retry::No } else { Retry::Safe };
    Fault::backend(code, format!("{words} ({name})"))
        .status(status)
        .retry(retry)
}

pub fn of_credentials() -> Fault {
    Fault::new(
        fault::code::AUTHENTICATION,
        Origin::Gateway,
        "there are no credentials for AWS, or AWS does not accept them",
    )
    .status(502)
    .retry(Retry::Safe)
}

/// What the log says: everything.
pub fn words(failure: &Failure) -> String {
    match failure {
        Failure::Transport(error) => error.message.clone(),
        Failure::Refused(Refusal {
            status,
            code,
            message,
            reason,
            ..
        }) => {
            let reason = reason
                .as_deref()
                .map_or(String::new(), |reason| format!(" ({reason})"));
            format!("{status} {code}{reason}: {message}")
        }
        Failure::Credentials(reason) | Failure::Misconfigured(reason) => reason.clone(),
    }
}

/// Without names of resources and numbers of accounts.
pub fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_alphanumeric()) {
        masked.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_name = rest.starts_with("arn:");
        let end = rest
            .find(|letter: char| match is_name {
                true => letter.is_whitespace() || matches!(letter, '"' | '\'' | ',' | ';' | ')' | ']' | '}'),
                false => !letter.is_ascii_alphanumeric(),
            })
            .unwrap_or(rest.len());
        let word = &rest[..end];
        let is_account = word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_digit());
        masked.push_str(if is_name || is_account { "…" } else { word });
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_resources_nor_accounts_are_told() {
        for (text, expected) in [
            ("", ""),
            ("no, none", "no, none"),
            (
                "User: arn:aws:iam::123456789012:user/x is not authorized on \"arn:aws:lambda:eu-west-1:123456789012:function:f\"",
                "User: … is not authorized on \"…\"",
            ),
            (
                "(account 123456789012) 1234567890123",
                "(account …) 1234567890123",
            ),
            ("x_123456789012.zip – ö", "x_….zip – ö"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn what_a_function_says_of_its_failure_is_the_detail() {
        let check = |payload: &str, expected: &str| {
            let fault = of_function("Unhandled", payload.as_bytes(), false);
            assert_eq!(fault.retry, Retry::Unsafe);
            let told = format!(
                "{} {} | {}",
                fault.status.unwrap_or(0),
                fault.reason,
                fault.detail.clone().unwrap_or_default()
            );
            assert_eq!(told, expected);
        };
        check(
            r#"{"errorMessage": "no key in arn:aws:s3:::bucket", "errorType": "KeyError"}"#,
            "502 the function failed (Unhandled: KeyError) | the function failed (Unhandled: KeyError): no key in …",
        );
        check(
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: x Error: Task timed out after 3.00 seconds"}"#,
            "504 the function failed (Unhandled: Sandbox.Timedout) | the function failed (Unhandled: Sandbox.Timedout): RequestId: x Error: Task timed out after 3.00 seconds",
        );
        check(
            "not JSON",
            "502 the function failed (Unhandled) | the function failed (Unhandled)",
        );
    }

    #[test]
    fn each_refusal_has_a_code_and_a_status() {
        let check = |status: u16, name: &str, reason: Option<&str>, expected: &str| {
            let fault = of_refusal(&Refusal {
                status,
                code: name.to_owned(),
                message: "arn:aws:lambda:x".to_owned(),
                reason: reason.map(str::to_owned),
                retry_after: None,
            });
            let after = fault.retry_after.map_or(0, |after| after.as_secs());
            let told = format!("{} {after} {fault}", fault.status.unwrap_or(0));
            assert_eq!(told, expected);
        };
        check(
            429,
            "TooManyRequestsException",
            Some("ReservedFunctionConcurrentInvocationLimitExceeded"),
            "429 1 320002 AWS Lambda takes no more calls just now (ReservedFunctionConcurrentInvocationLimitExceeded)",
        );
        check(
            429,
            "TooManyRequestsException",
            Some("CallerRateLimitExceeded"),
            "503 1 320003 AWS Lambda takes no more calls just now (CallerRateLimitExceeded)",
        );
        check(
            502,
            "EC2ThrottledException",
            None,
            "503 1 320003 AWS Lambda takes no more calls just now (EC2ThrottledException)",
        );
        check(
            403,
            "AccessDeniedException",
            None,
            "502 0 320004 AWS does not let this gateway call the function (AccessDeniedException)",
        );
        check(
            404,
            "ResourceNotFoundException",
            None,
            "502 0 320005 there is no such function (ResourceNotFoundException)",
        );
        check(
            413,
            "RequestTooLargeException",
            None,
            "413 0 320007 the event is larger than a function takes (RequestTooLargeException)",
        );
        check(
            500,
            "",
            None,
            "502 0 320006 AWS Lambda did not call the function (no reason given)",
        );
    }
}
