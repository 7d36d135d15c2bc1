//! `<conditionalRouter>`: targets by conditions on the request.

use super::pattern::Pattern;
use crate::expression::Expression;
use crate::flow::{
    Endpoint, EndpointId, Exchange, Fault, Flow, Mediator, Outcome, Sequence, SequenceId, delivery,
};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape, table};
use crate::text::{Diagnostic, suggest};
use async_trait::async_trait;
use http::Uri;
use percent_encoding::percent_decode_str;
use std::pin::Pin;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "conditionalRouter",
    summary: "Runs the target of each route whose condition holds, in order, until a route that breaks.",
    notes: "Conditions are built of `and`, `or`, `not`, `match` (a regular expression for the whole text) and `equal` (in any case of \
        letters). `type` says what is looked at: `header` (the default) an HTTP header, `param` a query parameter of `To`, `url` the \
        address `To` or a part of it, `property` a property of the default scope, `soap` the text of an XPath. What is not there \
        neither matches nor equals.\n\n\
        A target is a sequence or an endpoint. When all is done the flow ends, unless `continueAfter` is true.",
    differences: "Targets run one after the other on the message itself; `asynchronous=\"true\"` does not start a thread. When a target \
        sends, answers or drops the message, that is the end of the flow: Synapse goes on with the next route and with what stands after \
        the router, on a message that has gone.",
    attributes: &[
        Attr::optional("continueAfter", Shape::Boolean, "Whether the steps after the router run.").default("false"),
    ],
    children: Children::of(&[Child::optional(
        "conditionalRoute",
        &[
            Attr::optional("breakRoute", Shape::Boolean, "Whether no other route is looked at after this one.")
                .default("true"),
            Attr::ignored("asynchronous", "The target runs in place, before anything that follows."),
        ],
        Children::of(&[
            Child::required(
                "condition",
                &[],
                Children {
                    any: true,
                    ..Children::of(EVALUATORS)
                },
                "When the route is taken. Holds one evaluator, in any namespace.",
            ),
            Child::required(
                "target",
                &[
                    Attr::optional("to", Shape::Text, "Becomes the address `To`."),
                    Attr::optional("soapAction", Shape::Text, "Becomes the SOAPAction."),
                    Attr::optional("sequence", Shape::Sequence, "Runs this sequence."),
                    Attr::optional("endpoint", Shape::Endpoint, "Sends to this endpoint."),
                ],
                Children::of(&[
                    Child::optional(
                        "sequence",
                        &[Attr::optional("onError", Shape::Sequence, "Runs when a step inside fails.")],
                        Children::STEPS,
                        "Steps.",
                    ),
                    Child::endpoint("Sends to this endpoint."),
                ]),
                "What happens then: of the sequence inside, the sequence by name, the endpoint inside and the endpoint by name, the \
                 first one present.",
            ),
        ]),
        "One route.",
    )
    .many()]),
    build,
    examples: &[
        Example::new(
            "Routes by header and by query parameter",
            r#"<conditionalRouter continueAfter="true">
    <conditionalRoute breakRoute="false">
        <condition><match source="X-Tier" regex="gold.*"/></condition>
        <target sequence="fast"/>
    </conditionalRoute>
    <conditionalRoute>
        <condition>
            <and>
                <equal type="param" source="lang" value="EN"/>
                <not><equal type="url" source="path" value="/private"/></not>
            </and>
        </condition>
        <target><sequence onError="fault"><property name="language" value="english"/></sequence></target>
    </conditionalRoute>
</conditionalRouter>"#,
            "GET /orders?lang=en\nX-Tier: golden",
            "continues\nproperty lane = fast\nproperty language = english",
        )
        .beside(
            r#"<sequence name="fast"><property name="lane" value="fast"/></sequence>
<sequence name="fault"><respond/></sequence>"#,
        ),
        Example::new(
            "Send by what is in the body",
            r#"<conditionalRouter>
    <conditionalRoute>
        <condition>
            <or>
                <equal type="soap" source="//kind" value="urgent"/>
                <equal type="property" source="force" value="true"/>
            </or>
        </condition>
        <target endpoint="hotline" to="/urgent" soapAction="urn:urgent"/>
    </conditionalRoute>
    <conditionalRoute>
        <condition><match type="url" regex="/orders.*"/></condition>
        <target><endpoint><address uri="http://backend/orders"/></endpoint></target>
    </conditionalRoute>
</conditionalRouter>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order><kind>later</kind></order>",
            "turns\nbackend POST http://backend/orders\nbackend body <order><kind>later</kind></order>",
        )
        .backend("200\nContent-Type: text/plain\n\nnoted")
        .beside(r#"<endpoint name="hotline"><address uri="http://backend/hotline"/></endpoint>"#),
    ],
};

