//! `<dynamic>`: wherever a rhai script says.

use super::leaf::{self, Leaf, LeafKind};
use super::{common, key};
use crate::flow::delivery::{Chosen, deliver_watched, not_allowed};
use crate::flow::{AllowList, Answer, Deadline, Endpoint, Exchange, Fault, Origin, fault};
use crate::message::json::{Json, Object};
use crate::message::properties::Value;
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::script::{Given, Name, Script};
use crate::text::{Diagnostic, Placed, Span, suggest};
use crate::wire::url::{self, Url};
use http::{HeaderName, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;

pub const KIND: EndpointKind = EndpointKind {
    element: "dynamic",
    by_attribute: false,
    summary: "Sends wherever a rhai script says.",
    notes: r#"The script stands in `expression`, or in a file that `script` names: the whole file, or the function behind the `#`. It sees

| name | what it is |
| --- | --- |
| `headers` | `headers.host`, `headers["x-region"]`: the first value |
| `query` | `query.status`: the first value, decoded |
| `path`, `method` | of the client's request: the whole path, the context of the API included |
| `properties` | those of the default scope; the endpoint's own `<property>` elements are set before, and can be XPath |
| `vars` | variables |
| `payload` | the body as JSON: `payload.order.id`, `payload.items[0]`, `payload.items.len`, `for item in payload.items`; XML is converted as elsewhere |
| `token` | the claims of the client's token: `token.sub` |

What is not there is `()`: `headers["x-region"] ?? "eu"` gives a default. `encode(text)` escapes a text for a path or a query. A function of a file names those
it wants as its parameters, in any order. Texts stand in double quotes or backticks. The body is read only for scripts that mention `payload`; otherwise it streams.

Its answer is an address; or the name of an endpoint; or a map of `address` or `endpoint` with, if wanted, `method`, `headers` (a map; `()` takes a header
away), `timeout` (milliseconds) and `bare`. What comes behind the API's context in the client's request (axis2 `REST_URL_POSTFIX`) is appended to an address, as
for `address`, unless `bare` is true. Anything else, and a name that no endpoint has, is a fault.

**Where it may go.** A script that makes an address of what a client sent must not lead the client into your own network. `allow` lists where it may go:

| entry | allows |
| --- | --- |
| `https://*.example.com` | every host below example.com, on port 443, if its address is public |
| `http://orders:8080`, `http://127.0.0.1:9000` | this host or address, wherever it is |
| `orders:*` | this host, on every port, by http and https |
| `http://*` | every host with a public address, on port 80 |
| `10.0.0.0/8` | addresses of this network, also of hosts behind a star |

Without `allow` the list of the whole gateway holds (`[endpoints] allow = "…"` in `myelin.toml`), and without that the hosts that are written out in the script: so
`if headers.tier == "gold" { "http://gold" } else { "http://tin" }` needs no list. The list is held against the host before anything is resolved, and against the
address that comes of it; the connection goes to that very address. Link-local addresses, where clouds keep their credentials, are reached only where the list has
them in numbers. Addresses are compared by what they are, however they are written. Redirects are never followed. What is refused is fault 305403, and 403 for
the client. Names of endpoints need no list: these go where their author says.

The script has no files, no network and no clock. It is stopped after `timeLimit`, 100,000 steps, 32 calls inside each other, a text of 1 MiB, or a thousand elements; that
is a fault with its reason. The state of the endpoint is kept for each host and port."#,
    differences: "Synapse has no such endpoint. `default` with `To` set by a step does the same, as in Synapse.",
    attributes: &[
        Attr::optional("expression", Shape::Text, "The script."),
        Attr::optional(
            "script",
            Shape::Text,
            "A file that holds it, such as `scripts/routes.rhai`, or a function of one: `scripts/routes.rhai#pick`.",
        ),
        Attr::optional(
            "allow",
            Shape::Text,
            "Where it may go, entries with spaces or commas between. Without it: the gateway's list, or the hosts in the script.",
        ),
        Attr::optional("timeLimit", Shape::Integer, "How long the script may run, in milliseconds.").default("50"),
        common::FORMAT,
        common::ENCODING,
    ],
    children: Children::of(leaf::CHILDREN),
    build,
    examples: &[
        Example::new(
            "One of two hosts, by a header",
            r#"<endpoint><dynamic expression='if headers.tier == "gold" { "http://gold/a" } else { "http://backend/a" }'/></endpoint>"#,
            "GET /\ntier: tin",
            "turns\nbackend GET http://backend/a",
        )
        .backend("200"),
        Example::new(
            "A host that the client names, below one domain",
            r#"<endpoint><dynamic expression='`https://${headers["x-region"]}.example.com/orders`' allow="https://*.example.com" timeLimit="20"/></endpoint>"#,
            "GET /\nx-region: eu",
            "turns\nbackend GET https://eu.example.com/orders",
        )
        .backend("200"),
        Example::new(
            "And a client that would rather have another one",
            r#"<endpoint><dynamic expression='`https://${headers["x-region"]}.example.com/orders`' allow="https://*.example.com"/></endpoint>"#,
            "GET /\nx-region: evil.org/",
            "fails 305403 the message may not go where it asks for: `https://evil.org` is not on the list of what is allowed",
        ),
        Example::new(
            "The endpoint that the body asks for",
            r#"<endpoint name="by-kind"><dynamic expression='if payload.order.kind == "express" { "express" } else { "orders" }'/></endpoint>"#,
            "POST /\ncontent-type: application/json\n\n{\"order\": {\"kind\": \"slow\"}}",
            "turns\nbackend POST http://backend/orders",
        )
        .backend("200")
        .beside(r#"<endpoint name="orders"><address uri="http://backend/orders"/></endpoint><endpoint name="express"><address uri="http://express/"/></endpoint>"#),
        Example::new(
            "A function of a file decides; what an XPath finds is given to it as a property",
            r#"<endpoint><dynamic script="scripts/routes.rhai#pick" allow="http://backend" format="pox" encoding="UTF-8"/><property name="country" expression="//country"/></endpoint>"#,
            "POST /\ncontent-type: application/xml\n\n<order><country>se</country></order>",
            "turns\nbackend PUT http://backend/se\nbackend header x-routed-by = rhai",
        )
        .backend("200")
        .beside(PICK),
        Example::new(
            "Method, headers and patience too",
            r#"<endpoint><dynamic expression='#{address: "http://backend/b", method: "PUT", headers: #{"x-tier": "gold"}, timeout: 500, bare: true}'/></endpoint>"#,
            "POST /\n\nx",
            "turns\nbackend PUT http://backend/b\nbackend header x-tier = gold",
        )
        .backend("200"),
    ],
};

const PICK: &str = r#"<localEntry key="scripts/routes.rhai"><![CDATA[fn pick(properties) {
    #{ address: "http://backend/" + encode(properties.country), method: "PUT", headers: #{"x-routed-by": "rhai"} }
}]]></localEntry>"#;

