//! gRPC through the gateway, with raw HTTP/2 on both sides: what backends do wrong, what clients give up, and streams that flow both ways at once.

use super::gateway::{drain, start};
use super::wire_kit::{run, scripted, until};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};
use myelin::gateway::Gateway;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

type Sender = h2::client::SendRequest<Bytes>;

/// What a call came to: the messages' bytes, `grpc-status` and `grpc-message`.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    body: Bytes,
    status: String,
    message: String,
}

/// A backend that does with each call what `serve` says; and how many connections were made to it.
fn backend<F, Fut>(serve: F) -> (SocketAddr, Rc<Cell<usize>>)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let serve = Rc::new(serve);
    scripted(move |_, stream| {
        let serve = Rc::clone(&serve);
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else {
                return;
            };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::task::spawn_local(serve(request, respond));
            }
        }
    })
}

fn api(endpoint: &str) -> String {
    format!(
        r#"<api name="S" context="/p.S"><resource methods="POST" uri-template="/{{method}}"><inSequence><send><endpoint>{endpoint}</endpoint></send></inSequence></resource></api>"#
    )
}

fn to(backend: SocketAddr) -> Gateway {
    start(&api(&format!(r#"<http uri-template="http://{backend}"/>"#)))
}

async fn open(gateway: &Gateway) -> Sender {
    let stream = TcpStream::connect(gateway.http).await.unwrap();
    let mut builder = h2::client::Builder::new();
    // One stream that is not read must not hold up the others here.
    builder.initial_connection_window_size(1 << 24);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::task::spawn_local(async move { drop(connection.await) });
    sender.ready().await.unwrap()
}

fn call(method: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://h{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn message(text: &[u8]) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text].concat().into()
}

async fn ask(sender: &Sender, request: Request<()>, body: Bytes) -> Ended {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(body, true).unwrap();
    end(response.await.unwrap()).await
}

async fn end(response: Response<RecvStream>) -> Ended {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.expect("a gateway ends a call by its status");
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend(data);
    }
    let trailers = stream.trailers().await.unwrap();
    let told = trailers.unwrap_or(parts.headers);
    let text = |name| {
        told.get(name)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned()
    };
    Ended {
        body: body.into(),
        status: text("grpc-status"),
        message: text("grpc-message"),
    }
}

fn head() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

fn well() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers
}

/// Sends back each piece as it comes, and ends well.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut answer = respond.send_response(head(), false).unwrap();
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        if answer.send_data(data, false).is_err() {
            return;
        }
    }
    drop(answer.send_trailers(well()));
}