const LOOKED_AT: &[Attr] = &[
    Attr::optional(
        "type",
        Shape::Choice(&["header", "param", "url", "property", "soap"]),
        "What is looked at.",
    )
    .default("header"),
    Attr::optional(
        "source",
        Shape::Text,
        "The name of the header, parameter or property; the XPath; for `url` a part of it: protocol, user, host, port, path, query \
         or ref.",
    ),
];

const MATCH: &[Attr] = &[
    LOOKED_AT[0],
    LOOKED_AT[1],
    Attr::required("regex", Shape::Regex, "Has to match the whole text."),
];

const EQUAL: &[Attr] = &[
    LOOKED_AT[0],
    LOOKED_AT[1],
    Attr::required("value", Shape::Text, "The text, in any case of letters."),
];

/// Refers to itself: evaluators nest.
static EVALUATORS: &[Child] = &EVALUATOR_LIST;

static EVALUATOR_LIST: [Child; 5] = [
    Child::optional(
        "and",
        &[],
        Children::of(&EVALUATOR_LIST),
        "All of the evaluators inside hold.",
    )
    .many(),
    Child::optional(
        "or",
        &[],
        Children::of(&EVALUATOR_LIST),
        "One of the evaluators inside holds.",
    )
    .many(),
    Child::optional(
        "not",
        &[],
        Children::of(&EVALUATOR_LIST),
        "The evaluator inside does not hold.",
    )
    .many(),
    Child::optional(
        "match",
        MATCH,
        Children::NONE,
        "A text matches a regular expression.",
    )
    .many(),
    Child::optional("equal", EQUAL, Children::NONE, "A text equals another.").many(),
];

struct Router {
    routes: Vec<Route>,
    continue_after: bool,
}

struct Route {
    condition: Condition,
    target: Target,
    breaks: bool,
}

struct Target {
    to: Option<Arc<str>>,
    soap_action: Option<Arc<str>>,
    action: Action,
}

enum Action {
    Nothing,
    Steps(Sequence),
    Sequence(SequenceId),
    Inline(Arc<dyn Endpoint>),
    Endpoint(EndpointId),
}

enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Match(LookedAt, Pattern),
    Equal(LookedAt, String),
}

enum LookedAt {
    Header(String),
    Parameter(String),
    Url(Option<Part>),
    Property(String),
    Text(Expression),
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Protocol,
    User,
    Host,
    Port,
    Path,
    Query,
    Fragment,
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let mut routes = Vec::new();
    for route in element.all("conditionalRoute") {
        let condition = route
            .child("condition")
            .and_then(|condition| only_condition(condition, planner));
        let target = route.child("target").and_then(|inner| target(inner, planner));
        if let (Some(condition), Some(target)) = (condition, target) {
            routes.push(Route {
                condition,
                target,
                breaks: !route.has("breakRoute") || route.is_true("breakRoute"),
            });
        }
    }
    Some(Box::new(Router {
        routes,
        continue_after: element.is_true("continueAfter"),
    }))
}

fn target(element: &Element, planner: &mut Planner<'_>) -> Option<Target> {
    let action = if let Some(inner) = element.child("sequence") {
        let mut sequence = planner.sequence(inner);
        if let Some(handler) = inner.attribute("onError") {
            sequence.on_error = Some(planner.sequence_key(&handler.value.clone())?);
        }
        Action::Steps(sequence)
    } else if let Some(key) = element.attribute("sequence") {
        Action::Sequence(planner.sequence_key(&key.value.clone())?)
    } else if let Some(inner) = element.child("endpoint") {
        Action::Inline(planner.endpoint(inner)?)
    } else if let Some(key) = element.attribute("endpoint") {
        Action::Endpoint(planner.endpoint_key(&key.value.clone())?)
    } else {
        Action::Nothing
    };
    Some(Target {
        to: planner.text(element, "to").map(Arc::from),
        soap_action: planner.text(element, "soapAction").map(Arc::from),
        action,
    })
}

