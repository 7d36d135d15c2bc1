//! Serving clients, with a gateway that passes everything on.

use tokio::io::AsyncWriteExt;

use crate::wire_kit::{Gateway, Reader, Recorder, answer_with, run};

#[test]
fn a_request_goes_through_and_its_answer_comes_back() {
    run(async {
        let backend = Recorder::start(|_| answer_with(201, "Made", "X-From: backend\r\n", b"hello"));
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..3 {
            client
                .stream
                .write_all(b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
                .await
                .unwrap();
            let answer = client.message(false).await.unwrap();
            assert_eq!(answer.first_line(), "HTTP/1.1 201 Made");
            assert_eq!(
                (answer.header("x-from"), answer.text().as_str()),
                (Some("backend"), "hello")
            );
        }
        let requests = backend.requests.borrow();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].first_line(), "POST /a?b=c HTTP/1.1");
        assert_eq!(
            (requests[0].header("host"), requests[0].text().as_str()),
            (Some("h"), "abc")
        );
        assert_eq!(backend.connections.get(), 1, "the connection is kept");
    });
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_order() {
    run(async {
        let backend = Recorder::start(|request| answer_with(200, "OK", "", request.first_line().as_bytes()));
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        let all: String = (0..100)
            .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .collect();
        client.stream.write_all(all.as_bytes()).await.unwrap();
        client.stream.shutdown().await.unwrap();
        for n in 0..100 {
            assert_eq!(
                client.message(false).await.unwrap().text(),
                format!("GET /{n} HTTP/1.1")
            );
        }
        assert!(client.ended().await);
    });
}