const LONGEST: i64 = 1_000;

struct DynamicEndpoint {
    leaf: Leaf,
    script: Script,
}

/// What a script answered.
#[derive(Debug, Default, PartialEq)]
struct Choice {
    to: To,
    method: Option<Method>,
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    timeout: Option<Duration>,
    bare: bool,
}

#[derive(Debug, PartialEq)]
enum To {
    /// An address if it looks like one and no endpoint has it as its name.
    Either(String),
    Address(String),
    Endpoint(String),
}

impl Default for To {
    fn default() -> To {
        To::Either(String::new())
    }
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let leaf = Leaf::plan(endpoint, element, planner);
    let script = plan_script(element, planner);
    let own = common::allow_list(element, planner);
    let (leaf, script, own) = (leaf?, script?, own?);
    let allow = match own.or_else(|| planner.allow.clone()) {
        Some(list) => list,
        None => Arc::new(written_out(element, &script, planner)?),
    };
    let mut leaf = leaf.at("a rhai script", true, planner);
    leaf.delivery.chosen = Chosen::ByMessage(Some(allow));
    Some(Arc::new(DynamicEndpoint { leaf, script }))
}

fn plan_script(element: &Element, planner: &mut Planner<'_>) -> Option<Script> {
    let time = plan_time(element, planner);
    let compiled = match (element.attribute("expression"), element.attribute("script")) {
        (Some(expression), None) => {
            let text = common::resolved(&expression.value, planner)?;
            Script::compile(&text, time?)
        }
        (None, Some(key)) => {
            let key = key.value.clone();
            let (file, function) = match key.text.split_once('#') {
                Some((file, function)) => (file, Some(function.trim())),
                None => (key.text.as_str(), None),
            };
            let text = script_text(&key.slice(0..file.len()), planner)?;
            match function {
                Some(function) => Script::compile_function(&text, function, time?),
                None => Script::compile(&text, time?),
            }
        }
        (Some(_), Some(script)) => {
            let mistake = Diagnostic::error(
                "E0210",
                script.name_span,
                "the script stands here, or in `expression`, not in both",
            );
            planner.tell(mistake.help("remove one of the two"));
            return None;
        }
        (None, None) => {
            let mistake = Diagnostic::error(
                "E0202",
                element.span,
                "`<dynamic>` needs `expression` or `script`",
            );
            planner.tell(mistake.help("such as expression='if headers.tier == \"gold\" { \"http://gold\" } else { \"http://tin\" }'"));
            return None;
        }
    };
    compiled.map_err(|mistake| planner.tell(*mistake)).ok()
}

