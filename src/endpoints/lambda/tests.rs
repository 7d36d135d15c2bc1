//! What a call of a function is made of, message by message.

use crate::endpoints::ALL;
use crate::flow::testing::{Scripted, ScriptedBackend, exchange, wait};
use crate::flow::{Answer, Catalog, Exchange, Fault};
use crate::message::json::{self, Json, JsonLimits};
use crate::message::properties::Value;
use crate::plan::{Kinds, testing};
use crate::wire::client::{Reached, SendErrorKind};
use std::rc::Rc;

const GOOD: &str =
    r#"region="eu-west-1" access-key="AKID" secret-key="s3cret" endpoint-url="http://backend""#;

const KINDS: Kinds = Kinds {
    mediators: &[],
    endpoints: ALL,
};

/// Calls `hello` once for each answer of the script.
fn call(
    attributes: &str,
    inside: &str,
    request: &str,
    script: Vec<Scripted>,
    properties: &[(&str, &str)],
) -> (Vec<Result<Answer, Fault>>, Rc<ScriptedBackend>) {
    let endpoint =
        format!(r#"<endpoint><lambda function="hello" {GOOD} {attributes}>{inside}</lambda></endpoint>"#);
    let planned = testing::endpoint(KINDS, &endpoint, "");
    assert_eq!(planned.told(), Vec::<String>::new());
    let endpoint = planned.what.expect("it is sound");
    let catalog = std::sync::Arc::new(planned.catalog);
    let times = script.len();
    let backend = ScriptedBackend::new(script);
    let answers = wait(async {
        let mut answers = Vec::new();
        let mut worker = None;
        for _ in 0..times {
            let mut exchange: Exchange = exchange(request, Catalog::default(), Rc::clone(&backend));
            exchange.catalog = std::sync::Arc::clone(&catalog);
            exchange.worker = Rc::clone(worker.get_or_insert_with(|| Rc::clone(&exchange.worker)));
            for (name, value) in properties {
                exchange.properties.set(*name, Value::text(value));
            }
            answers.push(endpoint.deliver(&mut exchange).await);
        }
        answers
    });
    (answers, backend)
}

fn event(attributes: &str, request: &str, properties: &[(&str, &str)]) -> Json {
    let answer = vec![Scripted::parse("200\n\nnull")];
    let (answers, backend) = call(attributes, "", request, answer, properties);
    assert!(answers.iter().all(Result::is_ok));
    json::parse(&backend.only().body, &JsonLimits::default()).expect("an event is JSON")
}

fn check(attributes: &str, request: &str, expected: &str) {
    let properties = [
        ("uri.var.id", "7"),
        ("rest.url.pattern", "/pets/{id}"),
        ("SYNAPSE_REST_API", "Pets"),
    ];
    let mut event = event(attributes, request, &properties);
    // Made up, and another one each time.
    let id = std::mem::replace(&mut event["requestContext"]["requestId"], Json::from("REQUEST"));
    assert_eq!(id.as_str().map(str::len), Some(36));
    let expected = json::parse(expected.as_bytes(), &JsonLimits::default()).expect("it is JSON");
    assert_eq!(event, expected, "{event:#}");
}

const REQUEST: &str = "POST /store/pets/7?a=1&b=%C3%B6+x&a=2\nhost: api.example.com:8290\nuser-agent: curl\ncookie: c=1; d=2\nx-many: 1\nx-many: 2\nconnection: x-hop\nx-hop: no\ncontent-type: application/json\n\n{\"n\": 1.10}";

#[test]
fn an_event_of_the_first_version_has_lists_of_values() {
    check(
        r#"event="apigw-v1""#,
        REQUEST,
        r#"{
  "version": "1.0",
  "resource": "/pets/{id}",
  "path": "/store/pets/7",
  "httpMethod": "POST",
  "headers": {
    "Host": "api.example.com:8290",
    "User-Agent": "curl",
    "Cookie": "c=1; d=2",
    "X-Many": "2",
    "Content-Type": "application/json",
    "Content-Length": "11"
  },
  "multiValueHeaders": {
    "Host": [
      "api.example.com:8290"
    ],
    "User-Agent": [
      "curl"
    ],
    "Cookie": [
      "c=1; d=2"
    ],
    "X-Many": [
      "1",
      "2"
    ],
    "Content-Type": [
      "application/json"
    ],
    "Content-Length": [
      "11"
    ]
  },
  "queryStringParameters": {
    "a": "2",
    "b": "ö x"
  },
  "multiValueQueryStringParameters": {
    "a": [
      "1",
      "2"
    ],
    "b": [
      "ö x"
    ]
  },
  "pathParameters": {
    "id": "7"
  },
  "stageVariables": null,
  "requestContext": {
    "resourcePath": "/pets/{id}",
    "httpMethod": "POST",
    "requestTime": "02/Jan/2026:03:04:05 +0000",
    "path": "/store/pets/7",
    "stage": "$default",
    "domainPrefix": "api",
    "requestTimeEpoch": 1767323045000,
    "requestId": "REQUEST",
    "identity": {
      "sourceIp": "127.0.0.1",
      "userAgent": "curl"
    },
    "domainName": "api.example.com",
    "apiId": "Pets"
  },
  "body": "{\"n\": 1.10}",
  "isBase64Encoded": false
}"#,
    );
}

