//! RB-04 and RB-05 against the whole gateway: bombs and traps in messages, packed bodies, configuration files, local entries and WSDLs.
//! Each is refused in time, nothing is opened, no memory is spent, and the next good request is answered.

use super::bombs::Canary;
use super::talk::{Running, free_port};
use super::wire_kit::{Raw, framed, request, run};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

const NS: &str = "http://ws.apache.org/ns/synapse";

/// A second is what a refusal may take; an unoptimised build on a busy machine is slower. What is read until a bomb is refused is counted in the
/// tests of `message/xml/reader.rs`.
const DEADLINE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

fn gateway() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let counts = r#"<property name="n" expression="count(//*)"/><payloadFactory media-type="json"><format>{"n": $1}</format><args><arg expression="$ctx:n"/></args></payloadFactory><respond/>"#;
    let xml = format!(
        r#"<definitions xmlns="{NS}">
        <api name="xml" context="/xml"><resource methods="POST"><inSequence>{counts}</inSequence></resource></api>
        <api name="json" context="/json"><resource methods="POST"><inSequence>
          <property name="n" expression="json-eval($.n)"/><respond/></inSequence></resource></api>
        <proxy name="Soap"><target><inSequence>{counts}</inSequence></target></proxy>
        <proxy name="Id"><target><inSequence><payloadFactory media-type="xml"><format><who xmlns="">$1</who></format>
          <args><arg expression="$body/*[1]/@Id"/></args></payloadFactory><respond/></inSequence></target></proxy>
        </definitions>"#
    );
    std::fs::write(folder.path().join("a.xml"), xml).unwrap();
    Running::of(folder, free_port())
}

async fn post(gateway: &Running, path: &str, headers: &str, body: &[u8]) -> Raw {
    let (head, body) = framed(&format!("POST {path}\n{headers}"), body, None);
    let answer = tokio::time::timeout(DEADLINE, request(gateway.port, &head, &body)).await;
    answer
        .unwrap_or_else(|_| panic!("{path} {headers}: no answer in time"))
        .unwrap_or_else(|| panic!("{path} {headers}: no whole answer"))
}