fn plan_time(element: &Element, planner: &mut Planner<'_>) -> Option<Duration> {
    let millis = planner.integer(element, "timeLimit", 50);
    if (1..=LONGEST).contains(&millis) {
        return Some(Duration::from_millis(millis.unsigned_abs()));
    }
    let span = element
        .attribute("timeLimit")
        .map_or(element.span, |attribute| attribute.value.span);
    let message = format!("`timeLimit` is from 1 to {LONGEST} milliseconds");
    planner.tell(
        Diagnostic::error("E0203", span, message).help("a script holds up everything else on its core"),
    );
    None
}

/// The text of a script in a file, or in a local entry.
fn script_text(key: &Placed, planner: &mut Planner<'_>) -> Option<Placed> {
    let name = planner.resolved(key)?;
    let from = planner.file_of(key).to_owned();
    let (file, text) = match planner.lookup.resource(&name, &from) {
        Some(found) => found,
        None => match planner.entry(key)? {
            Value::Text(text) => (format!("local entry {name}"), text.to_string()),
            _ => {
                planner.mistake("E0404", key.span, format!("`{name}` holds no script"));
                return None;
            }
        },
    };
    let file = planner.sources.add(file, text.clone());
    let span = Span::new(file, 0..text.len());
    Some(Placed::verbatim(text, span))
}

/// The hosts that stand in the script. Without any list it may go there and nowhere else.
fn written_out(element: &Element, script: &Script, planner: &mut Planner<'_>) -> Option<AllowList> {
    let mut origins: Vec<Arc<url::Origin>> = Vec::new();
    let mut names_endpoint = false;
    let before = planner.mistakes.errors();
    for (text, span) in script.texts() {
        names_endpoint |= planner.names.endpoints.contains_key(&text);
        if !common::is_http(&text) {
            continue;
        }
        match Url::parse(&text) {
            Ok(url) => origins.push(url.origin),
            Err(_) => {
                let mistake = Diagnostic::error(
                    "E0308",
                    span,
                    "the host of this address is known only when a message comes",
                );
                planner.tell(mistake.help("say with `allow=\"https://*.example.com …\"` on `<dynamic>` where it may go, or with `[endpoints] allow` in myelin.toml"));
            }
        }
    }
    if planner.mistakes.errors() > before {
        return None;
    }
    if origins.is_empty() && !names_endpoint {
        let warning = Diagnostic::warning(
            "W0308",
            element.span,
            "no address is allowed here, as neither the script nor a list names a host",
        );
        planner.tell(warning.help("add `allow=\"https://*.example.com …\"` if the script gives addresses; names of endpoints need no list"));
    }
    Some(AllowList::of_origins(origins.iter().map(|origin| &**origin)))
}

