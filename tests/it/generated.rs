//! Mocks that a machine wrote: scripts in OpenAPI definitions, the shapes that API Manager's generators have left behind, and our own.

use super::talk::{Answer, Running, free_port};
use myelin::deployment::openapi::{generate, model, read};
use myelin::deployment::{LoadOptions, load};
use myelin::text::{Sources, render};
use std::path::Path;

fn serve(files: &[(&str, &str)]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Running::with(folder, free_port(), &["--workers", "1", "--log", "warn"])
}

/// Status, media type and body.
fn told(answer: &Answer) -> String {
    let media_type = answer.header("content-type").unwrap_or("-");
    format!("{} {media_type} {}", answer.status, answer.body)
}

const SCRIPTED: &str = r#"openapi: 3.0.1
info: {title: Pets, version: 1.0.0}
x-wso2-basePath: /pets/1.0.0
paths:
  /pet/{petId}:
    get:
      responses: {'200': {description: ok}}
      x-mediation-script: |
        var accept = mc.getProperty('AcceptHeader');
        if (mc.getProperty('uri.var.petId') == 1) {
            mc.setProperty('HTTP_SC', '404');
        }
        if (accept == null || accept == 'application/json') {
            mc.setProperty('CONTENT_TYPE', 'application/json');
            mc.setPayloadJSON({accept: accept, id: mc.getProperty('uri.var.petId'), status: mc.getProperty('query.param.status')});
        } else {
            mc.setPayloadXML('<pet/>');
        }
    delete:
      x-mediation-script: "mc.setProperty('HTTP_SC', 204);\n"
    put: {x-mediation-script: ''}
    patch: {responses: {}}
  /pet:
    post:
      x-mediation-script: >-
        mc.setProperty('CONTENT_TYPE', 'application/json');

        var pet = mc.getPayloadJSON(); pet.id = 7;
        mc.setPayloadJSON(pet);
        mc.setProperty('HTTP_SC', '201'); mc.setProperty('Location', '/pet/7', 'transport');
"#;

/// The same in JSON, with only one operation.
const IN_JSON: &str = r#"{
	"swagger": "2.0",
	"info": {"title": "Birds", "version": "1"},
	"basePath": "/birds",
	"paths": {
		"/{id}": {
			"get": {
				"x-mediation-script": "mc.setProperty(\"CONTENT_TYPE\", \"text/plain\");\nif (mc.getProperty('uri.var.id') == 'x') {\n  \u006eothing.x;\n}\nmc.setPayloadText('tweet \ud83d\udc26');\n"
			}
		}
	}
}"#;

#[test]
fn scripts_in_definitions_keep_the_contract() {
    let running = serve(&[("pets.yaml", SCRIPTED), ("birds.json", IN_JSON)]);
    let from = running.told_so_far();
    let check = |request: &str, expected: &str| {
        let answer = running.ask(request);
        assert_eq!(told(&answer), expected, "for {request}");
        answer
    };
    let answer = check(
        "GET /pets/1.0.0/pet/2?status=so+ld\nAccept: application/json\nX-Secret: 1\nCookie: a=b\nUser-Agent: c\nAuthorization: Basic eDp5",
        r#"200 application/json; charset=UTF-8 {"accept":"application/json","id":"2","status":"so ld"}"#,
    );
    let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["connection", "content-length", "content-type", "date"],
        "no header of the request goes back"
    );
    check(
        "GET /pets/1.0.0/pet/1",
        r#"404 application/json; charset=UTF-8 {"accept":null,"id":"1","status":null}"#,
    );
    check(
        "GET /pets/1.0.0/pet/1\nAccept: text/html",
        "404 application/xml; charset=UTF-8 <pet/>",
    );
    check("DELETE /pets/1.0.0/pet/1", "204 - ");
    check("PUT /pets/1.0.0/pet/1", "501 - ");
    check("PATCH /pets/1.0.0/pet/1\nAccept: a/b", "501 - ");
    let answer = check(
        "POST /pets/1.0.0/pet\nContent-Type: application/json\n\n{\"name\": \"Rex\"}",
        r#"201 application/json; charset=UTF-8 {"name":"Rex","id":7}"#,
    );
    assert_eq!(answer.header("location"), Some("/pet/7"));
    check("GET /birds/1", "200 text/plain; charset=UTF-8 tweet 🐦");
    assert_eq!(running.ask("GET /birds/x").status, 500);
    let log = running.told_after(from, "ReferenceError: nothing is not defined");
    assert!(log.contains("birds.json:8:"), "{log}");
}