/// The most memory it ever had, in KiB.
fn peak(gateway: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("Linux tells");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// It serves on, and `most` MiB were spent.
async fn unharmed(gateway: &Running, before: u64, most: u64) {
    let answer = post(gateway, "/xml", "Content-Type: application/xml", b"<d><e/></d>").await;
    assert!(
        answer.status() == 200 && answer.text().starts_with("{\"n\": "),
        "{}",
        answer.text()
    );
    let grown = peak(gateway).saturating_sub(before);
    assert!(grown < most << 10, "memory grew by {grown} KiB");
}

async fn warm(gateway: &Running) -> u64 {
    let body = format!("<d>{}</d>", "<e/>".repeat(100_000));
    assert_eq!(
        post(gateway, "/xml", "Content-Type: application/xml", body.as_bytes())
            .await
            .status(),
        200
    );
    peak(gateway)
}

#[test]
fn no_bomb_in_a_message_goes_off() {
    run(async {
        let canary = Canary::new();
        let gateway = gateway();
        let before = warm(&gateway).await;
        let mut refused = 0;
        for bomb in canary.bombs() {
            let answer = post(&gateway, "/xml", "Content-Type: application/xml", &bomb.text).await;
            assert!(
                matches!(answer.status(), 400 | 413),
                "{}: {}",
                bomb.name,
                answer.head
            );
            assert!(!answer.text().contains("tweet-tweet"), "{}", bomb.name);
            let answer = post(
                &gateway,
                "/services/Soap",
                "Content-Type: text/xml\nSOAPAction: \"x\"",
                &bomb.text,
            )
            .await;
            let told = answer.text();
            assert!(
                matches!(answer.status(), 400 | 413 | 500),
                "{}: {}",
                bomb.name,
                answer.head
            );
            assert!(
                told.contains("soapenv:Fault") || told.contains(":Fault>"),
                "{}: no SOAP fault: {told}",
                bomb.name
            );
            refused += 2;
        }
        println!("{refused} bombs refused");
        canary.sings_not();
        unharmed(&gateway, before, 64).await;
    });
}

#[test]
fn no_bomb_in_json_goes_off() {
    run(async {
        let gateway = gateway();
        let before = warm(&gateway).await;
        let json = "Content-Type: application/json";
        for (name, text) in [
            (
                "depth 100,000",
                "[".repeat(100_000) + "]".repeat(100_000).as_str(),
            ),
            ("depth without an end", "[".repeat(1_000_000)),
            ("objects without an end", "{\"a\":".repeat(300_000)),
            (
                "a number of 10 MB",
                format!("{{\"n\": {}}}", "9".repeat(10 << 20)),
            ),
            ("data behind", "{\"n\": 1} x".to_owned()),
            ("two values", "{\"n\": 1}{\"n\": 2}".to_owned()),
            ("a NUL", "{\"n\": \"\0\"}".to_owned()),
            ("an open text", "{\"n\": \"".to_owned()),
            ("a comment", "{\"n\": 1} // x".to_owned()),
            ("no number", "{\"n\": NaN}".to_owned()),
        ] {
            let answer = post(&gateway, "/json", json, text.as_bytes()).await;
            assert!(
                matches!(answer.status(), 400 | 413),
                "{name}: {} {}",
                answer.head,
                answer.text()
            );
        }
        for text in [
            "{\"n\": 1e400}",
            "{\"n\": -0.10}",
            "{\"n\": 123456789012345678901234567890}",
            "{\"__proto__\": {\"n\": 1}, \"n\": 2}",
            "{\"$serde_json::private::Number\": \"1\"}",
            "{\"n\": \"\\u0000\"}",
            "{\"n\": \"\\ud800\"}",
            "{\"n\": 1, \"n\": 2}",
        ] {
            let answer = post(&gateway, "/json", json, text.as_bytes()).await;
            assert_eq!((answer.status(), &*answer.text()), (200, text), "{}", answer.head);
        }
        unharmed(&gateway, before, 64).await;
    });
}

#[test]
fn no_packed_bomb_goes_off() {
    run(async {
        let gateway = gateway();
        let before = warm(&gateway).await;
        let zeroes = vec![b'0'; 64 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&zeroes).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(&zeroes).unwrap();
        let mut br = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams {
            quality: 1,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &zeroes[..], &mut br, &parameters).unwrap();
        let mut twice = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        twice.write_all(&gzip).unwrap();
        let twice = twice.finish().unwrap();
        let mut broken = gzip.clone();
        broken.truncate(gzip.len() / 2);
        for (encoding, packed) in [
            ("gzip", &gzip),
            ("deflate", &deflate.finish().unwrap()),
            ("br", &br),
            ("zstd", &zstd::encode_all(&zeroes[..], 1).unwrap()),
            ("gzip, gzip", &twice),
            ("gzip", &broken),
            ("br", &gzip),
            ("x-unknown", &gzip),
        ] {
            for (path, media_type) in [("/xml", "application/xml"), ("/json", "application/json")] {
                let headers = format!("Content-Type: {media_type}\nContent-Encoding: {encoding}");
                let answer = post(&gateway, path, &headers, packed).await;
                assert!(
                    matches!(answer.status(), 400 | 413 | 415),
                    "{encoding}: {} {}",
                    answer.head,
                    answer.text()
                );
            }
        }
        // Each thread unpacks 10 MiB before it refuses, into a buffer that is there twice while it grows.
        unharmed(&gateway, before, 160).await;
    });
}

/// S-XML-5: what is signed must be what is used, so the shapes by which two readers disagree are refused, or the first one counts.
#[test]
fn an_envelope_has_one_body_and_the_first_child_counts() {
    run(async {
        let gateway = gateway();
        let soap = "Content-Type: text/xml\nSOAPAction: \"x\"";
        let envelope = |inside: &str| {
            format!("<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">{inside}</s:Envelope>")
        };
        for inside in [
            "<s:Body><a Id=\"1\"/></s:Body><s:Body><a Id=\"2\"/></s:Body>",
            "<s:Body><a Id=\"1\"/></s:Body><s:Header/>",
            "<s:Header/><s:Header/><s:Body><a Id=\"1\"/></s:Body>",
            "<x/><s:Body><a Id=\"1\"/></s:Body>",
            "<s:Body><a Id=\"1\"/></s:Body><x/>",
        ] {
            let answer = post(&gateway, "/services/Id", soap, envelope(inside).as_bytes()).await;
            assert!(
                answer.text().contains(":Fault>"),
                "{inside}: {} {}",
                answer.head,
                answer.text()
            );
        }
        for inside in [
            "<s:Header><w><s:Body><a Id=\"2\"/></s:Body></w></s:Header><s:Body><a Id=\"1\"/></s:Body>",
            "<s:Body><a Id=\"1\"/><a Id=\"2\"/></s:Body>",
            "<s:Body><a Id=\"1\"><s:Body><a Id=\"2\"/></s:Body></a></s:Body>",
        ] {
            let answer = post(&gateway, "/services/Id", soap, envelope(inside).as_bytes()).await;
            assert!(
                answer.text().contains("<who>1</who>"),
                "{inside}: {} {}",
                answer.head,
                answer.text()
            );
        }
    });
}

/// The same documents as what a configuration holds: `check` tells each by its file.
#[test]
fn no_bomb_in_a_configuration_goes_off() {
    let canary = Canary::new();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    let mut files = Vec::new();
    for (at, bomb) in canary.bombs().into_iter().enumerate() {
        // Bytes that are no UTF-8 stay as they are.
        let around = |start: &str, end: &str| [start.as_bytes(), &bomb.text, end.as_bytes()].concat();
        let doctype = bomb.text.starts_with(b"<!DOCTYPE");
        let text = String::from_utf8_lossy(&bomb.text);
        let name = format!("config{at}.xml");
        if doctype {
            // In front of an artifact, that it belongs to.
            let end = text.rfind("><d").expect("a root") + 1;
            let artifact = format!(
                "<localEntry xmlns=\"{NS}\" key=\"k{at}\">{}</localEntry>",
                &text[end..]
            );
            write(&name, format!("{}{artifact}", &text[..end]).as_bytes());
        } else {
            write(
                &name,
                &around(
                    &format!("<localEntry xmlns=\"{NS}\" key=\"k{at}\">"),
                    "</localEntry>",
                ),
            );
        }
        files.push((bomb.name, name));
        write(&format!("bomb{at}.wsdl"), &bomb.text);
        let name = format!("proxy{at}.xml");
        let proxy = format!(
            r#"<proxy xmlns="{NS}" name="P{at}"><target><inSequence><drop/></inSequence></target><publishWSDL uri="file:bomb{at}.wsdl"/></proxy>"#
        );
        write(&name, proxy.as_bytes());
        files.push((bomb.name, name));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(["check", "--format", "json"])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let missing: Vec<_> = files
        .iter()
        .filter(|(_, file)| !told.contains(&format!("{file}\"")))
        .collect();
    println!("{} of {} told", files.len() - missing.len(), files.len());
    assert!(missing.is_empty(), "nothing was told of {missing:?}");
    assert!(!told.contains("tweet-tweet"));
    canary.sings_not();
}