impl LeafKind for DynamicEndpoint {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.prepare(exchange).await?;
        let answer = self.ask(exchange).await?;
        let choice = choice(answer)?;
        if choice.headers.is_empty() {
            return self.go(exchange, choice).await;
        }
        let before = exchange.message.headers.clone();
        for (name, value) in &choice.headers {
            match value {
                Some(value) => drop(exchange.message.headers.insert(name, value.clone())),
                None => drop(exchange.message.headers.remove(name)),
            }
        }
        let sent = self.go(exchange, choice).await;
        if sent.is_err() {
            // The next child of a group gets the message as it was.
            exchange.message.headers = before;
        }
        sent
    }
}

impl DynamicEndpoint {
    async fn ask(&self, exchange: &mut Exchange) -> Result<Json, Fault> {
        let payload = if self.script.reads(Name::Payload) {
            Some(exchange.shared_json().await?)
        } else {
            None
        };
        let token = if self.script.reads(Name::Token) {
            let claims = exchange.token().map(|claims| Json::Object((*claims.all).clone()));
            claims.map(Arc::new)
        } else {
            None
        };
        let given = Given {
            headers: std::mem::take(&mut exchange.message.headers),
            properties: std::mem::take(&mut exchange.properties),
            method: exchange.request.method.clone(),
            target: Arc::clone(&exchange.request.target),
            payload,
            token,
        };
        let (given, answer) = self.script.run(given);
        exchange.message.headers = given.headers;
        exchange.properties = given.properties;
        answer.map_err(|failure| {
            let reason = format!("the script that says where to send to failed: {}", failure.reason);
            let place = exchange.place(failure.at);
            let detail = format!("{reason} (at {place})");
            Fault::new(fault::code::MEDIATION, Origin::Script, reason).detail(detail)
        })
    }

    async fn go(&self, exchange: &mut Exchange, choice: Choice) -> Result<Answer, Fault> {
        let known = |name: &str| exchange.catalog.endpoint_names.get(name).copied();
        let address = match &choice.to {
            To::Endpoint(name) => match known(name) {
                Some(id) => return through_endpoint(exchange, id, name, &choice).await,
                None => return Err(unknown(exchange, name)),
            },
            To::Either(text) => match known(text) {
                Some(id) => return through_endpoint(exchange, id, text, &choice).await,
                None if has_scheme(text) => text,
                None => return Err(unknown(exchange, text)),
            },
            To::Address(address) => address,
        };
        let url = Url::parse(address).map_err(|invalid| {
            let shown = short(&invalid.text);
            not_allowed(format!(
                "`{shown}` is not an address that can be called: {}",
                invalid.reason
            ))
        })?;
        let url = self.leaf.by_profile(url);
        let mut patience = self.leaf.patience(exchange).await?;
        patience.response = choice.timeout.or(patience.response);
        let mut delivery = self.leaf.delivery.clone();
        delivery.method = choice.method.or(delivery.method);
        delivery.bare |= choice.bare;
        let origin = Arc::clone(&url.origin);
        let sent = self
            .leaf
            .guarded(exchange, Some(&origin), async |exchange, place| {
                deliver_watched(exchange, url, &delivery, patience, Some(Box::new(place))).await
            });
        sent.await
    }
}

/// What the endpoint says of itself goes first; the rest of the choice holds for it.
async fn through_endpoint(
    exchange: &mut Exchange,
    id: crate::flow::EndpointId,
    name: &str,
    choice: &Choice,
) -> Result<Answer, Fault> {
    if let Some(method) = &choice.method {
        exchange
            .properties
            .set_axis2("HTTP_METHOD", Value::text(method.as_str()));
    }
    let before = exchange.deadline;
    if let Some(timeout) = choice.timeout {
        exchange.deadline = Some(Deadline::within(timeout).or_sooner(before));
    }
    let sent = key::deliver_through(exchange, id, name).await;
    exchange.deadline = before;
    sent
}