/// The one evaluator inside `condition` or `not`.
fn only_condition(element: &Element, planner: &mut Planner<'_>) -> Option<Condition> {
    let mut inner = element.elements();
    let Some(first) = inner.next() else {
        planner.tell(
            Diagnostic::error(
                "E0208",
                element.span,
                format!("`<{}>` needs an evaluator inside", element.name),
            )
            .help("one of `<and>`, `<or>`, `<not>`, `<match>` and `<equal>`"),
        );
        return None;
    };
    if let Some(other) = inner.next() {
        planner.tell(
            Diagnostic::warning("W0210", other.span, format!("`<{}>` has no effect", other.name))
                .also(first.span, "only the first evaluator counts"),
        );
    }
    condition(first, planner)
}

/// Evaluators are known by their local name, whatever their namespace (`EvaluatorFactoryFinder`), so the table is asked here.
fn condition(element: &Element, planner: &mut Planner<'_>) -> Option<Condition> {
    let Some(known) = EVALUATORS.iter().find(|known| known.element == element.name) else {
        let names = EVALUATORS.iter().map(|known| known.element);
        planner.tell(
            Diagnostic::error(
                "E0204",
                element.span,
                format!("there is no evaluator `<{}>`", element.name),
            )
            .maybe_help(suggest::did_you_mean(&element.name, names)),
        );
        return None;
    };
    if !table::check(element, known.attributes, &Children::ANY, planner) {
        return None;
    }
    match element.name.as_str() {
        "not" => only_condition(element, planner).map(|inner| Condition::Not(Box::new(inner))),
        "match" => {
            let looked_at = looked_at(element, planner);
            let pattern = Pattern::compile(&element.attribute("regex")?.value.clone(), planner);
            Some(Condition::Match(looked_at?, pattern?))
        }
        "equal" => {
            let looked_at = looked_at(element, planner);
            let value = planner.text(element, "value");
            Some(Condition::Equal(looked_at?, value?))
        }
        name => {
            let conditions: Vec<Condition> = element
                .elements()
                .filter_map(|inner| condition(inner, planner))
                .collect();
            if element.elements().count() < 2 {
                planner.mistake(
                    "E0208",
                    element.span,
                    format!("`<{name}>` needs two evaluators or more inside"),
                );
                return None;
            }
            Some(if name == "and" {
                Condition::And(conditions)
            } else {
                Condition::Or(conditions)
            })
        }
    }
}

fn looked_at(element: &Element, planner: &mut Planner<'_>) -> Option<LookedAt> {
    let kind = element
        .get("type")
        .map_or("header".to_owned(), |kind| kind.trim().to_ascii_lowercase());
    let Some(source) = element.attribute("source") else {
        if kind == "url" {
            return Some(LookedAt::Url(None));
        }
        planner.tell(
            Diagnostic::error(
                "E0202",
                element.span,
                format!("`<{}>` needs the attribute `source`", element.name),
            )
            .help("only type=\"url\" can do without"),
        );
        return None;
    };
    let name = planner.resolved(&source.value)?;
    Some(match kind.as_str() {
        "param" => LookedAt::Parameter(name),
        "property" => LookedAt::Property(name),
        "soap" => LookedAt::Text(planner.expression(&source.value, element)?),
        "url" => LookedAt::Url(Some(match name.trim() {
            "protocol" => Part::Protocol,
            "user" => Part::User,
            "host" => Part::Host,
            "port" => Part::Port,
            "path" => Part::Path,
            "query" => Part::Query,
            "ref" => Part::Fragment,
            // `full` is the whole address, as without a source.
            "full" => return Some(LookedAt::Url(None)),
            other => {
                planner.tell(
                    Diagnostic::error("E0203", source.value.span, format!("a URL has no part `{other}`"))
                        .help("the parts are protocol, user, host, port, path, query, ref and full"),
                );
                return None;
            }
        })),
        _ => LookedAt::Header(name),
    })
}

