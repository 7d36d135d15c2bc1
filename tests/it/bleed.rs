//! RB-14: nothing of one message shows in another, neither at a client nor at a backend, when many are on their way at once.

use super::talk::{Running, free_port};
use super::wire_kit::{Reader, Recorder, framed, run};
use tokio::net::TcpStream;

const CLIENTS: usize = 16;
const REQUESTS: usize = 500;

const API: &str = r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a">
  <resource methods="POST" uri-template="/{token}/{way}">
    <inSequence>
      <property name="own" expression="json-eval($.token)"/>
      <variable name="own" expression="${payload.token}"/>
      <header name="X-Property" expression="$ctx:own" scope="transport"/>
      <filter source="$ctx:uri.var.way" regex="far">
        <then>
          <call><endpoint><address uri="http://127.0.0.1:PORT/b"/></endpoint></call>
        </then>
      </filter>
      <payloadFactory media-type="json">
        <format>{"path": "$1", "header": "$2", "body": "$3", "property": "$4", "variable": "$5"}</format>
        <args>
          <arg expression="$ctx:uri.var.token"/>
          <arg expression="$trp:X-Token"/>
          <arg evaluator="json" expression="$.token"/>
          <arg expression="$ctx:own"/>
          <arg expression="${vars.own}"/>
        </args>
      </payloadFactory>
      <respond/>
    </inSequence>
  </resource>
</api>"#;

#[test]
fn nothing_of_one_message_shows_in_another() {
    run(async {
        let backend = Recorder::start(|request| {
            let token = request.header("x-token").unwrap_or_default();
            let headers = format!("Content-Type: application/json\r\nX-Token: {token}\r\n");
            super::wire_kit::answer_with(200, "OK", &headers, &request.body)
        });
        let folder = tempfile::tempdir().unwrap();
        let api = API.replace("PORT", &backend.address.port().to_string());
        std::fs::write(folder.path().join("a.xml"), api).unwrap();
        let gateway = Running::of(folder, free_port());
        let port = gateway.port;
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn_local(async move {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut connection = Reader::new(stream);
                for number in 0..REQUESTS {
                    one(&mut connection, client, number).await;
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        let seen = backend.requests.take();
        assert_eq!(seen.len(), CLIENTS * REQUESTS / 2);
        for request in seen {
            let token = request.header("x-token").expect("a token");
            assert_eq!(request.header("x-property"), Some(token), "{}", request.head);
            assert_eq!(request.text(), format!(r#"{{"token": "{token}"}}"#));
            assert!(request.first_line().contains(token), "{}", request.head);
        }
    });
}

async fn one(connection: &mut Reader<TcpStream>, client: usize, number: usize) {
    // Tokens of many lengths, so that a buffer that is used again would show.
    let token = format!(
        "t{client}-{number}-{}",
        "x".repeat((client * 31 + number * 7) % 97)
    );
    let way = if number.is_multiple_of(2) { "near" } else { "far" };
    let body = format!(r#"{{"token": "{token}"}}"#);
    let head = format!("POST /a/{token}/{way}\nContent-Type: application/json\nX-Token: {token}");
    let (head, body) = framed(&head, body.as_bytes(), None);
    let answer = connection.exchange(&head, &body).await.expect("an answer");
    let expected = format!(
        r#"{{"path": "{token}", "header": "{token}", "body": "{token}", "property": "{token}", "variable": "{token}"}}"#
    );
    assert_eq!((answer.status(), answer.text()), (200, expected));
    if way == "near" {
        assert_eq!(answer.header("x-property"), Some(&*token));
    }
    for line in answer
        .head
        .lines()
        .filter(|line| line.contains("t") && line.to_lowercase().starts_with("x-"))
    {
        assert!(line.ends_with(&token), "a foreign token in {line}");
    }
}
