//! What a script costs that says where a message goes. A whole exchange with one is the case `dynamic` of `mediation`, to be held against `pass_through`.

use divan::Bencher;
use http::{HeaderMap, HeaderValue};
use myelin::message::properties::{Properties, Value};
use myelin::script::{Given, Script};
use myelin::text::{FileId, Placed, Span};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BY_HEADER: &str =
    r#"if headers.tier == "gold" { "http://gold.example/a" } else { "http://tin.example/a" }"#;
const COMPUTED: &str = r#"`https://${headers["x-region"] ?? "eu"}.example.com${path}`"#;
const BY_BODY: &str = r#"let total = 0; for item in payload.items { total += item.price; } if total > 100 { "large" } else { "small" }"#;
const MAP: &str = r#"#{address: "http://backend/" + encode(properties.country), method: "PUT", headers: #{"x-tier": "gold"}}"#;

fn main() {
    divan::main();
}

#[divan::bench(args = [("by header", BY_HEADER), ("computed", COMPUTED), ("by body", BY_BODY), ("map", MAP)])]
fn script(bencher: Bencher<'_, '_>, (_, text): (&str, &str)) {
    let span = Span::new(FileId(0), 0..text.len());
    let compiled = Script::compile(&Placed::verbatim(text, span), Duration::from_millis(50));
    let script = compiled.unwrap_or_else(|mistake| panic!("{}", mistake.message));
    let mut lent = Some(given());
    bencher.bench_local(|| {
        let (back, answer) = script.run(lent.take().expect("it came back"));
        lent = Some(back);
        answer.expect("an answer")
    });
}

fn given() -> Given {
    let mut headers = HeaderMap::new();
    for name in [
        "host",
        "accept",
        "user-agent",
        "x-request-id",
        "authorization",
        "cookie",
        "tier",
    ] {
        headers.insert(name, HeaderValue::from_static("some value of a header"));
    }
    headers.insert("x-region", HeaderValue::from_static("us"));
    let mut properties = Properties::default();
    properties.set("country", Value::text("se"));
    let items: Vec<_> = (0..10)
        .map(|price| serde_json::json!({ "price": price }))
        .collect();
    Given {
        headers,
        properties,
        target: Arc::from("/orders/7?status=open"),
        payload: Some(Arc::new(serde_json::json!({ "items": items }))),
        ..Given::default()
    }
}
