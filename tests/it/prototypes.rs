//! Mocks and the states of APIs, over loopback.

use super::pace::Pace;
use super::talk::{Running, ask, free_port, replay};
use std::time::{Duration, Instant};

fn serve(apis: &str, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("api")).unwrap();
    std::fs::write(folder.path().join("api/a.xml"), definitions(apis)).unwrap();
    Running::with(folder, free_port(), more)
}

fn definitions(apis: &str) -> String {
    format!("<definitions xmlns=\"http://ws.apache.org/ns/synapse\">{apis}</definitions>")
}

const PET: &str = r#"<api name="Pets" context="/pets"><resource methods="GET HEAD" uri-template="/{id}"><prototype><![CDATA[
var id = mc.getProperty('uri.var.id');
mc.setProperty('CONTENT_TYPE', 'application/json');
mc.setProperty('Accept-Ranges', 'none', 'transport');
if (id == 1) {
    mc.setPayloadJSON({id: id, accept: mc.getProperty('AcceptHeader'), responseCode: mc.getProperty('query.param.responseCode')});
} else {
    mc.setProperty('HTTP_SC', '404');
    mc.setPayloadJSON('{"error": "no such pet"}');
}
]]></prototype></resource>
<resource methods="POST" uri-template="/"><prototype><![CDATA[
var pet = mc.getPayloadJSON();
pet.id = 7;
mc.setProperty('HTTP_SC', '201');
mc.setProperty('CONTENT_TYPE', 'application/json');
mc.setProperty('Location', '/pets/7', 'transport');
mc.setPayloadJSON(pet);
]]></prototype></resource>
<resource methods="DELETE" uri-template="/"><prototype><![CDATA[
mc.setProperty('HTTP_SC', '204');
mc.setProperty('NO_ENTITY_BODY', true, 'axis2');
]]></prototype></resource>
<resource methods="PUT" uri-template="/"><prototype/></resource>
</api>"#;

#[test]
fn a_prototype_answers_by_the_contract_of_inline_scripts() {
    let running = serve(PET, &[]);
    let answer =
        running.ask("GET /pets/1?responseCode=404\nAccept: text/css\nX-Secret: 1\nAuthorization: Bearer x");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"id":"1","accept":"text/css","responseCode":"404"}"#)
    );
    let mut headers: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "accept-ranges",
            "connection",
            "content-length",
            "content-type",
            "date"
        ],
        "{answer:?}"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=UTF-8")
    );
    let answer = running.ask("GET /pets/2");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (404, r#"{"error": "no such pet"}"#)
    );
    let answer = running.ask("HEAD /pets/2");
    assert_eq!((answer.status, answer.body.as_str()), (404, ""));
    assert_eq!(answer.header("content-length"), Some("24"));
    let answer = running.ask("POST /pets/\nContent-Type: application/json\n\n{\"name\": \"Rex\"}");
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("location")),
        (201, r#"{"name":"Rex","id":7}"#, Some("/pets/7"))
    );
    let answer = running.ask("DELETE /pets/?a=b");
    assert_eq!(
        (
            answer.status,
            answer.body.as_str(),
            answer.header("content-length"),
            answer.header("content-type")
        ),
        (204, "", None, None)
    );
    let answer = running.ask("PUT /pets/\nX-Secret: 1");
    assert_eq!((answer.status, answer.body.as_str()), (501, ""));
    assert_eq!(answer.header("x-secret"), None);
}

