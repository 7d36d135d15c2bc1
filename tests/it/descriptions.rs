//! A WSDL endpoint whose WSDL is fetched while the gateway runs, over real sockets.

use super::gateway::{ask, connect, drain, start};
use super::talk::free_port;
use super::wire_kit::{Recorder, answer_with, run, until};
use std::sync::Arc;

fn wsdl(location: &str) -> String {
    format!(
        r#"<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap12/">
          <w:service name="Quotes"><w:port name="Soap12" binding="B"><s:address location="{location}"/></w:port></w:service>
        </w:definitions>"#
    )
}

/// Nobody can be asked for the WSDL at the start. Requests are told so until it can be had, and then they reach the service that it names.
#[test]
fn a_wsdl_that_cannot_be_had_at_load_is_taken_once_it_can() {
    run(async {
        let service = Recorder::echo();
        // Not one of the ports that clients get: it has to be there when its time comes.
        let port = free_port();
        let url: Arc<str> = Arc::from(format!("http://127.0.0.1:{port}/quotes?wsdl"));
        let gateway = start(&format!(
            r#"<api name="A" context="/a"><resource methods="POST"><inSequence>
              <send><endpoint name="quotes"><wsdl uri="{url}" service="Quotes" port="Soap12"/></endpoint></send>
            </inSequence><outSequence><send/></outSequence></resource></api>
            <api name="B" context="/b"><resource methods="POST"><inSequence><respond/></inSequence></resource></api>"#
        ));
        let description = gateway.shared().runtime.descriptions.attach(&url);
        until(|| {
            description
                .wsdl()
                .is_err_and(|missing| !missing.reason.ends_with("it is being fetched"))
        })
        .await;
        let mut client = connect(&gateway).await;
        let soap = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><a/></s:Body></s:Envelope>";
        let head = |path: &str| format!("POST {path}\ncontent-type: application/soap+xml");
        // The others are served meanwhile.
        assert_eq!(ask(&mut client, &head("/b"), soap.as_bytes()).await.status(), 200);
        let answer = ask(&mut client, &head("/a"), soap.as_bytes()).await;
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert!(service.requests.borrow().is_empty());

        let location = format!("http://{}/soap12", service.address);
        let beside = Recorder::start_at(
            std::net::TcpListener::bind(("127.0.0.1", port)).unwrap(),
            move |_| {
                answer_with(
                    200,
                    "OK",
                    "Content-Type: text/xml\r\n",
                    wsdl(&location).as_bytes(),
                )
            },
        );
        until(|| description.wsdl().is_ok()).await;
        for _ in 0..3 {
            let answer = ask(&mut client, &head("/a"), soap.as_bytes()).await;
            assert_eq!((answer.status(), answer.body.as_slice()), (200, soap.as_bytes()));
        }
        let asked = service.requests.take();
        assert_eq!(asked.len(), 3);
        for request in asked {
            assert_eq!(request.first_line(), "POST /soap12 HTTP/1.1");
            let kind = request.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("application/soap+xml"), "{kind}");
        }
        let fetched = beside.requests.take();
        let fetched: Vec<&str> = fetched.iter().map(|request| request.first_line()).collect();
        assert_eq!(
            fetched,
            ["GET /quotes?wsdl HTTP/1.1"],
            "once there it is not asked for again"
        );
        drain(gateway).await;
    });
}
