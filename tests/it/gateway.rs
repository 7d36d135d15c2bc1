//! The gateway over loopback: connections that stay, reloads under load, bodies whole, and a shutdown that cuts nobody off.

use super::wire_kit::{Raw, Reader, Recorder, answer_with, run, scripted};
use myelin::deployment::{self, Deployment, LoadOptions};
use myelin::gateway::Gateway;
use myelin::gateway::reload::Status;
use myelin::gateway::settings::{Layer, load};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub fn deploy(artifacts: &str, generation: u64) -> Arc<Deployment> {
    let folder = tempfile::tempdir().unwrap();
    let xml = format!("<definitions xmlns=\"http://ws.apache.org/ns/synapse\">{artifacts}</definitions>");
    std::fs::write(folder.path().join("a.xml"), xml).unwrap();
    let options = LoadOptions {
        generation,
        ..LoadOptions::default()
    };
    let loaded = deployment::load(&[folder.path().to_path_buf()], &options);
    let mistakes: Vec<&String> = loaded.mistakes.iter().map(|mistake| &mistake.message).collect();
    loaded.deployment.unwrap_or_else(|| panic!("{mistakes:?}"))
}

pub fn start(artifacts: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let layer = Layer {
        listen: Some(local),
        workers: Some(2),
        ..Layer::default()
    };
    let settings = load(folder.path(), layer, None, &Default::default()).settings;
    Gateway::start(&settings, deploy(artifacts, 1), Arc::new(Status::default())).unwrap()
}

/// `drain` waits for the threads, so it must not hold up the clients of a test.
pub async fn drain(gateway: Gateway) -> usize {
    tokio::task::spawn_blocking(move || gateway.drain())
        .await
        .unwrap()
}

pub async fn connect(gateway: &Gateway) -> Reader<TcpStream> {
    Reader::new(TcpStream::connect(gateway.http).await.unwrap())
}

pub async fn ask(client: &mut Reader<TcpStream>, head: &str, body: &[u8]) -> Raw {
    let (first, headers) = head.split_once('\n').unwrap_or((head, ""));
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("{first} HTTP/1.1\r\nHost: gateway\r\n{headers}{length}\r\n");
    client.stream.write_all(head.as_bytes()).await.unwrap();
    client.stream.write_all(body).await.unwrap();
    let bodyless = first.starts_with("HEAD");
    client.message(bodyless).await.expect("a whole answer")
}

fn api(steps: &str) -> String {
    format!(
        r#"<api name="A" context="/a"><resource methods="GET POST HEAD PUT"><inSequence>{steps}</inSequence></resource></api>"#
    )
}

fn send(backend: SocketAddr) -> String {
    format!(r#"<send><endpoint><address uri="http://{backend}/x"/></endpoint></send>"#)
}

fn say(text: &str) -> String {
    format!(
        r#"<payloadFactory media-type="text"><format>{text}</format></payloadFactory>
           <property name="X-Generation" value="{text}" scope="transport"/><respond/>"#
    )
}

#[test]
fn one_connection_serves_every_kind_of_artifact() {
    run(async {
        let backend = Recorder::echo();
        let artifacts = format!(
            r#"{}<proxy name="P"><target><endpoint><address uri="http://{}/p"/></endpoint></target>
               <publishWSDL><definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/></publishWSDL></proxy>
               <sequence name="main"><property name="HTTP_SC" value="418" scope="axis2"/><respond/></sequence>"#,
            api(&send(backend.address)),
            backend.address
        );
        let gateway = start(&artifacts);
        let mut client = connect(&gateway).await;
        let answer = ask(
            &mut client,
            "POST /a/b?c=1\ncontent-type: text/plain\nx-own: 1",
            b"hello",
        )
        .await;
        assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
        let answer = ask(&mut client, "GET /services/P?wsdl", b"").await;
        assert!(answer.text().contains("definitions"), "{}", answer.text());
        let answer = ask(
            &mut client,
            "POST /services/P\ncontent-type: application/json",
            b"{}",
        )
        .await;
        assert_eq!((answer.status(), answer.text()), (200, "{}".to_owned()));
        assert_eq!(ask(&mut client, "GET /else", b"").await.status(), 418);
        assert_eq!(ask(&mut client, "DELETE /a", b"").await.status(), 405);
        let seen = backend.requests.take();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].first_line(), "POST /x/b?c=1 HTTP/1.1");
        assert_eq!(
            (seen[0].header("x-own"), seen[0].text()),
            (Some("1"), "hello".to_owned())
        );
        drop(client);
        assert_eq!(drain(gateway).await, 0);
    });
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    run(async {
        let backend = Recorder::echo();
        let gateway = start(&api(&send(backend.address)));
        let mut client = connect(&gateway).await;
        let mut random = fastrand::Rng::with_seed(3);
        for size in [1, 65_536, 3 << 20] {
            let body: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            let answer = ask(
                &mut client,
                "POST /a\ncontent-type: application/octet-stream",
                &body,
            )
            .await;
            assert_eq!(answer.status(), 200);
            assert!(answer.body == body, "{size} bytes came back changed");
        }
        drop(client);
        drain(gateway).await;
    });
}