/// Word for word what API Manager's template makes of an inline script.
#[test]
fn what_the_product_generates_around_a_script_runs_unchanged() {
    let running = serve(
        r#"<api name="admin--Pets" context="/pets/1.0.0" version="1.0.0" version-type="context" transports="http https">
<resource methods="GET" uri-template="/pet/{petId}" faultSequence="fault"><inSequence>
    <property name="AcceptHeader" expression="get-property('transport', 'Accept')"/>
    <script language="js"><![CDATA[
var accept = mc.getProperty('AcceptHeader');
if (accept == 'application/json') {
    mc.setProperty('CONTENT_TYPE', 'application/json');
    mc.setPayloadJSON({id: mc.getProperty('uri.var.petId')});
} else {
    mc.setPayloadXML('<pet/>');
}
if (mc.getProperty('uri.var.petId') == 2) { mc.setProperty('HTTP_SC', '404'); }
]]></script>
    <filter source="boolean(get-property('CONTENT_TYPE'))" regex="true">
        <then><property name="messageType" expression="get-property('CONTENT_TYPE')" scope="axis2"/></then>
        <else><property name="messageType" value="application/xml" scope="axis2"/></else>
    </filter>
    <filter source="boolean(get-property('HTTP_SC'))" regex="true">
        <then><property name="HTTP_SC" expression="get-property('HTTP_SC')" scope="axis2"/></then>
        <else><property name="HTTP_SC" value="200" scope="axis2"/></else>
    </filter>
    <property name="NO_ENTITY_BODY" scope="axis2" action="remove"/>
    <respond/>
</inSequence><outSequence><send/></outSequence></resource></api>"#,
        &[],
    );
    let answer = running.ask("GET /pets/1.0.0/pet/2\nAccept: application/json");
    assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"id":"2"}"#));
    let answer = running.ask("GET /pets/1.0.0/pet/1");
    assert_eq!((answer.status, answer.body.as_str()), (200, "<pet/>"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/xml; charset=UTF-8")
    );
}

#[test]
fn a_failing_mock_answers_500_and_the_log_has_its_line() {
    let running = serve(
        "<api name=\"A\" context=\"/a\"><resource methods=\"GET\"><prototype><![CDATA[\n\nnothing.x;]]></prototype></resource></api>",
        &["--log", "warn"],
    );
    let from = running.told_so_far();
    let answer = running.ask("GET /a");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "ReferenceError: nothing is not defined\nat api/a.xml:3:1\n")
    );
    let told = running.told_after(from, "ReferenceError: nothing is not defined");
    assert!(told.contains("a.xml:3:"), "{told}");
}

#[test]
fn a_saved_mock_answers_anew_in_half_a_second() {
    let running = serve(PET, &[]);
    assert_eq!(running.ask("GET /pets/2").status, 404);
    let mut took = Vec::new();
    for status in ["410", "451", "405", "406", "409"] {
        std::fs::write(
            running.folder.path().join("api/a.xml"),
            definitions(&PET.replace("'404'", &format!("'{status}'"))),
        )
        .unwrap();
        let saved = Pace::start();
        while ask(running.port, "GET /pets/2").status.to_string() != status {
            assert!(saved.clock() < Duration::from_secs(20), "it never changed");
        }
        took.push(saved.elapsed());
    }
    took.sort();
    // Measured at 150 to 180 ms, most of it waiting for the end of the save. A machine that compiles beside it may delay one of them.
    assert!(took[2] < Duration::from_millis(500), "{took:?}");
    assert!(took[4] < Duration::from_secs(2), "{took:?}");
}

fn in_state(state: &str) -> String {
    format!(
        r#"<api name="{state}" context="/{state}" state="{state}"><resource methods="GET" uri-template="/x"><inSequence><payloadFactory media-type="json"><format>{{"a": 1}}</format></payloadFactory><respond/></inSequence></resource></api>"#
    )
}