#[test]
fn mistakes_in_scripts_are_shown_in_the_definition() {
    let check = |name: &str, text: &str, expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let loaded = load(&[folder.path().to_owned()], &LoadOptions::default());
        let rendered = render::human(&loaded.mistakes, &loaded.sources, false);
        let places: Vec<&str> = rendered
            .lines()
            .filter_map(|line| line.trim().strip_prefix("┌─ "))
            .collect();
        assert_eq!(places, expected, "{rendered}");
    };
    let at = "openapi: 3.0.1\npaths:\n  /x:\n    get:\n      x-mediation-script: ";
    check(
        "a.yaml",
        &format!("{at}|\n        var a = 1;\n        var b = ;\n"),
        &["a.yaml:7:17"],
    );
    check(
        "a.yaml",
        &format!("{at}>\n        var a = 1;\n\n        var b = ;\n"),
        &["a.yaml:8:17"],
    );
    check(
        "a.yaml",
        &format!("{at}'var a = ''x'';\n\n        var b = ;'\n"),
        &["a.yaml:7:17"],
    );
    check(
        "a.yml",
        &format!("{at}mc.getNothing(); java.util.UUID.randomUUID()\n"),
        &["a.yml:5:30", "a.yml:5:44"],
    );
    check(
        "a.json",
        "{\"swagger\": \"2.0\", \"paths\": {\"/x\": {\"get\":\n{\"x-mediation-script\": \"var a = \\\"x\\\";\\nvar b = ;\\n\"}}}}",
        &["a.json:2:49"],
    );
    // The API's own parts stand there as well.
    check(
        "a.yaml",
        "openapi: 3.0.1\npaths:\n  /x/{a:\n    get:\n      x-mediation-script: '1'\n",
        &["a.yaml:3:6"],
    );
}

/// What `generate` makes of a definition, served.
fn saved(definition: &str) -> Running {
    let mut sources = Sources::default();
    let file = sources.add("x.yaml", definition);
    let root = read::read(file, definition).unwrap();
    let generated = generate::generate(&root).unwrap();
    let folder = tempfile::tempdir().unwrap();
    generate::save(&generated, Path::new(folder.path()), false).unwrap();
    Running::with(folder, free_port(), &["--workers", "1", "--log", "warn"])
}

#[test]
fn what_is_saved_answers_as_the_definition_says() {
    let running = saved(include_str!("generated/store.yaml"));
    let check = |request: &str, expected: &str| {
        let answer = running.ask(request);
        assert_eq!(told(&answer), expected, "for {request}");
        answer
    };
    let json = r#"{"id":0,"name":"Robin & co","seen":["2015-07-20"]}"#;
    let xml = r#"<bird id="0"><name>Robin &amp; co</name><seen><day>2015-07-20</day></seen></bird>"#;
    let (json, xml) = (
        format!("200 application/json; charset=UTF-8 {json}"),
        format!("200 application/xml; charset=UTF-8 {xml}"),
    );
    for (accept, expected) in [
        ("*/*", &json),
        ("application/json", &json),
        ("application/xml", &xml),
        ("application/json;q=0.5, application/xml", &xml),
        ("text/html, application/*;q=0.8", &json),
        ("application/json;q=0, */*", &xml),
        ("application/json; charset=utf-8", &json),
    ] {
        let answer = check(&format!("GET /birds/v1/birds/7\nAccept: {accept}"), expected);
        assert_eq!(answer.header("x-colour"), Some("green"));
        assert_eq!(answer.header("x-unknown"), None);
    }
    check("GET /birds/v1/birds/7", &json);
    check(
        "GET /birds/v1/birds/7\nAccept: text/html",
        r#"406 application/problem+json; charset=UTF-8 {"title":"No such media type","status":406,"detail":"The request accepts none of the media types that this answer has.","types":["application/json","application/xml"]}"#,
    );
    check(
        "GET /birds/v1/birds/7?responseCode=404",
        r#"404 application/json; charset=UTF-8 {"title":"Not found","price":1.10}"#,
    );
    check(
        "GET /birds/v1/birds/7?responseCode=503",
        r#"503 application/problem+json; charset=UTF-8 {"title":"Broken","status":500}"#,
    );
    check(
        "GET /birds/v1/birds/7?responseCode=418",
        r#"501 application/problem+json; charset=UTF-8 {"title":"There is no such answer","status":501,"detail":"The definition has no answer 418 here, and no default.","codes":["200","404","5XX"]}"#,
    );
    check(
        "GET /birds/v1/birds/7?responseCode=x",
        r#"400 application/problem+json; charset=UTF-8 {"title":"The preference is not valid","status":400,"detail":"`x` is no status from 200 to 599."}"#,
    );
    check("DELETE /birds/v1/birds/7", "204 - ");
    check(
        "GET /birds/v1/birds/rare",
        r#"200 application/json; charset=UTF-8 [{"id":1,"name":"Dodo"},{"id":12345678901234567890,"name":"Great `auk`"}]"#,
    );
    check(
        "GET /birds/v1/birds/rare?responseCode=404\nAccept: text/*",
        "404 text/plain; charset=UTF-8 Dodo\nGreat auk's ${friend}\n",
    );
    let answer = check(
        "POST /birds/v1/birds\nContent-Type: application/json\n\n{\"name\": \"Dodo\"}",
        &json.replacen("200", "201", 1),
    );
    assert_eq!(answer.header("location"), Some("/birds/7"));
    check("POST /birds/v1/birds?responseCode=302", "302 - ");
    check(
        "GET /birds/v1/birds/status",
        r#"200 application/json; charset=UTF-8 {"open":true}"#,
    );
    check(
        "PUT /birds/v1/birds/status",
        r#"501 application/problem+json; charset=UTF-8 {"title":"There is no answer","status":501,"detail":"The definition says nothing of what this operation answers."}"#,
    );
}

