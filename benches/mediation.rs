//! What mediation costs apart from the network: whole exchanges in process with a backend in memory, the reading of XML, and the load of
//! a large configuration.
//!
//! `PROFILE=xpath_routing:2000 cargo bench --bench mediation` runs one exchange that often and nothing else, for a profiler.

use async_trait::async_trait;
use bytes::Bytes;
use divan::Bencher;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use myelin::deployment::{self, Deployment, LoadOptions};
use myelin::flow::Worker;
use myelin::flow::runtime::{Backends, Clock, Runtime, Timeouts};
use myelin::gateway::serve::Server;
use myelin::message::body::ByteStream;
use myelin::message::xml::{XmlLimits, XmlTree};
use myelin::wire::{ClientRequest, ClientResponse, Incoming, Scheme, SendError};
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALL: &str =
    r#"<call><endpoint><http uri-template="http://backend.example/x"/></endpoint></call><respond/>"#;
const DYNAMIC: &str = r#"<call><endpoint><dynamic expression='if headers.tier == "gold" { "http://gold.example/x" } else { "http://backend.example/x" }'/></endpoint></call><respond/>"#;
const THREE: &str = r#"<filter source="$trp:X-None" regex="x"><then><drop/></then></filter>
    <property name="p" value="1"/><header name="X-P" value="1" scope="transport"/>"#;
const TO_XML: &str = r#"<payloadFactory media-type="xml"><format><order xmlns=""><id>$1</id><item>$2</item></order></format><args>
    <arg evaluator="json" expression="$.id"/><arg evaluator="json" expression="$.item"/></args></payloadFactory><respond/>"#;
const ROUTE: &str =
    r#"<filter xpath="//m:symbol = 'ACME'" xmlns:m="urn:q"><then>CALL</then><else><drop/></else></filter>"#;

fn main() {
    match std::env::var("PROFILE") {
        Ok(wanted) => profile(&wanted),
        Err(_) => divan::main(),
    }
}

struct Case {
    name: &'static str,
    steps: String,
    content_type: &'static str,
    body: String,
}

fn cases() -> Vec<Case> {
    let case = |name, steps: &str, content_type, body: String| Case {
        name,
        steps: steps.to_owned(),
        content_type,
        body,
    };
    let json = format!(r#"{{"id": 7, "item": "book", "note": "{}"}}"#, "n".repeat(900));
    vec![
        case("bare_respond", "<respond/>", "", String::new()),
        case("json_respond", "<respond/>", "application/json", json.clone()),
        case("pass_through", CALL, "", String::new()),
        case(
            "failover_of_two",
            &group("<failover>", "</failover>"),
            "",
            String::new(),
        ),
        case(
            "turns_of_two",
            &group("<loadbalance>", "</loadbalance>"),
            "",
            String::new(),
        ),
        case("dynamic", DYNAMIC, "", String::new()),
        case("three_mediators", &format!("{THREE}{CALL}"), "", String::new()),
        case("json_to_xml", TO_XML, "application/json", json),
        case(
            "xpath_routing",
            &ROUTE.replace("CALL", CALL),
            "text/xml",
            soap_message(),
        ),
    ]
}

/// The backend of the other cases, twice in a group: what the group adds is the difference to `pass_through`.
fn group(open: &str, close: &str) -> String {
    let (before, rest) = CALL.split_once("<endpoint").expect("it names an endpoint");
    let (leaf, after) = rest.split_once("</endpoint>").expect("it ends");
    let leaf = format!("<endpoint{leaf}</endpoint>");
    format!("{before}<endpoint>{open}{leaf}{leaf}{close}</endpoint>{after}")
}

/// 10 KiB in 150 lines.
fn soap_message() -> String {
    let lines: String = (0..150).fold(String::new(), |mut lines, number| {
        write!(
            lines,
            "<m:line><m:no>{number}</m:no><m:text>some text of a line</m:text></m:line>"
        )
        .expect("a string takes everything");
        lines
    });
    format!(
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><m:quote xmlns:m="urn:q">{lines}<m:symbol>ACME</m:symbol></m:quote></s:Body></s:Envelope>"#
    )
}

/// Answers 1 KiB at once.
struct Instant(Bytes);

#[async_trait(?Send)]
impl Backends for Instant {
    async fn send(&self, _request: ClientRequest) -> Result<ClientResponse, SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(ClientResponse {
            status: StatusCode::OK,
            reason: None,
            version: Version::HTTP_11,
            headers,
            body: ByteStream::from(self.0.clone()),
            tunnel: None,
        })
    }
}

struct Ready {
    runtime: tokio::runtime::Runtime,
    server: Server,
    deployment: Arc<Deployment>,
    headers: HeaderMap,
    body: Bytes,
}