#[test]
fn an_event_of_the_second_version_leaves_out_what_is_not_there() {
    check(
        r#"event="apigw-v2""#,
        REQUEST,
        r#"{
  "version": "2.0",
  "routeKey": "POST /pets/{id}",
  "rawPath": "/store/pets/7",
  "rawQueryString": "a=1&b=%C3%B6+x&a=2",
  "cookies": [
    "c=1",
    "d=2"
  ],
  "headers": {
    "host": "api.example.com:8290",
    "user-agent": "curl",
    "x-many": "1,2",
    "content-type": "application/json",
    "content-length": "11"
  },
  "queryStringParameters": {
    "a": "1,2",
    "b": "ö x"
  },
  "requestContext": {
    "apiId": "Pets",
    "domainName": "api.example.com",
    "domainPrefix": "api",
    "http": {
      "method": "POST",
      "path": "/store/pets/7",
      "sourceIp": "127.0.0.1",
      "userAgent": "curl"
    },
    "requestId": "REQUEST",
    "routeKey": "POST /pets/{id}",
    "stage": "$default",
    "time": "02/Jan/2026:03:04:05 +0000",
    "timeEpoch": 1767323045000
  },
  "pathParameters": {
    "id": "7"
  },
  "body": "{\"n\": 1.10}",
  "isBase64Encoded": false
}"#,
    );
    let bare = event(r#"event="apigw-v2""#, "GET /", &[]);
    for name in ["cookies", "queryStringParameters", "pathParameters", "body"] {
        assert_eq!(bare.get(name), None, "{name}");
    }
    assert_eq!(bare["routeKey"], "$default");
}

#[test]
fn wso2_gives_parameters_from_properties_and_an_empty_object_for_no_body() {
    let properties = [("uri.var.id", "7"), ("query.param.q", "x")];
    let event = event("", "GET /pets/7?q=y", &properties);
    assert_eq!(event["pathParameters"], serde_json::json!({"id": "7"}));
    assert_eq!(event["queryStringParameters"], serde_json::json!({"q": "x"}));
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&Json::from("{}"), &Json::from(false))
    );
}

#[test]
fn what_a_step_sets_takes_the_place_of_what_came() {
    let event = event(r#"event="apigw-v1""#, "GET /?a=1&b=2", &[("query.param.a", "9")]);
    assert_eq!(
        event["multiValueQueryStringParameters"],
        serde_json::json!({"b": ["2"], "a": ["9"]})
    );
}

#[test]
fn bodies_that_are_no_text_are_written_in_base64() {
    for (attributes, content_type, body, expected, base64) in [
        ("", "application/json", "{}", "{}", false),
        ("", "image/svg+xml", "<svg/>", "<svg/>", false),
        ("", "application/octet-stream", "abc", "YWJj", true),
        ("", "image/png", "abc", "YWJj", true),
        ("", "multipart/form-data; boundary=b", "--b--", "LS1iLS0=", true),
        ("", "text/plain\ncontent-encoding: gzip", "abc", "YWJj", true),
        (r#"content-encode="on""#, "text/plain", "abc", "YWJj", true),
        (
            r#"content-encode="off""#,
            "application/octet-stream",
            "abc",
            "abc",
            false,
        ),
    ] {
        let request = format!("POST /\ncontent-type: {content_type}\n\n{body}");
        let event = event(attributes, &request, &[]);
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&Json::from(expected), &Json::from(base64)),
            "{content_type}"
        );
    }
}

