//! Values that try to be more than values: in templates (S-TP-1), in headers (S-HDR-1), in paths (S-URI-1).

use super::talk::{Running, free_port};
use super::wire_kit::{Raw, Recorder, answer_with, framed, request, run};
use myelin::message::xml::{XmlLimits, XmlTree};

fn serve(artifacts: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let xml = format!(r#"<definitions xmlns="http://ws.apache.org/ns/synapse">{artifacts}</definitions>"#);
    std::fs::write(folder.path().join("a.xml"), xml).unwrap();
    Running::of(folder, free_port())
}

fn api(name: &str, steps: &str) -> String {
    format!(
        r#"<api name="{name}" context="/{name}"><resource methods="GET POST" url-mapping="/*"><inSequence>{steps}</inSequence></resource></api>"#
    )
}

fn template(media_type: &str, format: &str, arg: &str) -> String {
    format!(
        r#"<payloadFactory media-type="{media_type}"><format>{format}</format><args><arg {arg}/><arg value="secret"/></args></payloadFactory><respond/>"#
    )
}

async fn post(gateway: &Running, path: &str, value: &str) -> Raw {
    let body = serde_json::json!({ "v": value }).to_string();
    let (head, body) = framed(
        &format!("POST {path}\nContent-Type: application/json"),
        body.as_bytes(),
        None,
    );
    request(gateway.port, &head, &body).await.expect("an answer")
}

const VALUES: &[&str] = &[
    "</a><admin>1</admin>",
    "</a><admin>1</admin><a>",
    "]]></a><admin/>",
    "&lt;admin/&gt; &amp;amp; &#38;",
    "<!--",
    "\",\"admin\":true,\"x\":\"",
    "\\\",\"admin\":true,\"x\":\"",
    "\\",
    "$1",
    "$2 and $1 and $20",
    "${vars.secret}",
    "${payload.v} {{$ctx:secret}} {$ctx:secret}",
    "#[payload] #set($x = 1) <#if x>",
    "a\nb\tc\u{1}",
];

#[test]
fn a_value_in_a_template_is_a_value_and_no_more() {
    run(async {
        let hold = r#"<property name="v" expression="json-eval($.v)"/><variable name="secret" value="secret"/><property name="secret" value="secret"/>"#;
        let json_arg = r#"evaluator="json" expression="$.v""#;
        let property_arg = r#"expression="$ctx:v""#;
        let xml = r#"<o xmlns=""><a>$1</a></o>"#;
        let json = r#"{"a": "$1"}"#;
        let mut artifacts = String::new();
        for (from, arg) in [("path", json_arg), ("property", property_arg)] {
            artifacts += &api(
                &format!("xml-{from}"),
                &format!("{hold}{}", template("xml", xml, arg)),
            );
            artifacts += &api(
                &format!("json-{from}"),
                &format!("{hold}{}", template("json", json, arg)),
            );
        }
        let gateway = serve(&artifacts);
        for value in VALUES {
            for from in ["path", "property"] {
                let answer = post(&gateway, &format!("/json-{from}"), value).await;
                let what = format!("{value:?} by {from}: {}", answer.text());
                assert_eq!(answer.status(), 200, "{what}");
                let json: serde_json::Value = serde_json::from_slice(&answer.body).expect(&what);
                assert_eq!(json, serde_json::json!({ "a": value }), "{what}");

                let answer = post(&gateway, &format!("/xml-{from}"), value).await;
                let what = format!("{value:?} by {from}: {} {}", answer.status(), answer.text());
                if value.contains('\u{1}') {
                    // No XML can hold it.
                    assert!(answer.status() >= 400 || !answer.body.contains(&1), "{what}");
                    continue;
                }
                let tree = XmlTree::parse(&answer.body, &XmlLimits::default()).expect(&what);
                let root = tree.document_element().unwrap();
                let elements: Vec<_> = tree
                    .descendants(root)
                    .filter(|&node| tree.is_element(node))
                    .collect();
                let names: Vec<&str> = elements.iter().map(|&node| tree.local_name(node)).collect();
                assert_eq!(names, ["a"], "{what}");
                assert_eq!(tree.string_value(root), *value, "{what}");
            }
        }
    });
}

#[test]
fn a_value_in_a_header_makes_no_second_header() {
    run(async {
        let backend = Recorder::echo();
        let port = backend.address.port();
        let send = format!(r#"<send><endpoint><address uri="http://127.0.0.1:{port}/b"/></endpoint></send>"#);
        let property = r#"<property name="X-Out" expression="json-eval($.v)" scope="transport"/>"#;
        let header = r#"<header name="X-Out" expression="json-eval($.v)" scope="transport"/>"#;
        let reason = r#"<property name="HTTP_SC_DESC" expression="json-eval($.v)" scope="axis2"/><property name="HTTP_SC" value="207" scope="axis2"/>"#;
        let kind = r#"<property name="ContentType" expression="json-eval($.v)" scope="axis2"/>"#;
        let script =
            r#"<script language="js">mc.setProperty('X-Out', mc.getPayloadJSON().v, 'transport')</script>"#;
        let action = r#"<header name="Action" expression="json-eval($.v)"/><property name="messageType" value="text/xml" scope="axis2"/>"#;
        let host = r#"<property name="REQUEST_HOST_HEADER" expression="json-eval($.v)" scope="axis2"/>"#;
        let method = r#"<property name="HTTP_METHOD" expression="json-eval($.v)" scope="axis2"/>"#;
        let suffix = r#"<property name="REST_URL_POSTFIX" expression="json-eval($.v)" scope="axis2"/>"#;
        let charset =
            r#"<property name="CHARACTER_SET_ENCODING" expression="json-eval($.v)" scope="axis2"/>"#;
        let places = [
            ("property", property),
            ("header", header),
            ("reason", reason),
            ("kind", kind),
            ("script", script),
            ("action", action),
            ("host", host),
            ("method", method),
            ("suffix", suffix),
            ("charset", charset),
        ];
        let mut artifacts = String::new();
        for (name, step) in places {
            artifacts += &api(&format!("{name}-in"), &format!("{step}{send}"));
            artifacts += &api(&format!("{name}-out"), &format!("{step}<respond/>"));
        }
        let gateway = serve(&artifacts);
        let long = "x".repeat(100_000);
        let (mut refused, mut kept) = (0, 0);
        for value in [
            "a\r\nX-Evil: 1",
            "a\nX-Evil: 1",
            "a\rX-Evil: 1",
            "\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
            "a\0b",
            "a\u{7f}b",
            "\u{e4}\u{560a}X-Evil: 1\u{560d}",
            &long,
        ] {
            for (name, _) in places {
                for side in ["in", "out"] {
                    let answer = post(&gateway, &format!("/{name}-{side}"), value).await;
                    let what = format!(
                        "{} as {name}-{side}: {}",
                        &value[..value.len().min(30)],
                        answer.head.len()
                    );
                    assert_eq!(answer.headers("x-evil").count(), 0, "{what} {}", answer.head);
                    assert!(
                        !answer.head.replace("\r\n", "").contains(['\r', '\n', '\0']),
                        "{what}"
                    );
                    let seen = backend.requests.take();
                    for request in &seen {
                        assert_eq!(request.headers("x-evil").count(), 0, "{what} {}", request.head);
                        if !["method", "suffix"].contains(&name) {
                            assert_eq!(request.first_line(), "POST /b HTTP/1.1", "{what}");
                        }
                        assert!(request.first_line().ends_with(" HTTP/1.1"), "{what}");
                        assert!(
                            !request.head.replace("\r\n", "").contains(['\r', '\n', '\0']),
                            "{what}"
                        );
                    }
                    if answer.status() >= 400 {
                        assert!(seen.is_empty(), "{what}: refused, and yet sent");
                        refused += 1;
                    } else {
                        kept += 1;
                    }
                }
            }
            assert_eq!(
                post(&gateway, "/property-out", "good").await.header("x-out"),
                Some("good")
            );
        }
        println!("{refused} refused, {kept} answered without the value or with it harmless");
    });
}

/// What a script for a dynamic endpoint adds to a request, and what a function of AWS says are the headers of its answer.
#[test]
fn no_endpoint_makes_two_headers_of_a_value() {
    run(async {
        let backend = Recorder::echo();
        let function = Recorder::start(|request| {
            let event: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let body: serde_json::Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
            let value = body["v"].as_str().unwrap();
            let said = serde_json::json!({
                "statusCode": 200,
                "headers": {"X-Out": value, value: "1"},
                "multiValueHeaders": {"X-Many": [value, "2"]},
                "cookies": [value],
                "body": "said"
            });
            answer_with(200, "OK", "", said.to_string().as_bytes())
        });
        let dynamic = format!(
            r#"<send><endpoint name="d"><dynamic expression='#{{address: "http://{}/b", headers: #{{"x-out": payload.v}}, bare: true}}'/></endpoint></send>"#,
            backend.address
        );
        let lambda = format!(
            r#"<call><endpoint name="l"><lambda function="arn:aws:lambda:eu-west-1:123456789012:function:f" access-key="a" secret-key="s" event="apigw-v1" endpoint-url="http://{}"/></endpoint></call><respond/>"#,
            function.address
        );
        let gateway = serve(&(api("dynamic", &dynamic) + api("lambda", &lambda).as_str()));
        for value in [
            "a\r\nX-Evil: 1",
            "a\nX-Evil: 1",
            "a\rX-Evil: 1",
            "a\r\n\r\nX-Evil: 1",
            "a\0b",
            "a\u{7f}b",
            "\u{e4}\u{560a}X-Evil: 1\u{560d}",
            "X-Evil: 1",
        ] {
            for name in ["dynamic", "lambda"] {
                let answer = post(&gateway, &format!("/{name}"), value).await;
                let what = format!("{} by {name}: {}", value.escape_debug(), answer.head);
                let seen = backend.requests.take();
                for head in seen.iter().map(|seen| &seen.head).chain([&answer.head]) {
                    let evil = head
                        .lines()
                        .filter(|line| line.to_lowercase().starts_with("x-evil"));
                    assert_eq!(evil.count(), 0, "{what} {head}");
                    assert!(
                        !head.replace("\r\n", "").contains(['\r', '\n', '\0']),
                        "{what} {head}"
                    );
                }
            }
        }
        let answer = post(&gateway, "/lambda", "good").await;
        assert_eq!((answer.status(), answer.header("x-out")), (200, Some("good")));
        assert_eq!(post(&gateway, "/dynamic", "good").await.status(), 200);
        assert_eq!(backend.requests.borrow()[0].header("x-out"), Some("good"));
    });
}

pub const PATHS: &[&str] = &[
    "/open/a",
    "/open/./a",
    "/open/../closed/a",
    "/open/%2e%2e/closed/a",
    "/open/%2E%2e/closed/a",
    "/open/.%2e/closed/a",
    "/open/..%2fclosed/a",
    "/open/%2e%2e%2fclosed/a",
    "/open/%252e%252e/closed/a",
    "/open/..;/closed/a",
    "/open/..;x=1/closed/a",
    "/open/a;b=1/c",
    "/open//closed/a",
    "//closed/a",
    "//open/a",
    "/open/..\\closed\\a",
    "/open/%5c..%5cclosed/a",
    "/open/a%00b",
    "/open/%00",
    "/open/%",
    "/open/%4",
    "/open/%zz",
    "/open/%c0%ae%c0%ae/closed",
    "/open/%e0%80%ae/a",
    "/open/%ff",
    "/open/a/../../closed/a",
    "/open/../../../../closed/a",
    "/open/a%2fb",
    "/open/%61",
    "/%6fpen/a",
    "/open/a?x=/../closed",
    "/open/a/..",
    "/open/...",
    "/open/%09x",
    "/closed/../open/a",
    "/open/a%0d%0aX-Evil:%201",
];

#[test]
fn what_is_routed_is_what_is_forwarded() {
    run(async {
        let backend = Recorder::echo();
        let port = backend.address.port();
        let open = format!(
            r#"<property name="X-Routed" expression="$ctx:REST_SUB_REQUEST_PATH" scope="transport"/>
            <send><endpoint><address uri="http://127.0.0.1:{port}/b"/></endpoint></send>"#
        );
        let closed = r#"<property name="HTTP_SC" value="403" scope="axis2"/><respond/>"#;
        let gateway = serve(&format!("{}{}", api("open", &open), api("closed", closed)));
        let (mut forwarded, mut refused) = (0, 0);
        for path in PATHS {
            let (head, body) = framed(&format!("GET {path}"), b"", None);
            let answer = request(gateway.port, &head, &body).await.expect("an answer");
            let seen = backend.requests.take();
            let lower = path.to_lowercase();
            let bad = ["%00", "%zz", "%c0", "%e0%80", "\\"]
                .iter()
                .any(|part| lower.contains(part))
                || matches!(*path, "/open/%" | "/open/%4");
            if bad {
                assert_eq!(answer.status(), 400, "{path}");
            }
            if answer.status() != 200 {
                assert!(
                    matches!(answer.status(), 400 | 403 | 404),
                    "{path}: {}",
                    answer.head
                );
                assert!(seen.is_empty(), "{path} was refused and forwarded");
                refused += 1;
                continue;
            }
            forwarded += 1;
            let target = seen[0]
                .first_line()
                .split(' ')
                .nth(1)
                .expect("a target")
                .to_owned();
            assert_eq!(
                Some(&*target),
                seen[0]
                    .header("x-routed")
                    .map(|routed| format!("/b{routed}"))
                    .as_deref(),
                "{path}"
            );
            assert_eq!(seen[0].headers("x-evil").count(), 0);
            let segments = target
                .split('?')
                .next()
                .unwrap_or("")
                .to_lowercase()
                .replace("%2e", ".");
            assert!(
                !segments.split('/').any(|segment| matches!(segment, "." | "..")),
                "{path} became {target}"
            );
        }
        println!("{forwarded} forwarded, {refused} refused");
        assert!(PATHS.len() >= 30 && forwarded >= 10 && refused >= 12);
    });
}