fn unknown(exchange: &Exchange, name: &str) -> Fault {
    let names = exchange.catalog.endpoint_names.keys().map(String::as_str);
    let hint = suggest::did_you_mean(name, names).map_or(String::new(), |hint| format!("; {hint}"));
    let shown = short(name);
    let reason = format!("there is no endpoint `{shown}`, which the script asks for{hint}");
    Fault::new(fault::code::ENDPOINT_NOT_FOUND, Origin::Author, reason)
}

/// `file:…`, `http://…`: it is meant for an address, of whatever kind.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    })
}

// The answer

fn choice(answer: Json) -> Result<Choice, Fault> {
    match answer {
        Json::String(text) => Ok(Choice {
            to: To::Either(to_text(&text)?),
            ..Choice::default()
        }),
        Json::Object(map) => choice_of_map(map),
        other => Err(wrong(format!(
            "gave {}, and an address, the name of an endpoint or a map is expected",
            what(&other)
        ))),
    }
}

fn choice_of_map(map: Object) -> Result<Choice, Fault> {
    const KEYS: [&str; 6] = ["address", "endpoint", "method", "headers", "timeout", "bare"];
    let mut choice = Choice::default();
    let mut found = false;
    for (key, value) in map {
        match (key.as_str(), value) {
            // As if it were not there: scripts compute the parts of their maps.
            (known, Json::Null) if KEYS.contains(&known) => {}
            ("address" | "endpoint", _) if found => {
                return Err(wrong("gave both `address` and `endpoint`".to_owned()));
            }
            ("address", Json::String(text)) => {
                choice.to = To::Address(to_text(&text)?);
                found = true;
            }
            ("endpoint", Json::String(text)) => {
                choice.to = To::Endpoint(to_text(&text)?);
                found = true;
            }
            ("method", Json::String(text)) => choice.method = Some(method(&text)?),
            ("headers", Json::Object(headers)) => choice.headers = read_headers(headers)?,
            ("timeout", Json::Number(millis)) => {
                let millis = millis
                    .as_f64()
                    .filter(|millis| (1.0..=86_400_000.0).contains(millis));
                let millis = millis
                    .ok_or_else(|| wrong("gave a `timeout` that is no number of milliseconds".to_owned()))?;
                choice.timeout = Some(Duration::from_millis(millis as u64));
            }
            ("bare", Json::Bool(bare)) => choice.bare = bare,
            (known, other) if KEYS.contains(&known) => {
                return Err(wrong(format!("gave {} as `{known}`", what(&other))));
            }
            (key, _) => {
                let hint = suggest::did_you_mean(key, KEYS)
                    .unwrap_or_else(|| format!("it takes {}", KEYS.join(", ")));
                return Err(wrong(format!("gave a map with `{}`; {hint}", short(key))));
            }
        }
    }
    if found {
        Ok(choice)
    } else {
        Err(wrong("gave a map without `address` and `endpoint`".to_owned()))
    }
}

fn to_text(text: &str) -> Result<String, Fault> {
    match text.trim() {
        "" => Err(wrong("gave an empty text".to_owned())),
        text => Ok(text.to_owned()),
    }
}

fn method(text: &str) -> Result<Method, Fault> {
    let upper = text.trim().to_ascii_uppercase();
    let method = upper
        .parse::<Method>()
        .ok()
        .filter(|method| *method != Method::CONNECT);
    method.ok_or_else(|| wrong(format!("gave `{}`, which is no HTTP method", short(text))))
}

fn read_headers(headers: Object) -> Result<Vec<(HeaderName, Option<HeaderValue>)>, Fault> {
    let mut read = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(format!("gave `{}`, which cannot be a header", short(&name))))?;
        let text = match value {
            Json::Null => {
                read.push((header, None));
                continue;
            }
            Json::String(text) => text,
            Json::Number(_) | Json::Bool(_) => value.to_string(),
            other => return Err(wrong(format!("gave {} as the header `{name}`", what(&other)))),
        };
        let value = HeaderValue::from_str(&text).map_err(|_| {
            wrong(format!(
                "gave `{}`, which cannot be the value of the header `{name}`",
                short(&text)
            ))
        })?;
        read.push((header, Some(value)));
    }
    Ok(read)
}