#[test]
fn the_answer_to_head_tells_the_length_and_has_no_body() {
    run(async {
        let (backend, _) = scripted(|_, stream| async move {
            let mut reader = Reader::new(stream);
            while reader.message(false).await.is_some() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Type: text/plain\r\n\r\n";
                reader.stream.write_all(answer).await.unwrap();
            }
        });
        let gateway = start(&api(&send(backend)));
        let mut client = connect(&gateway).await;
        let answer = ask(&mut client, "HEAD /a", b"").await;
        assert_eq!(
            (answer.status(), answer.header("content-length")),
            (200, Some("7"))
        );
        // Nothing of a body is in front of the next answer.
        assert_eq!(ask(&mut client, "DELETE /a", b"").await.status(), 405);
        drop(client);
        drain(gateway).await;
    });
}

#[test]
fn a_swap_under_load_fails_no_request_and_mixes_no_generations() {
    run(async {
        let gateway = Arc::new(start(&api(&say("g1"))));
        let done = std::rc::Rc::new(std::cell::Cell::new(0));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (gateway, done) = (Arc::clone(&gateway), std::rc::Rc::clone(&done));
            clients.spawn_local(async move {
                let mut client = connect(&gateway).await;
                for _ in 0..400 {
                    let answer = ask(&mut client, "POST /a\ncontent-type: text/plain", b"x").await;
                    assert_eq!(answer.status(), 200);
                    assert_eq!(answer.header("x-generation"), Some(answer.text().as_str()));
                    done.set(done.get() + 1);
                }
            });
        }
        for generation in 2..30 {
            let deployment = deploy(&api(&say(&format!("g{generation}"))), generation);
            gateway.swap(deployment);
            tokio::task::yield_now().await;
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        assert_eq!(done.get(), 1_600);
        let mut client = connect(&gateway).await;
        assert_eq!(ask(&mut client, "GET /a", b"").await.text(), "g29");
        assert_eq!(gateway.shared().health().generation, 29);
        drop(client);
        assert_eq!(drain(Arc::into_inner(gateway).unwrap()).await, 0);
    });
}

#[test]
fn a_request_that_is_there_at_the_shutdown_is_answered() {
    run(async {
        let (arrived, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let release = std::rc::Rc::new(tokio::sync::Notify::new());
        let released = std::rc::Rc::clone(&release);
        let (backend, _) = scripted(move |_, stream| {
            let (arrived, release) = (arrived.clone(), std::rc::Rc::clone(&released));
            async move {
                let mut reader = Reader::new(stream);
                reader.message(false).await.unwrap();
                arrived.send(()).unwrap();
                release.notified().await;
                let answer = answer_with(200, "OK", "", b"late");
                reader.stream.write_all(&answer).await.unwrap();
            }
        });
        let gateway = start(&api(&send(backend)));
        let shared = gateway.shared();
        let mut client = connect(&gateway).await;
        let asking = tokio::task::spawn_local(async move { ask(&mut client, "GET /a", b"").await });
        waits.recv().await.unwrap();
        let drained = tokio::task::spawn_local(drain(gateway));
        super::wire_kit::until(|| shared.health().draining).await;
        release.notify_one();
        assert_eq!(asking.await.unwrap().text(), "late");
        assert_eq!(drained.await.unwrap(), 0);
    });
}