impl Ready {
    fn new(case: &Case) -> Ready {
        let folder = tempfile::tempdir().expect("a folder");
        let api = format!(
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="a" context="/a"><resource methods="GET POST" uri-template="/*"><inSequence>{}</inSequence></resource></api>"#,
            case.steps
        );
        std::fs::write(folder.path().join("a.xml"), api).expect("a file");
        let loaded = load(folder.path());
        let timeouts = Timeouts {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
        };
        let worker = Rc::new(Worker {
            errands: Default::default(),
            client: Rc::new(Instant(Bytes::from("x".repeat(1024)))),
            runtime: Arc::new(Runtime::new(Clock::System, 7, timeouts)),
            scripts: myelin::script::js::Pool::new(Default::default(), Arc::default(), Arc::default()),
        });
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:8290"));
        if !case.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(case.content_type));
        }
        Ready {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            server: Server::new(worker, Arc::default()),
            deployment: loaded,
            headers,
            body: Bytes::from(case.body.clone()),
        }
    }

    fn ask(&self) {
        let address = ([127, 0, 0, 1], 8290).into();
        let incoming = Incoming {
            method: if self.body.is_empty() { "GET" } else { "POST" }
                .parse()
                .expect("a method"),
            target: "/a/x".parse().expect("a target"),
            version: Version::HTTP_11,
            scheme: Scheme::Http,
            remote: address,
            local: address,
            headers: self.headers.clone(),
            body: ByteStream::from(self.body.clone()),
            websocket: false,
        };
        let reply = self
            .runtime
            .block_on(self.server.serve(Arc::clone(&self.deployment), incoming));
        assert_eq!(reply.status, StatusCode::OK);
        divan::black_box(reply);
    }
}

fn load(folder: &Path) -> Arc<Deployment> {
    let loaded = deployment::load(&[folder.to_path_buf()], &LoadOptions::default());
    let mistakes: Vec<&String> = loaded
        .mistakes
        .iter()
        .map(|mistake| &mistake.message)
        .take(3)
        .collect();
    loaded.deployment.unwrap_or_else(|| panic!("{mistakes:?}"))
}

fn profile(wanted: &str) {
    let (name, times) = wanted.split_once(':').unwrap_or((wanted, "1000"));
    let times: usize = times.parse().expect("NAME:TIMES");
    match name {
        "parse_xml" => {
            let (text, limits) = (soap_message(), XmlLimits::default());
            for _ in 0..times {
                divan::black_box(XmlTree::parse_str(&text, &limits).expect("XML"));
            }
        }
        "load_thousands" => {
            let folder = thousands();
            for _ in 0..times {
                divan::black_box(load(folder.path()));
            }
        }
        _ => {
            let case = cases()
                .into_iter()
                .find(|case| case.name == name)
                .expect("the name of a case");
            let ready = Ready::new(&case);
            (0..times).for_each(|_| ready.ask());
        }
    }
}

#[divan::bench(args = ["bare_respond", "json_respond", "pass_through", "failover_of_two", "turns_of_two", "three_mediators", "json_to_xml", "xpath_routing"])]
fn exchange(bencher: Bencher<'_, '_>, name: &str) {
    let case = cases()
        .into_iter()
        .find(|case| case.name == name)
        .expect("it is listed above");
    let ready = Ready::new(&case);
    bencher.bench_local(|| ready.ask());
}

#[divan::bench]
fn parse_xml(bencher: Bencher<'_, '_>) {
    let (text, limits) = (soap_message(), XmlLimits::default());
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench_local(|| XmlTree::parse_str(&text, &limits).expect("XML"));
}

/// 3,000 artifacts of about 40 steps each.
fn thousands() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..3000 {
        let next = (number + 3) / 6 * 6;
        let steps: String = (0..10).fold(String::new(), |mut steps, step| {
            // Most patterns are words or are used in many places; some are one artifact's own.
            let pattern = match step {
                0 if number % 10 == 3 => format!("{number}-[a-z]+"),
                0 => r"(GET|POST)\d*".to_owned(),
                1 => "gold.*".to_owned(),
                _ => format!("gold{number}"),
            };
            write!(
                steps,
                r#"<property name="p{step}" value="{number}"/><log><property name="a" expression="$ctx:p{step}"/></log>
<filter source="get-property('p{step}')" regex="{pattern}"><then><property name="q{step}" expression="//m:id/text()" xmlns:m="urn:q"/></then></filter>
"#
            )
            .expect("a string takes everything");
            steps
        });
        let namespace = r#"xmlns="http://ws.apache.org/ns/synapse""#;
        let artifact = match number % 6 {
            0 => format!(r#"<sequence {namespace} name="s{number}">{steps}</sequence>"#),
            1 => format!(
                r#"<endpoint {namespace} name="e{number}"><http uri-template="http://backend{number}.example/{{uri.var.id}}"/></endpoint>"#
            ),
            2 => format!(r#"<localEntry {namespace} key="l{number}">text {number}</localEntry>"#),
            _ => format!(
                r#"<api {namespace} name="a{number}" context="/group{}/a{number}"><resource methods="GET" uri-template="/orders/{{id}}"><inSequence>{steps}<sequence key="s{}"/><call><endpoint key="e{}"/></call><respond/></inSequence></resource></api>"#,
                number % 100,
                next % 3000,
                (next + 1) % 3000,
            ),
        };
        std::fs::write(folder.path().join(format!("artifact{number}.xml")), artifact).expect("a file");
    }
    folder
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn load_thousands(bencher: Bencher<'_, '_>) {
    let folder = thousands();
    bencher.bench_local(|| load(folder.path()));
}