fn what(json: &Json) -> String {
    match json {
        Json::Null => "nothing".to_owned(),
        Json::Bool(value) => format!("`{value}`"),
        Json::Number(number) => format!("the number {number}"),
        Json::String(text) => format!("the text `{}`", short(text)),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a map".to_owned(),
    }
}

/// What came from a client is shown in part, and without its control characters.
fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

fn wrong(what: String) -> Fault {
    Fault::new(
        fault::code::MEDIATION,
        Origin::Script,
        format!("the script that says where to send to {what}"),
    )
}

#[cfg(test)]
mod tests {
    use crate::endpoints::ALL;
    use crate::flow::testing::{ScriptedBackend, exchange, wait};
    use crate::plan::{Kinds, testing};

    const KINDS: Kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    const BESIDE: &str = r#"<endpoint name="orders"><address uri="http://backend/orders"/></endpoint>"#;

    fn told(dynamic: &str) -> Vec<String> {
        testing::endpoint(KINDS, &format!("<endpoint>{dynamic}</endpoint>"), BESIDE).told()
    }

    /// What comes of a script's answer: where the message went, or why it did not go.
    fn check(script: &str, expected: &str) {
        let config =
            format!("<endpoint><dynamic allow=\"http://backend\" expression='{script}'/></endpoint>");
        let planned = testing::endpoint(KINDS, &config, BESIDE);
        assert_eq!(planned.told(), [""; 0], "{script}");
        let backend = ScriptedBackend::answering("200");
        let request = "PATCH /a?x=y\nx-a: b\n\nbody";
        let mut exchange = exchange(request, planned.catalog, backend.clone());
        let sent = wait(planned.what.expect("it is sound").deliver(&mut exchange));
        let outcome = match sent {
            Ok(_) => {
                let seen = backend.only();
                let body = String::from_utf8_lossy(&seen.body).into_owned();
                format!("{} {} {body}", seen.method, seen.url)
            }
            Err(fault) => {
                assert_eq!(exchange.message.header("x-a"), Some("b"), "{script}");
                format!("{fault}")
            }
        };
        assert_eq!(outcome, expected, "for {script}");
    }

    #[test]
    fn an_answer_is_an_address_a_name_or_a_map() {
        check("\"http://backend/b\"", "PATCH http://backend/b body");
        check("`http://backend/b?${query.x}`", "PATCH http://backend/b?y body");
        check("\" orders \"", "PATCH http://backend/orders body");
        check(
            "#{endpoint: \"orders\", timeout: 100}",
            "PATCH http://backend/orders body",
        );
        check(
            "#{address: \"http://backend\", method: \"put\", headers: ()}",
            "PUT http://backend/ body",
        );
        check(
            "let to = \"http://backend\"; if method == \"PATCH\" { return to + path; } to",
            "PATCH http://backend/a body",
        );
    }