#[test]
fn a_blocked_api_says_so_and_a_retired_one_is_not_there() {
    let apis: String = [
        "CREATED",
        "PROTOTYPED",
        "PUBLISHED",
        "BLOCKED",
        "DEPRECATED",
        "RETIRED",
    ]
    .into_iter()
    .map(in_state)
    .collect();
    // A retired API's place is free for another.
    let again = in_state("RETIRED")
        .replace(
            "name=\"RETIRED\" context=\"/RETIRED\" state=\"RETIRED\"",
            "name=\"Next\" context=\"/RETIRED\"",
        )
        .replace("\"/x\"", "\"/y\"");
    let running = serve(&format!("{apis}{again}"), &[]);
    for served in ["CREATED", "PROTOTYPED", "PUBLISHED", "DEPRECATED"] {
        assert_eq!(running.ask(&format!("GET /{served}/x")).status, 200, "{served}");
    }
    assert_eq!(running.ask("GET /RETIRED/x").status, 404);
    assert_eq!(running.ask("GET /RETIRED/y").status, 200);
    for request in [
        "GET /BLOCKED/x",
        "DELETE /BLOCKED",
        "POST /BLOCKED/a/b\nAccept: application/json, text/xml",
    ] {
        let answer = running.ask(request);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (
                503,
                r#"{"code":"700700","type":"Status report","message":"API blocked","description":"This API has been blocked temporarily. Please try again later."}"#
            ),
            "{request}"
        );
    }
    let answer = running.ask("GET /BLOCKED/x\nAccept: application/xml");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        "<am:fault xmlns:am=\"http://wso2.org/apimanager\"><am:code>700700</am:code><am:type>Status report</am:type><am:message>API blocked</am:message><am:description>This API has been blocked temporarily. Please try again later.</am:description></am:fault>"
    );
    let answer = running.ask("POST /BLOCKED/x\nContent-Type: text/xml\nSOAPAction: \"\"\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body/></e:Envelope>");
    assert!(
        answer.body.contains("700700") && answer.body.contains("Envelope"),
        "{}",
        answer.body
    );
}

#[test]
fn tokens_that_are_demanded_of_all_are_not_demanded_of_prototypes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("api")).unwrap();
    let handled = in_state("PRE-RELEASED").replace(
        "</api>",
        r#"<handlers><handler class="org.wso2.carbon.apimgt.gateway.handlers.security.APIAuthenticationHandler"/></handlers></api>"#,
    );
    let apis = format!("{}{}{handled}", in_state("PROTOTYPED"), in_state("PUBLISHED"));
    std::fs::write(folder.path().join("api/a.xml"), definitions(&apis)).unwrap();
    std::fs::write(
        folder.path().join("myelin.toml"),
        "token-required = true\n[[token]]\nissuer = \"i\"\njwks = \"keys.json\"\nalgorithms = [\"RS256\"]\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("keys.json"), super::tokens::jwks("one")).unwrap();
    let settings = folder.path().join("myelin.toml").display().to_string();
    let running = Running::with(folder, free_port(), &["--config", &settings]);
    assert_eq!(running.ask("GET /PROTOTYPED/x").status, 200);
    assert_eq!(running.ask("GET /PUBLISHED/x").status, 401);
    assert_eq!(running.ask("GET /PRE-RELEASED/x").status, 401);
}

const SHOP: &str = r#"<api name="Shop" context="/shop"><resource methods="POST" uri-template="/{key}"><prototype><![CDATA[
mc.store.set(mc.getProperty('uri.var.key'), mc.getPayloadJSON(), {seconds: 600});
mc.setProperty('CONTENT_TYPE', 'application/json');
]]></prototype></resource>
<resource methods="GET" uri-template="/{key}"><prototype><![CDATA[
var found = mc.store.get(mc.getProperty('uri.var.key'));
mc.setProperty('CONTENT_TYPE', 'application/json');
if (found === null) { throw new Error('nothing is kept') }
mc.setPayloadJSON(found);
]]></prototype></resource>
<resource methods="GET" uri-template="/loop/{key}"><prototype>for (;;) {}</prototype></resource></api>"#;