#[test]
fn a_call_goes_to_its_service_and_method_whatever_the_resource_is_called() {
    run(async {
        let seen = Rc::<RefCell<Vec<String>>>::default();
        let record = Rc::clone(&seen);
        let (backend, _) = backend(move |request, respond| {
            let te = request.headers()["te"].to_str().unwrap().to_owned();
            record.borrow_mut().push(format!("{} {te}", request.uri().path()));
            echo(request, respond)
        });
        let api = |name: &str, context: &str, template: &str, endpoint: &str| {
            format!(
                r#"<api name="{name}" context="{context}"><resource methods="POST" uri-template="{template}"><inSequence><send><endpoint>{endpoint}</endpoint></send></inSequence></resource></api>"#
            )
        };
        let http = format!(r#"<http uri-template="http://{backend}"/>"#);
        let post = format!(r#"<http method="post" uri-template="http://{backend}/"/>"#);
        let address = format!(r#"<address uri="http://{backend}"/>"#);
        let below = format!(r#"<address uri="http://{backend}/q.Other"/>"#);
        let gateway = start(
            &[
                api("a", "/p.A", "/{method}", &http),
                api("b", "/p.B", "/Do", &post),
                api("c", "/p.C", "/*", &address),
                api("d", "/p.D", "/{method}", &below),
                api("e", "/", "/p.E/Do", &http),
            ]
            .concat(),
        );
        let sender = open(&gateway).await;
        for (path, expected) in [
            ("/p.A/Do", "/p.A/Do trailers"),
            ("/p.B/Do", "/p.B/Do trailers"),
            ("/p.C/Do", "/p.C/Do trailers"),
            ("/p.D/Do", "/q.Other/Do trailers"),
            ("/p.E/Do", "/p.E/Do trailers"),
        ] {
            let ended = ask(&sender, call(path, &[]), message(b"hi")).await;
            assert_eq!(
                (ended.status.as_str(), ended.body),
                ("0", message(b"hi")),
                "{path}"
            );
            assert_eq!(seen.borrow_mut().pop().as_deref(), Some(expected));
        }
        assert_eq!(
            ask(&sender, call("/p.B/Else", &[]), message(b"hi")).await.status,
            "12"
        );
        assert_eq!(
            ask(&sender, call("/p.X/Do", &[]), message(b"hi")).await.status,
            "12"
        );
        drain(gateway).await;
    });
}

/// A backend that answers half a stream and then does something; what the client is told.
fn check_broken(spoil: impl Fn(&mut h2::SendStream<Bytes>) + 'static, expected: &str) {
    run(async move {
        let spoil = Rc::new(spoil);
        let (backend, _) = backend(move |_, mut respond| {
            let spoil = Rc::clone(&spoil);
            async move {
                let mut answer = respond.send_response(head(), false).unwrap();
                answer.send_data(message(b"half"), false).unwrap();
                // The reset must not overtake what went before it.
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                spoil(&mut answer);
                // Let go of before its end, it would be reset.
                drop(std::future::poll_fn(|context| answer.poll_reset(context)).await);
            }
        });
        let gateway = to(backend);
        let ended = ask(&open(&gateway).await, call("/p.S/Do", &[]), message(b"x")).await;
        assert_eq!(ended.status, expected);
        assert!(ended.body.starts_with(&message(b"half")));
        drain(gateway).await;
    });
}

#[test]
fn an_answer_without_trailers_is_unavailable() {
    check_broken(|answer| answer.send_data(Bytes::new(), true).unwrap(), "14");
    check_broken(|answer| answer.send_trailers(HeaderMap::new()).unwrap(), "14");
}

#[test]
fn a_reset_is_told_as_the_status_it_stands_for() {
    for (reason, expected) in [
        (Reason::CANCEL, "1"),
        (Reason::REFUSED_STREAM, "14"),
        (Reason::INTERNAL_ERROR, "13"),
        (Reason::ENHANCE_YOUR_CALM, "8"),
        (Reason::INADEQUATE_SECURITY, "7"),
    ] {
        check_broken(move |answer| answer.send_reset(reason), expected);
    }
}

#[test]
fn an_answer_that_is_no_message_is_internal() {
    check_broken(
        |answer| {
            answer
                .send_data(Bytes::from_static(&[7, 0, 0, 0, 0]), true)
                .unwrap()
        },
        "13",
    );
    check_broken(
        |answer| {
            answer
                .send_data(Bytes::from_static(&[0, 0, 0, 0, 9, 1]), true)
                .unwrap()
        },
        "13",
    );
    check_broken(
        |answer| {
            answer
                .send_data(Bytes::from_static(&[0, 0x7f, 0, 0, 0]), false)
                .unwrap()
        },
        "8",
    );
}

#[test]
fn a_backend_that_goes_away_ends_its_calls_and_new_ones_take_a_new_connection() {
    run(async {
        // The first connection answers half, says GOAWAY, and closes.
        let (backend, connections) = scripted(|number, stream| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if number > 0 {
                    tokio::task::spawn_local(echo(request, respond));
                    continue;
                }
                let mut answer = respond.send_response(head(), false).unwrap();
                answer.send_data(message(b"half"), false).unwrap();
                connection.graceful_shutdown();
                let closing = timeout(Duration::from_millis(200), connection.accept());
                drop(closing.await);
                return;
            }
        });
        // A broken answer would suspend the endpoint, as Synapse does.
        let gateway = start(&api(&format!(
            r#"<address uri="http://{backend}"><suspendOnFailure><errorCodes>101503</errorCodes></suspendOnFailure><markForSuspension><errorCodes>101504</errorCodes></markForSuspension></address>"#
        )));
        let sender = open(&gateway).await;
        let ended = ask(&sender, call("/p.S/Do", &[]), message(b"x")).await;
        assert_eq!((ended.status.as_str(), ended.body), ("14", message(b"half")));
        for _ in 0..3 {
            let ended = ask(&sender, call("/p.S/Do", &[]), message(b"x")).await;
            assert_eq!((ended.status.as_str(), ended.message.as_str()), ("0", ""));
        }
        // The gateway has two workers, each with connections of its own, but one client connection stays with one.
        assert_eq!(connections.get(), 2);
        drain(gateway).await;
    });
}

#[test]
fn a_refused_stream_is_sent_again_on_another_connection_with_its_body() {
    run(async {
        let (backend, connections) = scripted(|number, stream| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if number == 0 {
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    tokio::task::spawn_local(echo(request, respond));
                }
            }
        });
        let gateway = to(backend);
        let ended = ask(&open(&gateway).await, call("/p.S/Do", &[]), message(b"once")).await;
        assert_eq!((ended.status.as_str(), ended.body), ("0", message(b"once")));
        assert_eq!(connections.get(), 2);
        drain(gateway).await;
    });
}