#[async_trait(?Send)]
impl Mediator for Router {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        for route in &self.routes {
            if !route.condition.holds(exchange).await? {
                continue;
            }
            match route.target.run(exchange).await? {
                Flow::Continue => {}
                flow => return Ok(flow),
            }
            if route.breaks {
                break;
            }
        }
        Ok(if self.continue_after {
            Flow::Continue
        } else {
            Flow::Drop
        })
    }
}

impl Target {
    async fn run(&self, exchange: &mut Exchange) -> Outcome {
        if let Some(action) = &self.soap_action {
            exchange.message.addressing.soap_action = Some(Arc::clone(action));
        }
        if let Some(to) = &self.to {
            exchange.message.addressing.to = Some(Arc::clone(to));
        }
        match &self.action {
            Action::Nothing => Ok(Flow::Continue),
            Action::Steps(steps) => steps.run(exchange).await,
            Action::Sequence(sequence) => exchange.run(*sequence).await,
            Action::Inline(endpoint) => delivery::send(exchange, Some(endpoint), None).await,
            Action::Endpoint(endpoint) => {
                let endpoint = exchange.catalog.endpoint(*endpoint);
                delivery::send(exchange, Some(&endpoint), None).await
            }
        }
    }
}

impl Condition {
    /// Boxed, because conditions nest.
    fn holds<'a>(
        &'a self,
        exchange: &'a mut Exchange,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Fault>> + 'a>> {
        Box::pin(async move {
            match self {
                Condition::And(all) => {
                    for condition in all {
                        if !condition.holds(exchange).await? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                }
                Condition::Or(any) => {
                    for condition in any {
                        if condition.holds(exchange).await? {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                }
                Condition::Not(condition) => Ok(!condition.holds(exchange).await?),
                Condition::Match(what, pattern) => match what.text(exchange).await? {
                    Some(text) => pattern.matches(&text),
                    None => Ok(false),
                },
                Condition::Equal(what, value) => Ok(what
                    .text(exchange)
                    .await?
                    .is_some_and(|text| text.to_lowercase() == value.to_lowercase())),
            }
        })
    }
}

impl LookedAt {
    async fn text(&self, exchange: &mut Exchange) -> Result<Option<String>, Fault> {
        let to = exchange.message.addressing.to.as_deref();
        Ok(match self {
            LookedAt::Header(name) => exchange.message.header(name).map(str::to_owned),
            LookedAt::Parameter(name) => to.and_then(|to| parameter(to, name)),
            LookedAt::Url(None) => to.map(str::to_owned),
            LookedAt::Url(Some(part)) => to.and_then(|to| part.of(to)),
            LookedAt::Property(name) => exchange.properties.text(name),
            LookedAt::Text(expression) => exchange.text(expression).await?,
        })
    }
}

/// A query parameter of an address, decoded; the last one of several (`EvaluatorContext.getParam`).
fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .rfind(|(known, value)| *known == name && !value.is_empty())
        .map(|(_, value)| decoded(&value.replace('+', " ")))
}

impl Part {
    fn of(self, url: &str) -> Option<String> {
        if let Part::Fragment = self {
            return url.split_once('#').map(|(_, fragment)| fragment.to_owned());
        }
        let uri: Uri = url.parse().ok()?;
        match self {
            Part::Protocol => uri.scheme_str().map(str::to_owned),
            Part::User => uri
                .authority()
                .and_then(|authority| authority.as_str().rsplit_once('@'))
                .map(|(user, _)| user.to_owned()),
            Part::Host => uri.host().map(str::to_owned),
            // Java says -1 for an address that names none.
            Part::Port => Some(uri.port_u16().map_or("-1".to_owned(), |port| port.to_string())),
            Part::Path => Some(decoded(uri.path())),
            Part::Query => uri.query().map(decoded),
            Part::Fragment => None,
        }
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mediators::trial::{ALL, outcome, told};

    fn check(condition: &str, holds: bool) {
        let config = format!(
            "<conditionalRouter continueAfter=\"true\"><conditionalRoute><condition>{condition}</condition>\
             <target><sequence><respond/></sequence></target></conditionalRoute></conditionalRouter>"
        );
        let expected = if holds { "Respond" } else { "continues" };
        assert_eq!(
            outcome(&config, "GET /a%20b?x=1&x=2+3&e=\nX-A: Yes"),
            expected,
            "{condition}"
        );
    }

    #[test]
    fn conditions_are_those_of_the_evaluators() {
        check(r#"<equal source="x-a" value="YES"/>"#, true);
        // Any namespace will do.
        check(r#"<not xmlns=""><equal source="x-a" value="no"/></not>"#, true);
        check(r#"<match source="x-a" regex="Ye"/>"#, false);
        check(r#"<match type="param" source="x" regex="2 3"/>"#, true);
        check(r#"<match type="param" source="e" regex=".*"/>"#, false);
        check(r#"<equal type="url" source="path" value="/a b"/>"#, true);
        check(r#"<match type="url" regex="/a%20b\?.*"/>"#, true);
        check(
            r#"<not><equal type="property" source="none" value=""/></not>"#,
            true,
        );
        check(
            r#"<and><equal source="x-a" value="yes"/><equal source="x-b" value="yes"/></and>"#,
            false,
        );
        check(
            r#"<or><equal source="x-b" value="yes"/><equal source="x-a" value="yes"/></or>"#,
            true,
        );
    }

    #[test]
    fn parts_of_a_url_are_those_of_java() {
        let url = "http://ada@shop:8080/a%20b?c=d";
        for (part, expected) in [
            (Part::Protocol, "http"),
            (Part::User, "ada"),
            (Part::Host, "shop"),
            (Part::Port, "8080"),
            (Part::Path, "/a b"),
            (Part::Query, "c=d"),
        ] {
            assert_eq!(part.of(url).as_deref(), Some(expected), "{part:?}");
        }
        assert_eq!(Part::Port.of("/a").as_deref(), Some("-1"));
        assert_eq!(Part::Fragment.of("/a#b").as_deref(), Some("b"));
        assert_eq!(Part::Host.of("/a"), None);
    }

    #[test]
    fn a_route_breaks_unless_it_says_otherwise_and_the_flow_ends_after_the_router() {
        // ConditionalRouterMediator ignores what a target's sequence returns; see the differences.
        let route = |attributes: &str, name: &str| {
            format!(
                "<conditionalRoute {attributes}><condition><match type=\"url\" regex=\".*\"/></condition>\
                 <target><sequence><property name=\"{name}\" value=\"1\"/></sequence></target></conditionalRoute>"
            )
        };
        let routes = [route("breakRoute=\"false\"", "a"), route("", "b"), route("", "c")].concat();
        let (outcome, exchange) = ALL.run(
            &format!("<conditionalRouter>{routes}</conditionalRouter>"),
            "GET /",
        );
        assert_eq!(outcome.expect("no fault"), Flow::Drop);
        let set = ["a", "b", "c"].map(|name| exchange.properties.get(name).is_some());
        assert_eq!(set, [true, true, false]);
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        let told = |condition: &str| {
            told(&format!(
                "<conditionalRouter><conditionalRoute><condition>{condition}</condition><target/></conditionalRoute></conditionalRouter>"
            ))
        };
        for (condition, expected) in [
            ("<match/>", "E0202 `<match>` needs the attribute `regex`"),
            ("<equals/>", "E0204 there is no evaluator `<equals>`"),
            ("", "E0208 `<condition>` needs an evaluator inside"),
            ("<not/>", "E0208 `<not>` needs an evaluator inside"),
            (
                r#"<and><equal source="a" value="b"/></and>"#,
                "E0208 `<and>` needs two evaluators or more inside",
            ),
            (
                r#"<equal value="b"/>"#,
                "E0202 `<equal>` needs the attribute `source`",
            ),
            (
                r#"<equal type="url" source="door" value="b"/>"#,
                "E0203 a URL has no part `door`",
            ),
            (
                r#"<equal type="body" source="a" value="b"/>"#,
                "E0203 `body` is not what `type` takes",
            ),
        ] {
            assert_eq!(told(condition), expected, "{condition}");
        }
    }
}