/// A script in the steps that API Manager generates around it.
fn in_product(context: &str, script: &str) -> String {
    format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="admin--{context}" context="/{context}/1.0.0" version="1.0.0" version-type="context">
<resource methods="GET" uri-template="/pet/{{petId}}" faultSequence="fault"><inSequence>
    <property name="AcceptHeader" expression="get-property('transport', 'Accept')"/>
    <script language="js"><![CDATA[{script}]]></script>
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
</inSequence><outSequence><send/></outSequence></resource></api>"#
    )
}

/// The same script behind `x-mediation-script`, as exported definitions carry it.
fn in_definition(context: &str, script: &str) -> String {
    let script = script.lines().map(|line| format!("        {line}\n"));
    format!(
        "openapi: 3.0.1\ninfo: {{title: {context} again}}\nx-wso2-basePath: /{context}/d\npaths:\n  /pet/{{petId}}:\n    get:\n      x-mediation-script: |\n{}",
        script.collect::<String>()
    )
}

#[test]
fn scripts_of_the_three_known_shapes_run_unchanged() {
    let shapes = [
        ("three-zero", include_str!("generated/shape-3.0.js")),
        ("three-two", include_str!("generated/shape-3.2.js")),
        ("four", include_str!("generated/shape-4.js")),
        ("default", include_str!("generated/shape-4-default.js")),
    ];
    let mut files = Vec::new();
    for (name, script) in shapes {
        files.push((format!("{name}.xml"), in_product(name, script)));
        files.push((format!("{name}.yaml"), in_definition(name, script)));
    }
    let fault = r#"<sequence xmlns="http://ws.apache.org/ns/synapse" name="fault"><respond/></sequence>"#;
    files.push(("fault.xml".to_owned(), fault.to_owned()));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let running = serve(&files);
    let json = r#"{"id":0,"name":"doggie","price":1.5}"#;
    let xml = "<Pet><id>0</id><name>doggie</name><price>1.5</price></Pet>";
    let later = [
        ("", "", 200, json),
        ("", "application/json", 200, json),
        ("", "application/xml", 200, xml),
        ("", "*/*", 200, json),
        ("", "application/json, text/plain", 200, json),
        ("200", "application/xml", 200, xml),
        ("400", "application/json", 400, ""),
        ("400", "application/xml", 400, ""),
        ("404", "", 404, r#"{"message":"string"}"#),
        (
            "404",
            "application/xml",
            404,
            "<Problem><message>string</message></Problem>",
        ),
        ("999", "", 501, r#"{"code":501,"description":"Not Implemented"}"#),
        (
            "503",
            "application/xml",
            501,
            "<response><code>501</code><description>Not Implemented</description></response>",
        ),
    ];
    let first = r#"{"id":0,"category":{"id":0,"name":"string"},"name":"doggie","photoUrls":["string"],"status":"available"}"#;
    let first = [("", "", 200, first), ("404", "application/xml", 200, first)];
    let (json, xml) = (
        r#"{"message":"string"}"#,
        "<Problem><message>string</message></Problem>",
    );
    // The status says `null`, which is none.
    let default = [
        ("", "", 200, json),
        ("", "application/xml", 200, xml),
        ("404", "application/xml", 404, xml),
    ];
    let mut wrong = Vec::new();
    for (name, cases) in [
        ("default", &default[..]),
        ("three-zero", &first),
        ("three-two", &later),
        ("four", &later),
    ] {
        for (code, accept, status, body) in cases {
            for context in ["1.0.0", "d"] {
                let query = match *code {
                    "" => String::new(),
                    code => format!("?responseCode={code}"),
                };
                let accept = match *accept {
                    "" => String::new(),
                    accept => format!("\nAccept: {accept}"),
                };
                let request = format!("GET /{name}/{context}/pet/1{query}{accept}");
                let answer = running.ask(&request);
                // The white space of the literal is the author's.
                let given: String = answer.body.lines().map(str::trim).collect();
                let form = match (given.starts_with('<'), given.is_empty()) {
                    (_, true) => answer.header("content-type"),
                    (true, _) => Some("application/xml; charset=UTF-8"),
                    (false, _) => Some("application/json; charset=UTF-8"),
                };
                if (answer.status, given.as_str(), answer.header("content-type")) != (*status, body, form) {
                    wrong.push(format!("{request}: {}", told(&answer)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Media types in which a script could go astray.
const ODD: &str = r#"openapi: 3.1.0
info: {title: Odd}
servers: [{url: /odd}]
paths:
  /types:
    get:
      responses:
        '200':
          description: all
          content:
            text/xml: {example: '<a xmlns="urn:a"><b>1 &amp; 2</b></a>'}
            application/xml: {example: "<?xml version=\"1.0\"?>\n<a>\n  <b/>\n</a>"}
            application/vnd.odd+xml: {schema: {type: object, properties: {n: {type: integer}}, xml: {name: odd}}}
            application/soap+xml: {example: '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>'}
            application/vnd.odd+json: {example: {a: [1.50, {b: null}]}}
            application/hal+json; profile=x: {example: []}
            application/json: {schema: {type: string, minLength: 2}}
            text/plain; charset=utf-8: {example: 7}
            text/csv: {example: "a,b\r\n1,`${2}`\r\n"}
            text/html: {example: '<p>Hello<br>'}
            image/png: {example: not really}
            application/octet-stream: {example: "\u00e9"}
"#;

#[test]
fn a_saved_script_writes_every_media_type_as_the_mock_does() {
    let mock = serve(&[("odd.yaml", ODD)]);
    let run = saved(ODD);
    let mut wrong = Vec::new();
    for media_type in ODD.lines().filter_map(|line| line.strip_prefix("            ")) {
        let media_type = media_type.split(':').next().unwrap();
        let request = format!("GET /odd/types\nAccept: {media_type}");
        let (one, other) = (mock.ask(&request), run.ask(&request));
        let essence = |answer: &Answer| {
            let header = answer.header("content-type").unwrap_or("-");
            header.split(';').next().unwrap_or("").to_owned()
        };
        let seen = |answer: &Answer| (answer.status, essence(answer), unmarked(&answer.body));
        if seen(&one) != seen(&other) {
            wrong.push(format!("{media_type}:\n  {}\n  {}", told(&one), told(&other)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Definitions that together have every feature of schemas, examples, codes, media types and paths: what is saved of them answers as they do.
#[test]
fn what_is_saved_of_ten_definitions_answers_as_they_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/generated/ten");
    let mut definitions: Vec<(String, String)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    definitions.sort();
    assert_eq!(definitions.len(), 10);
    let files: Vec<(&str, &str)> = definitions
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let mock = serve(&files);
    let scripts = tempfile::tempdir().unwrap();
    let mut requests = Vec::new();
    for (name, text) in &definitions {
        let mut sources = Sources::default();
        let file = sources.add(name.as_str(), text.as_str());
        let root = read::read(file, text).unwrap();
        let generated = generate::generate(&root).unwrap_or_else(|told| panic!("{name}: {told:?}"));
        let context = generated.api.1.split("context=\"").nth(1).unwrap();
        let context = context.split('"').next().unwrap();
        generate::save(&generated, scripts.path(), false).unwrap();
        let mut mistakes = Vec::new();
        let definition = model::definition(&root, &mut mistakes).unwrap();
        for operation in &definition.operations {
            let path = operation
                .path
                .replace("größe", "gr%C3%B6%C3%9Fe")
                .replace(['{', '}'], "");
            let target = format!("{} {context}{path}", operation.method);
            requests.push(target.clone());
            for response in &operation.responses {
                let code = response.code.first();
                requests.push(format!("{target}?responseCode={code}"));
                for media in &response.media {
                    let accept = format!("{target}?responseCode={code}\nAccept: {}", media.media_type);
                    for example in media.examples.iter().filter_map(|example| example.name) {
                        requests.push(format!("{accept}\nPrefer: example={example}"));
                    }
                    requests.push(accept);
                }
            }
        }
    }
    // However busy the machine is.
    let settings = scripts.path().join("myelin.toml");
    std::fs::write(&settings, "[script]\ndeadline = \"20s\"\n").unwrap();
    let settings = settings.display().to_string();
    let run = Running::with(scripts, free_port(), &["--workers", "1", "--config", &settings]);
    let mut wrong = Vec::new();
    for request in &requests {
        let (one, other) = (mock.ask(request), run.ask(request));
        let seen = |answer: &Answer| {
            // What is empty needs no type.
            let essence = answer.header("content-type").filter(|_| !answer.body.is_empty());
            let essence = essence.unwrap_or("-");
            let headers = ["location", "x-one", "x-list", "x-number", "x-unknown", "x-rate"];
            (
                answer.status,
                essence.split(';').next().unwrap_or("").to_owned(),
                headers.map(|name| answer.header(name).map(str::to_owned)),
                // White space and escapes of JSON may be others.
                match serde_json::from_str::<serde_json::Value>(&answer.body) {
                    Ok(json) => json.to_string(),
                    Err(_) => unmarked(&answer.body),
                },
            )
        };
        if seen(&one) != seen(&other) {
            wrong.push(format!("{request}:\n  {}\n  {}", told(&one), told(&other)));
        }
    }
    assert!(requests.len() > 100, "{}", requests.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Scripts set XML as a tree, which is written anew.
fn unmarked(body: &str) -> String {
    match body.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").unwrap().1.trim_start().to_owned(),
        None => body.to_owned(),
    }
}

/// As newer products have them written: the data of the mock is text in a property, and is put back there.
const WITH_DATA: &str = r#"openapi: 3.0.1
info: {title: Orders}
servers: [{url: /orders}]
x-wso2-mockDB: '{"orders":[{"id":1,"of":"Ada''s"}]}'
paths:
  /:
    post:
      x-mediation-script: |
        mc.setProperty('CONTENT_TYPE', 'application/json');
        var db = JSON.parse(mc.getProperty('mockDB') || '{"orders":[]}');
        var body = mc.getPayloadJSON();
        if (!body.of) {
            mc.setProperty('HTTP_SC', '400');
            mc.setPayloadJSON({message: 'of whom?'});
        } else {
            body.id = db.orders.length + 1;
            db.orders.push(body);
            mc.setProperty('mockDB', JSON.stringify(db));
            mc.setProperty('HTTP_SC', '201');
            mc.setPayloadJSON(body);
        }
    get:
      x-mediation-script: |
        mc.setProperty('CONTENT_TYPE', 'application/json');
        mc.setPayloadJSON(JSON.parse(mc.getProperty('mockDB')).orders);
        // Simulation Of Errors and Latency
        var apiSim = false;
        sleepFor(1);
        var errSim = '503';
"#;

#[test]
fn the_data_of_a_mock_lasts_from_request_to_request() {
    let newer = WITH_DATA
        .replace("x-wso2-mockDB", "x-wso2-mock-dataset")
        .replace("mockDB", "mockDataset");
    for running in [
        serve(&[("orders.yaml", WITH_DATA)]),
        saved(WITH_DATA),
        serve(&[("orders.yaml", &newer)]),
        saved(&newer),
    ] {
        let check = |request: &str, status: u16, body: &str| {
            let answer = running.ask(request);
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (status, body),
                "for {request}"
            );
        };
        check("GET /orders/", 200, r#"[{"id":1,"of":"Ada's"}]"#);
        check(
            "POST /orders/\nContent-Type: application/json\n\n{}",
            400,
            r#"{"message":"of whom?"}"#,
        );
        for id in 2..4 {
            check(
                "POST /orders/\nContent-Type: application/json\n\n{\"of\": \"Bo\"}",
                201,
                &format!(r#"{{"of":"Bo","id":{id}}}"#),
            );
        }
        check(
            "GET /orders/",
            200,
            r#"[{"id":1,"of":"Ada's"},{"of":"Bo","id":2},{"of":"Bo","id":3}]"#,
        );
    }
}