#[test]
fn more_calls_than_a_connection_takes_get_another_connection() {
    run(async {
        let open_calls = Rc::<Cell<usize>>::default();
        let counting = Rc::clone(&open_calls);
        let (backend, connections) = scripted(move |_, stream| {
            let counting = Rc::clone(&counting);
            async move {
                let mut connection = h2::server::Builder::new()
                    .max_concurrent_streams(2)
                    .handshake::<_, Bytes>(stream)
                    .await
                    .unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let counting = Rc::clone(&counting);
                    tokio::task::spawn_local(async move {
                        counting.set(counting.get() + 1);
                        until(|| counting.get() >= 6).await;
                        echo(request, respond).await;
                    });
                }
            }
        });
        let gateway = to(backend);
        let sender = open(&gateway).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let sender = sender.clone();
            calls.spawn_local(async move { ask(&sender, call("/p.S/Do", &[]), message(b"x")).await });
        }
        while let Some(ended) = calls.join_next().await {
            assert_eq!(ended.unwrap().status, "0");
        }
        assert_eq!(connections.get(), 3);
        drain(gateway).await;
    });
}

#[test]
fn both_sides_speak_by_turns_before_the_request_has_ended() {
    run(async {
        let (backend, _) = backend(echo);
        let gateway = to(backend);
        let mut sender = open(&gateway).await;
        let (response, mut request) = sender.send_request(call("/p.S/Do", &[]), false).unwrap();
        let mut answer = response.await.unwrap().into_body();
        for round in 0..20_u8 {
            let said = message(&[round]);
            request.send_data(said.clone(), false).unwrap();
            let mut heard = Vec::new();
            while heard.len() < said.len() {
                heard.extend(answer.data().await.unwrap().unwrap());
            }
            assert_eq!(heard, said);
        }
        request.send_data(Bytes::new(), true).unwrap();
        assert!(answer.data().await.is_none());
        assert_eq!(answer.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        drain(gateway).await;
    });
}

#[test]
fn a_client_that_gives_up_is_given_up_behind_the_gateway_too() {
    run(async {
        let reason = Rc::<Cell<Option<Reason>>>::default();
        let told = Rc::clone(&reason);
        let (backend, _) = backend(move |_request, mut respond| {
            let told = Rc::clone(&told);
            async move {
                let mut answer = respond.send_response(head(), false).unwrap();
                answer.send_data(message(b"first"), false).unwrap();
                let reset = std::future::poll_fn(|context| answer.poll_reset(context)).await;
                told.set(reset.ok());
            }
        });
        let gateway = to(backend);
        let mut sender = open(&gateway).await;
        let (response, mut request) = sender.send_request(call("/p.S/Do", &[]), false).unwrap();
        let mut answer = response.await.unwrap().into_body();
        answer.data().await.unwrap().unwrap();
        request.send_reset(Reason::CANCEL);
        let learnt = timeout(Duration::from_secs(1), until(|| reason.get().is_some())).await;
        assert!(learnt.is_ok(), "the backend goes on after a second");
        assert_eq!(reason.get(), Some(Reason::CANCEL));
        drain(gateway).await;
    });
}

#[test]
fn neither_side_takes_more_than_the_other_has_room_for() {
    const PIECE: usize = 60 * 1024;
    run(async {
        let (sent, taken) = (Rc::<Cell<usize>>::default(), Rc::<Cell<usize>>::default());
        let (sending, taking) = (Rc::clone(&sent), Rc::clone(&taken));
        let open_up = Rc::<Cell<bool>>::default();
        let opened = Rc::clone(&open_up);
        let (backend, _) = backend(move |request, mut respond| {
            let (sending, taking, opened) = (Rc::clone(&sending), Rc::clone(&taking), Rc::clone(&opened));
            async move {
                let mut answer = respond.send_response(head(), false).unwrap();
                if request.uri().path() == "/p.S/Up" {
                    // Takes nothing until it is told to.
                    let mut body = request.into_body();
                    until(|| opened.get()).await;
                    while let Some(Ok(data)) = body.data().await {
                        taking.set(taking.get() + data.len());
                        body.flow_control().release_capacity(data.len()).unwrap();
                    }
                } else {
                    for _ in 0..100 {
                        let piece = message(&[0; PIECE]);
                        answer.reserve_capacity(piece.len());
                        while answer.capacity() < piece.len() {
                            let more = std::future::poll_fn(|context| answer.poll_capacity(context)).await;
                            more.unwrap().unwrap();
                        }
                        answer.send_data(piece, false).unwrap();
                        sending.set(sending.get() + PIECE);
                    }
                }
                answer.send_trailers(well()).unwrap();
            }
        });
        let gateway = to(backend);
        let mut sender = open(&gateway).await;
        // Down: a client that does not read holds the backend up.
        let (response, mut request) = sender.send_request(call("/p.S/Down", &[]), false).unwrap();
        request.send_data(message(b""), true).unwrap();
        let response = response.await.unwrap();
        until(|| sent.get() > 0).await;
        assert_eq!(
            ask(&sender, call("/p.S/Down2", &[]), message(b""))
                .await
                .body
                .len(),
            100 * (PIECE + 5)
        );
        sent.set(sent.get() - 100 * PIECE);
        assert!(
            sent.get() < 40 * PIECE,
            "{} bytes are on their way to nobody",
            sent.get()
        );
        let ended = end(response).await;
        assert_eq!(
            (ended.body.len(), ended.status.as_str()),
            (100 * (PIECE + 5), "0")
        );
        // Up: a backend that does not read holds the client up.
        let (response, mut request) = sender.send_request(call("/p.S/Up", &[]), false).unwrap();
        let writing = tokio::task::spawn_local(async move {
            for _ in 0..100 {
                let piece = message(&[0; PIECE]);
                request.reserve_capacity(piece.len());
                while request.capacity() < piece.len() {
                    let more = std::future::poll_fn(|context| request.poll_capacity(context)).await;
                    more.unwrap().unwrap();
                }
                request.send_data(piece, false).unwrap();
            }
            request.send_data(Bytes::new(), true).unwrap();
        });
        let response = response.await.unwrap();
        assert_eq!(
            ask(&sender, call("/p.S/Down", &[]), message(b"")).await.status,
            "0"
        );
        assert!(!writing.is_finished(), "six megabytes are kept somewhere");
        open_up.set(true);
        assert_eq!(end(response).await.status, "0");
        writing.await.unwrap();
        assert_eq!(taken.get(), 100 * (PIECE + 5));
        drain(gateway).await;
    });
}

#[test]
fn our_own_errors_are_statuses() {
    run(async {
        let dead = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let silent = scripted(|_, stream| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut held: Vec<(Request<RecvStream>, SendResponse<Bytes>)> = Vec::new();
            while let Some(Ok(call)) = connection.accept().await {
                held.push(call);
            }
        })
        .0;
        let plain = scripted(|_, stream| async move {
            use tokio::io::AsyncWriteExt;
            let mut stream = stream;
            drop(
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    .await,
            );
        })
        .0;
        let (html, _) = backend(|_, mut respond| async move {
            let page = Response::builder()
                .status(503)
                .header("content-type", "text/html")
                .body(())
                .unwrap();
            let mut answer = respond.send_response(page, false).unwrap();
            answer.send_data(Bytes::from_static(b"<html/>"), true).unwrap();
        });
        let answering = |status: u16, text: &str| {
            format!(
                r#"<payloadFactory media-type="text"><format>{text}</format></payloadFactory><property name="HTTP_SC" value="{status}" scope="axis2"/><respond/>"#
            )
        };
        let sending = |endpoint: String| format!("<send><endpoint>{endpoint}</endpoint></send>");
        let patient = |backend, millis: u32| {
            sending(format!(
                r#"<address uri="http://{backend}"><timeout><duration>{millis}</duration></timeout></address>"#
            ))
        };
        let cases = [
            ("Dead", patient(dead, 1000), "14", "The service behind this one could not be reached, or did not answer properly."),
            ("Silent", patient(silent, 50), "4", "The service behind this one did not answer in time."),
            ("Http1", patient(plain, 1000), "14", "The service behind this one could not be reached, or did not answer properly."),
            ("Html", patient(html, 1000), "14", "the answer is HTTP status 503"),
            ("Who", answering(401, "Zoë, 100%"), "16", "Zo%C3%AB, 100%25"),
            ("No", answering(403, "not you"), "7", "not you"),
            ("Many", answering(429, "too many function calls"), "8", "too many function calls"),
            ("Fails", r#"<throwError type="OWN" errorMessage="secret"/>"#.to_owned(), "13", "The message could not be processed."),
            ("Own", r#"<property name="grpc-status" value="9" scope="transport"/><property name="grpc-message" value="not now" scope="transport"/><respond/>"#.to_owned(), "9", "not now"),
        ];
        let resources: String = cases
            .iter()
            .map(|(name, steps, ..)| format!(r#"<resource methods="POST" uri-template="/{name}"><inSequence>{steps}</inSequence></resource>"#))
            .collect();
        let gateway = start(&format!(
            r#"<api name="S" context="/p.S">{resources}<resource methods="GET" uri-template="/Get"/><resource methods="POST" uri-template="/Late"><inSequence>{}</inSequence></resource></api>"#,
            patient(silent, 300)
        ));
        let sender = open(&gateway).await;
        for (name, _, status, text) in &cases {
            let ended = ask(&sender, call(&format!("/p.S/{name}"), &[]), message(b"x")).await;
            let expected = (*status, *text);
            assert_eq!(
                (ended.status.as_str(), ended.message.as_str()),
                expected,
                "{name}"
            );
        }
        for (path, headers, body, status) in [
            ("/p.S/Get", &[][..], message(b"x"), "12"),
            // Suspended by its timeout above.
            ("/p.S/Silent", &[], message(b"x"), "14"),
            ("/p.S/Late", &[("grpc-timeout", "20m")], message(b"x"), "4"),
            ("/p.S/Late", &[("grpc-timeout", "0n")], message(b"x"), "4"),
            ("/p.S/Late", &[("grpc-timeout", "soon")], message(b"x"), "13"),
            ("/p.S/Late", &[], message(&vec![0; 5 << 20]), "8"),
            ("/p.S/Late", &[], Bytes::from_static(&[9, 0, 0, 0, 0]), "13"),
            ("/p.S/Late", &[], Bytes::from_static(&[0, 0, 0, 0, 9, 1]), "13"),
            ("/p.S/Late", &[("grpc-timeout", "99999999H")], message(b"x"), "4"),
        ] {
            let ended = ask(&sender, call(path, headers), body).await;
            assert_eq!(ended.status, status, "{path} {headers:?} {}", ended.message);
        }
        drain(gateway).await;
    });
}

#[test]
fn a_deadline_of_the_client_blames_no_endpoint() {
    run(async {
        let quiet = Rc::new(Cell::new(true));
        let silence = Rc::clone(&quiet);
        let (backend, _) = backend(move |request, respond| {
            let silence = Rc::clone(&silence);
            async move {
                if silence.get() {
                    std::future::pending::<()>().await;
                }
                echo(request, respond).await;
            }
        });
        let gateway = start(&api(&format!(
            r#"<address uri="http://{backend}"><suspendOnFailure><errorCodes>-1</errorCodes><initialDuration>60000</initialDuration></suspendOnFailure><markForSuspension><errorCodes>101504</errorCodes><retriesBeforeSuspension>0</retriesBeforeSuspension></markForSuspension></address>"#
        )));
        let sender = open(&gateway).await;
        for _ in 0..3 {
            let late = ask(
                &sender,
                call("/p.S/Do", &[("grpc-timeout", "10m")]),
                message(b"x"),
            )
            .await;
            assert_eq!(late.status, "4");
        }
        quiet.set(false);
        assert_eq!(
            ask(&sender, call("/p.S/Do", &[]), message(b"x")).await.status,
            "0"
        );
        drain(gateway).await;
    });
}

#[test]
fn calls_of_one_connection_are_shared_out_among_backends() {
    run(async {
        let counted = |count: &Rc<Cell<usize>>| {
            let count = Rc::clone(count);
            backend(move |request, respond| {
                count.set(count.get() + 1);
                echo(request, respond)
            })
            .0
        };
        let (first, second) = (Rc::<Cell<usize>>::default(), Rc::<Cell<usize>>::default());
        let children = format!(
            r#"<loadbalance><endpoint><address uri="http://{}"/></endpoint><endpoint><address uri="http://{}"/></endpoint></loadbalance>"#,
            counted(&first),
            counted(&second)
        );
        let gateway = start(&api(&children));
        let sender = open(&gateway).await;
        for _ in 0..10 {
            assert_eq!(
                ask(&sender, call("/p.S/Do", &[]), message(b"x")).await.status,
                "0"
            );
        }
        assert_eq!((first.get(), second.get()), (5, 5));
        drain(gateway).await;
    });
}

#[test]
fn a_mock_may_answer_a_call() {
    run(async {
        let gateway = start(
            r#"<api name="S" context="/p.S"><resource methods="POST" uri-template="/Echo"><inSequence><respond/></inSequence></resource></api>"#,
        );
        let ended = ask(
            &open(&gateway).await,
            call("/p.S/Echo", &[]),
            message(b"as it came"),
        )
        .await;
        assert_eq!((ended.status.as_str(), ended.body), ("0", message(b"as it came")));
        drain(gateway).await;
    });
}
