//! What a call of a Lambda function costs beside the HTTP call that it makes: the event, its signature, the SDK, the reply. The backend is in
//! memory, so that the difference between the two is what the endpoint adds.

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
use myelin::wire::{ClientRequest, ClientResponse, Incoming, Scheme, SendError};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HTTP: &str = r#"<http uri-template="http://backend.example/x" method="post"/>"#;
const LAMBDA: &str = r#"<lambda function="hello" region="eu-west-1" access-key="AKID" secret-key="s3cret" endpoint-url="http://backend.example"/>"#;

fn main() {
    divan::main();
}

/// Answers 1 KiB at once.
struct Instant(Bytes);

#[async_trait(?Send)]
impl Backends for Instant {
    async fn send(&self, _request: ClientRequest) -> Result<ClientResponse, SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
    local: tokio::task::LocalSet,
    server: Server,
    deployment: Arc<Deployment>,
    body: Bytes,
}

impl Ready {
    fn new(endpoint: &str) -> Ready {
        let folder = tempfile::tempdir().expect("a folder");
        let api = format!(
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="a" context="/a"><resource methods="POST" uri-template="/*"><inSequence><call><endpoint>{endpoint}</endpoint></call><respond/></inSequence></resource></api>"#
        );
        std::fs::write(folder.path().join("a.xml"), api).expect("a file");
        let loaded = deployment::load(&[folder.path().to_path_buf()], &LoadOptions::default());
        let timeouts = Timeouts {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
        };
        let reply = format!(r#"{{"statusCode": 200, "body": "{}"}}"#, "x".repeat(1000));
        let worker = Rc::new(Worker {
            errands: Default::default(),
            client: Rc::new(Instant(Bytes::from(reply))),
            runtime: Arc::new(Runtime::new(Clock::System, 7, timeouts)),
            scripts: myelin::script::js::Pool::new(Default::default(), Arc::default(), Arc::default()),
        });
        Ready {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            local: tokio::task::LocalSet::new(),
            server: Server::new(worker, Arc::default()),
            deployment: loaded.deployment.expect("it is sound"),
            body: Bytes::from(format!(r#"{{"note": "{}"}}"#, "n".repeat(1000))),
        }
    }

    fn ask(&self) {
        let address = ([127, 0, 0, 1], 8290).into();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:8290"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let incoming = Incoming {
            method: http::Method::POST,
            target: "/a/x".parse().expect("a target"),
            version: Version::HTTP_11,
            scheme: Scheme::Http,
            remote: address,
            local: address,
            headers,
            body: ByteStream::from(self.body.clone()),
            websocket: false,
        };
        let reply = self.server.serve(Arc::clone(&self.deployment), incoming);
        let reply = self.local.block_on(&self.runtime, reply);
        assert_eq!(reply.status, StatusCode::OK);
        divan::black_box(reply);
    }
}

#[divan::bench]
fn http_call(bencher: Bencher<'_, '_>) {
    let ready = Ready::new(HTTP);
    bencher.bench_local(|| ready.ask());
}

#[divan::bench]
fn lambda_call(bencher: Bencher<'_, '_>) {
    let ready = Ready::new(LAMBDA);
    ready.ask();
    bencher.bench_local(|| ready.ask());
}