#[test]
fn the_body_alone_is_always_json() {
    for (attributes, request, expected) in [
        ("", "POST /\ncontent-type: application/json\n\n[1]", "[1]"),
        (
            "",
            "POST /\ncontent-type: application/xml\n\n<a><b>1</b></a>",
            r#"{"a":{"b":1}}"#,
        ),
        ("", "POST /\ncontent-type: text/plain\n\nhi", r#""hi""#),
        ("", "POST /\ncontent-type: image/png\n\nabc", r#""YWJj""#),
        (
            r#"content-encode="on""#,
            "POST /\ncontent-type: application/json\n\n[1]",
            r#""WzFd""#,
        ),
        ("", "GET /", "{}"),
    ] {
        let attributes = format!(r#"event="body" {attributes}"#);
        assert_eq!(
            json::text(&event(&attributes, request, &[])),
            expected,
            "for {request}"
        );
    }
}

/// `STATUS CODE REASON` of the last answer, or its status alone.
fn outcome(attributes: &str, inside: &str, script: Vec<Scripted>) -> String {
    let (answers, _) = call(attributes, inside, "POST /\n\nx", script, &[]);
    match answers.into_iter().last().expect("an answer") {
        Ok(answer) => answer.status.to_string(),
        Err(fault) => format!("{} {fault}", fault.status.unwrap_or(0)),
    }
}

#[test]
fn what_aws_says_of_itself_is_a_fault_that_names_nobody() {
    let refused = "403\nx-amzn-errortype: AccessDeniedException\n\n{\"Message\": \"User: arn:aws:iam::123456789012:user/u is not authorized\"}";
    assert_eq!(
        outcome("", "", vec![Scripted::parse(refused)]),
        "502 320004 AWS does not let this gateway call the function (AccessDeniedException)"
    );
    let throttled = "429\nx-amzn-errortype: TooManyRequestsException\nretry-after: 7\n\n{\"Reason\": \"ReservedFunctionConcurrentInvocationLimitExceeded\"}";
    let (answers, _) = call("", "", "GET /", vec![Scripted::parse(throttled)], &[]);
    let fault = answers.into_iter().next().and_then(Result::err).expect("a fault");
    assert_eq!(
        (fault.status, fault.retry_after.map(|after| after.as_secs())),
        (Some(429), Some(7))
    );
    let failed = "200\nx-amz-function-error: Unhandled\n\n{\"errorType\": \"KeyError\"}";
    assert_eq!(
        outcome("", "", vec![Scripted::parse(failed)]),
        "502 320001 the function failed (Unhandled: KeyError)"
    );
    let expired = "403\nx-amzn-errortype: ExpiredTokenException\n\n{}";
    assert_eq!(
        outcome("", "", vec![Scripted::parse(expired)]),
        "502 303003 there are no credentials for AWS, or AWS does not accept them"
    );
    assert_eq!(
        outcome("", "", vec![Scripted::parse("200\nx: y\n\nnull")]),
        "200 OK"
    );
}

#[test]
fn what_does_not_answer_is_told_as_of_any_endpoint() {
    let patient = "<timeout><duration>2000</duration></timeout>";
    assert_eq!(
        outcome("", patient, vec![Scripted::Silent]),
        "0 101504 Send timeout"
    );
    let refused = || vec![Scripted::fails(SendErrorKind::Connect, Reached::NothingSent)];
    assert_eq!(outcome("", "", refused()), "0 101503 Connect (AWS Lambda)");
    // And it takes the endpoint out of use.
    let then = refused()
        .into_iter()
        .chain([Scripted::parse("200\n\nnull")])
        .collect();
    assert!(outcome("", "", then).starts_with("0 303001 Currently , Lambda endpoint"));
}

#[test]
fn a_function_that_fails_takes_the_endpoint_out_of_use_only_when_its_code_is_named() {
    let failed = || Scripted::parse("200\nx-amz-function-error: Unhandled\n\n{}");
    let script = || vec![failed(), Scripted::parse("200\n\nnull")];
    assert_eq!(outcome("", "", script()), "200 OK");
    let named = "<suspendOnFailure><errorCodes>320001</errorCodes><initialDuration>1000</initialDuration></suspendOnFailure>";
    assert!(outcome("", named, script()).starts_with("0 303001 "));
}

#[test]
fn one_way_messages_are_run_later() {
    let accepted = vec![Scripted::parse("202")];
    let (answers, backend) = call("", "", "POST /\n\nx", accepted, &[("OUT_ONLY", "true")]);
    let answer = answers.into_iter().next().expect("one").expect("an answer");
    assert_eq!(answer.status, 202);
    assert_eq!(backend.only().headers["x-amz-invocation-type"], "Event");
}

#[test]
fn parts_that_do_not_go_together_are_told_where_they_stand() {
    let check = |attributes: &str, expected: &[&str]| {
        let endpoint = format!("<endpoint><lambda {attributes}/></endpoint>");
        let planned = testing::endpoint(KINDS, &endpoint, "");
        assert_eq!(planned.told(), expected, "for {attributes}");
    };
    check(r#"function="a""#, &[]);
    check(
        r#"function="a" access-key="k""#,
        &["E0210 2:32 `access-key` needs `secret-key` beside it"],
    );
    check(
        r#"function="a" session-token="k""#,
        &["E0210 2:32 `session-token` needs `access-key` beside it"],
    );
    check(
        r#"function="a" role-arn="arn:aws:iam::123456789012:role/r""#,
        &["E0210 2:32 `role-arn` needs `role-session` beside it"],
    );
    check(
        r#"function="a" role-session="rr""#,
        &["E0210 2:32 `role-session` needs `role-arn` beside it"],
    );
    check(
        r#"function="a" role-arn="r" role-session="a b""#,
        &[
            "E0203 2:42 `r` is not the ARN of a role",
            "E0203 2:59 `a b` cannot be the name of a session",
        ],
    );
    check(
        r#"function="a:1" qualifier="2""#,
        &["E0210 2:45 the version or alias stands in `function` already"],
    );
    check(
        r#"function="a/b" region="EU" endpoint-url="backend""#,
        &[
            "E0203 2:29 `a/b` is no function of AWS Lambda: its name is one of letters, digits, `-` and `_`",
            "E0203 2:42 `EU` is not the name of a region",
            "E0305 2:60 `backend` is not an address that can be called",
        ],
    );
    check(
        r#"function="a" event="alb""#,
        &["E0203 2:39 `alb` is not what `event` takes"],
    );
    check(
        r#"function="a" qualifier="ö""#,
        &["E0203 2:43 `ö` is no version or alias"],
    );
}