fn myelin(running: &Running, arguments: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(arguments)
        .env_clear()
        .env("XDG_RUNTIME_DIR", running.runtime.path())
        .env("MYELIN_ADMIN", format!("127.0.0.1:{}", running.admin_port()))
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[test]
fn what_mocks_keep_and_spend_is_seen_and_forgotten_by_command() {
    let running = serve(SHOP, &["--workers", "1"]);
    assert_eq!(
        myelin(&running, &["store", "ls"]),
        (0, "no script keeps anything\n".to_owned())
    );
    assert_eq!(
        running
            .ask("POST /shop/a\nContent-Type: application/json\n\n{\"n\": 1}")
            .status,
        200
    );
    assert_eq!(running.ask("GET /shop/a").body, "{\"n\":1}");
    assert_eq!(running.ask("GET /shop/b").status, 500);
    assert_eq!(running.ask("GET /shop/loop/x").status, 500);
    assert_eq!(
        myelin(&running, &["store", "ls"]),
        (0, "API   KEYS  BYTES\nShop  1     8\n".to_owned())
    );
    assert_eq!(
        myelin(&running, &["store", "clear", "Shot"]),
        (
            1,
            "no script of `Shot` keeps anything; did you mean `Shop`?\n".to_owned()
        )
    );
    assert_eq!(
        myelin(&running, &["store", "clear", "Shop"]),
        (0, "1 key is forgotten of Shop\n".to_owned())
    );
    assert_eq!(myelin(&running, &["store", "clear"]).0, 0);
    assert_eq!(running.ask("GET /shop/a").status, 500);

    let (code, text) = myelin(&running, &["script", "ls", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &told["count"]), (0, &3.into()), "{told:#}");
    let of = |name: &str| {
        let list = told["list"].as_array().unwrap();
        list.iter()
            .find(|script| script["name"] == name)
            .unwrap_or_else(|| panic!("{told:#}"))
    };
    let show = of("api Shop GET /{key}");
    assert_eq!(
        (&show["calls"], &show["faults"], &show["kills"]),
        (&3.into(), &2.into(), &0.into())
    );
    assert!(show["processorMs"].as_f64().unwrap() > 0.0, "{show:#}");
    let killed = of("api Shop GET /loop/{key}");
    assert_eq!((&killed["calls"], &killed["kills"]), (&1.into(), &1.into()));
    assert!(killed["longestMs"].as_f64().unwrap() >= 1000.0, "{killed:#}");
    assert_eq!(told["limits"]["memory"], 256 << 20);
    assert!(told["workers"][0]["peak"].as_u64().unwrap() > 1 << 20, "{told:#}");
    assert!(
        myelin(&running, &["script", "ls"])
            .1
            .contains("api Shop GET /loop/{key}")
    );
}

#[test]
fn a_mock_is_late_and_fails_when_its_caller_asks_for_it() {
    let running = serve(PET, &[]);
    let begun = Instant::now();
    assert_eq!(running.ask("GET /pets/1\nx-mock-latency: 120").status, 200);
    assert!(
        begun.elapsed() >= Duration::from_millis(120),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(running.ask("GET /pets/1\nx-mock-fault: 503").status, 503);
    assert_eq!(running.ask("GET /pets/1\nx-mock-fault: nonsense").status, 400);
    let closed = {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", running.port)).unwrap();
        stream
            .write_all(b"GET /pets/1 HTTP/1.1\r\nHost: a\r\nx-mock-fault: empty\r\n\r\n")
            .unwrap();
        let mut read = Vec::new();
        drop(stream.read_to_end(&mut read));
        read
    };
    assert_eq!(closed, b"", "{}", String::from_utf8_lossy(&closed));
}

#[test]
fn from_mock_to_backend_is_one_element_and_its_tests_keep_passing() {
    let story = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prototype");
    let read = |name: &str| std::fs::read_to_string(story.join(name)).unwrap();
    let running = Running::copy_of(&story, &["sequences"]);
    replay(&running, "the mock", &read("talk/pets.http"));
    let published = running.folder.path().join("sequences/pets.xml");
    let from = running.told_so_far();
    // Half the way is none.
    let half = read("sequences/pets.xml").replace("PROTOTYPED", "PUBLISHED");
    std::fs::write(&published, half).unwrap();
    let told = running.told_after(from, "E0224");
    assert!(told.contains("pets.xml:3:10"), "{told}");
    replay(&running, "the mock still", &read("talk/pets.http"));
    std::fs::write(&published, read("published/pets.xml")).unwrap();
    let saved = Instant::now();
    // Only the mock fails when it is asked to.
    while running.ask("GET /pets/1\nx-mock-fault: 503").status == 503 {
        assert!(saved.elapsed() < Duration::from_secs(20), "it never changed");
    }
    replay(&running, "the backend", &read("talk/pets.http"));
}
