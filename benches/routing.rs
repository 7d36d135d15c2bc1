//! Finding the API of a request costs the same with 10 APIs and with 10,000.

use divan::Bencher;
use myelin::deployment::api::{Api, Mapping, Methods, Resource, Transports};
use myelin::deployment::routes::{Asked, Route, Routes};
use myelin::deployment::uri_template::UriTemplate;
use myelin::text::{FileId, Span};
use std::sync::Arc;

fn main() {
    divan::main();
}

fn api(number: usize) -> Api {
    let span = Span::new(FileId(0), 0..0);
    let mut methods = Methods::default();
    assert!(methods.add("GET"));
    let resource = |path: &str| Resource {
        name: Arc::from(path),
        label: Arc::from(path),
        methods,
        mapping: Mapping::Template(UriTemplate::parse(path).expect("a template")),
        transports: Transports::BOTH,
        content_type: None,
        user_agent: None,
        in_sequence: None,
        out_sequence: None,
        fault_sequence: None,
        span,
        scopes: Vec::new(),
    };
    Api {
        name: Arc::from(format!("api{number}")),
        context: Arc::from(format!("/services{}/api{number}/v1", number % 7)),
        version: None,
        host: None,
        port: None,
        transports: Transports::BOTH,
        resources: vec![
            resource("/orders"),
            resource("/orders/{id}"),
            resource("/orders/{id}/lines/{line}"),
        ],
        span,
        broken: None,
        guard: None,
        cors: None,
        state: None,
        published: None,
    }
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn find(bencher: Bencher<'_, '_>, apis: usize) {
    let apis: Vec<Api> = (0..apis).map(api).collect();
    let routes = Routes::new(&apis, &[]);
    let targets: Vec<String> = (0..64)
        .map(|at| at * 157 % apis.len())
        .map(|at| format!("{}/orders/{at}/lines/2?full=true", apis[at].context))
        .collect();
    let mut headers = http::HeaderMap::new();
    headers.insert(
        http::header::HOST,
        http::HeaderValue::from_static("localhost:8290"),
    );
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        let asked = Asked {
            method: &http::Method::GET,
            target: &targets[turn % targets.len()],
            https: false,
            headers: &headers,
            has_body: false,
        };
        let route = routes.find(&apis, &[], &asked);
        assert!(matches!(route, Route::Resource(_)));
        route
    });
}