    #[test]
    fn any_other_answer_is_a_fault_that_says_what_came() {
        let wrong = |what: &str| format!("0 the script that says where to send to {what}");
        check(
            "42",
            &wrong("gave the number 42, and an address, the name of an endpoint or a map is expected"),
        );
        check(
            "headers.nothing",
            &wrong("gave nothing, and an address, the name of an endpoint or a map is expected"),
        );
        check(
            "[\"http://backend\"]",
            &wrong("gave a list, and an address, the name of an endpoint or a map is expected"),
        );
        check("\"\"", &wrong("gave an empty text"));
        check("#{}", &wrong("gave a map without `address` and `endpoint`"));
        check(
            "#{adress: \"http://backend\"}",
            &wrong("gave a map with `adress`; did you mean `address`?"),
        );
        check("#{address: 1}", &wrong("gave the number 1 as `address`"));
        check(
            "#{address: \"http://backend\", endpoint: \"orders\"}",
            &wrong("gave both `address` and `endpoint`"),
        );
        check(
            "#{address: \"http://backend\", method: \"a b\"}",
            &wrong("gave `a b`, which is no HTTP method"),
        );
        check(
            "#{address: \"http://backend\", headers: #{x: \"1\\r\\nevil: 2\"}}",
            &wrong("gave `1\\r\\nevil: 2`, which cannot be the value of the header `x`"),
        );
        check(
            "#{address: \"http://backend\", headers: #{\"x y\": \"1\"}}",
            &wrong("gave `x y`, which cannot be a header"),
        );
        check(
            "#{address: \"http://backend\", timeout: -1}",
            &wrong("gave a `timeout` that is no number of milliseconds"),
        );
        check("throw \"no\"", &wrong("failed: no"));
        check("loop { }", &wrong("failed: it took more than 100000 steps"));
        check(
            "\"order\"",
            "305100 there is no endpoint `order`, which the script asks for; did you mean `orders`?",
        );
        let refused = |what: &str| format!("305403 the message may not go where it asks for: {what}");
        check(
            "\"file:///etc/passwd\"",
            &refused(
                "`file:///etc/passwd` is not an address that can be called: its scheme is none of http, https, ws and wss",
            ),
        );
        check(
            "\"http://other/\"",
            &refused("`http://other` is not on the list of what is allowed"),
        );
    }

    #[test]
    fn a_very_long_address_is_a_fault_and_not_a_request() {
        let script = "let s = \"http://backend/\"; for i in 0..15 { s += s; } s";
        let config =
            format!("<endpoint><dynamic allow=\"http://backend\" expression='{script}'/></endpoint>");
        let planned = testing::endpoint(KINDS, &config, "");
        let backend = ScriptedBackend::answering("200");
        let mut exchange = exchange("GET /", planned.catalog, backend.clone());
        let sent = wait(planned.what.expect("it is sound").deliver(&mut exchange));
        assert!(
            sent.err().is_some_and(|fault| fault.reason.len() < 300),
            "a short fault"
        );
        assert!(backend.seen().is_empty());
    }

    #[test]
    fn mistakes_are_told_when_it_is_loaded() {
        let mut wrong = Vec::new();
        for (dynamic, expected) in [
            (
                r#"<dynamic/>"#,
                "E0202 2:12 `<dynamic>` needs `expression` or `script`",
            ),
            (
                r#"<dynamic expression="1" script="a.rhai"/>"#,
                "E0210 2:35 the script stands here, or in `expression`, not in both",
            ),
            (
                r#"<dynamic expression="header.x"/>"#,
                "E0306 2:32 rhai: there is nothing called `header`",
            ),
            (
                r#"<dynamic expression='path &amp;&amp; vars.x ==' allow="h"/>"#,
                "E0306 2:57 rhai: Script is incomplete",
            ),
            (
                r#"<dynamic expression='"http://" + headers.host'/>"#,
                "E0308 2:32 the host of this address is known only when a message comes",
            ),
            (
                r#"<dynamic expression='`http://${headers.host}/`'/>"#,
                "E0308 2:32 the host of this address is known only when a message comes",
            ),
            (
                r#"<dynamic expression='headers.host'/>"#,
                "W0308 2:12 no address is allowed here, as neither the script nor a list names a host",
            ),
            (r#"<dynamic expression='"orders"'/>"#, ""),
            (
                r#"<dynamic expression='headers.host' allow="http://a ftp://b"/>"#,
                "E0307 2:62 `ftp://b` allows nothing: only http, https, ws and wss are sent to",
            ),
            (
                r#"<dynamic expression='"orders"' timeLimit="5000"/>"#,
                "E0203 2:53 `timeLimit` is from 1 to 1000 milliseconds",
            ),
            (
                r#"<dynamic script="scripts/none.rhai#f"/>"#,
                "E0401 2:28 there is no local entry or registry resource `scripts/none.rhai`",
            ),
        ] {
            let told = told(dynamic).join(" / ");
            if told != expected {
                wrong.push(format!("{dynamic}\n  {told}\n  {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
