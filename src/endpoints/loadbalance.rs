//! `<loadbalance>`: the children share the work.

use super::group::{self, Group, Tried};
use super::member;
use super::session::{self, Session};
use crate::flow::group::{GroupState, score};
use crate::flow::health::{Health, NotReady};
use crate::flow::{Answer, Endpoint, Exchange, Fault, fault};
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::text::{Diagnostic, Placed, suggest};
use async_trait::async_trait;
use std::sync::{Arc, PoisonError};

pub const KIND: EndpointKind = EndpointKind {
    element: "loadbalance",
    by_attribute: false,
    summary: "Shares messages among its children, and keeps those of a session together.",
    notes: r#"| `algorithm` | who is next |
| --- | --- |
| `round-robin`, or a class named `RoundRobin` | the next child that is ready; the default |
| `weighted-round-robin`, or `WeightedRoundRobin` | as often as its property `loadbalance.weight` says, evenly spread; children that are not ready are left out |
| `weighted-least-connections`, or `WeightedRRLCAlgorithm` | the one with the fewest requests on their way, measured by its weight |
| `least-request` | the one with fewer requests on their way, of two drawn at random |
| `random` | any that is ready |
| `hash` | always the same one for the same value of what `hashBy` names, as long as it is ready |

With `failover="true"`, the default, another child is asked when one fails, by the rules of `failover` (`myelin explain failover`). With `false`
the failure is the answer.

`<session>` beside `<loadbalance>` keeps the messages of a session with one child. When that child is not ready or fails, the session moves to
another one (with `failover="false"`: fault 309001 or 309003).

`<member>` children have no address of their own: the message goes to its `To`, with host and port of the member."#,
    differences: r#"`failover="false"` is honoured. `WeightedRoundRobin` leaves out children that are not ready, and spreads turns evenly instead of serving
one child several times in a row; the numbers come out the same. A session moves when its child dies; Synapse answers with a fault until the
session has run out. Members that fail are tried again after 500 ms by the next message, not by a probe. Algorithms of one's own are Java."#,
    attributes: &[
        Attr::optional(
            "algorithm",
            Shape::Text,
            "Who is next: one of the words below, or the name of one of Synapse's classes.",
        )
        .default("round-robin"),
        Attr::optional(
            "policy",
            Shape::Choice(&["roundRobin"]),
            "An older way to say `round-robin`.",
        ),
        Attr::optional(
            "failover",
            Shape::Boolean,
            "Whether another child is asked when one fails.",
        )
        .default("true"),
        Attr::optional(
            "hashBy",
            Shape::Text,
            "With `algorithm=\"hash\"` (ours): `header NAME`, `cookie NAME` or `client-address`.",
        )
        .default("client-address"),
        Attr::ignored(
            "alogorithm",
            "a misspelling of `algorithm` that Synapse does not read; messages go round robin",
        ),
        group::BUILD_MESSAGE,
        group::RETRY_ON,
        group::DEADLINE,
    ],
    children: Children::of(&[group::CHILDREN, member::MEMBER]),
    build,
    examples: &[
        Example::new(
            "Two children by turns",
            r#"<endpoint name="shop"><loadbalance algorithm="org.apache.synapse.endpoints.algorithms.RoundRobin" failover="false"><endpoint key="orders"/><endpoint><address uri="http://backend/b"/></endpoint></loadbalance></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/orders",
        )
        .backend("200")
        .beside(super::key::ORDERS),
        Example::new(
            "The same customer always to the same child, another one if it says 503, for two seconds at the most",
            r#"<endpoint><loadbalance algorithm="hash" hashBy="header x-customer" buildMessage="true" retryOn="503" deadline="2000"><endpoint name="a"><address uri="http://backend/a"/></endpoint><endpoint name="b"><address uri="http://backend/b"/></endpoint></loadbalance></endpoint>"#,
            "GET /\nx-customer: 8",
            "turns\nbackend GET http://backend/a",
        )
        .backend("200"),
        Example::new(
            "Members, and sessions by cookie that live for ten minutes",
            r#"<endpoint><session type="http"><sessionTimeout>600000</sessionTimeout></session><loadbalance policy="roundRobin"><member hostName="backend" httpPort="8080" httpsPort="8443"/><member hostName="other" httpPort="8080"/></loadbalance></endpoint>"#,
            "GET http://shop/a",
            "turns\nbackend GET http://backend:8080/a",
        )
        .backend("200"),
    ],
};

struct LoadBalance {
    group: Group,
    algorithm: Algorithm,
    weights: Vec<u32>,
    failover: bool,
    session: Option<Session>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Algorithm {
    RoundRobin,
    WeightedRoundRobin,
    LeastConnections,
    LeastRequest,
    Random,
    Hash(HashBy),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HashBy {
    Header(String),
    Cookie(String),
    Address,
}

const WORDS: &[&str] = &[
    "round-robin",
    "weighted-round-robin",
    "weighted-least-connections",
    "least-request",
    "random",
    "hash",
];

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let before = planner.mistakes.errors();
    let session = session::plan(endpoint, planner);
    let algorithm = plan_algorithm(element, planner);
    let group = Group::plan(endpoint, element, &["session"], planner);
    let members: Vec<_> = element
        .all("member")
        .map(|member| member::build(endpoint, member, planner))
        .collect();
    if planner.mistakes.errors() != before {
        return None;
    }
    let (mut group, algorithm) = (group?, algorithm?);
    for member in members {
        group.add(member?);
    }
    if group.children.is_empty() {
        planner.mistake(
            "E0208",
            element.span,
            "a `<loadbalance>` needs children to choose from",
        );
        return None;
    }
    let weights = group.children.iter().map(|child| child.weight()).collect();
    let failover = !element
        .get("failover")
        .is_some_and(|failover| failover.trim().eq_ignore_ascii_case("false"));
    Some(Arc::new(LoadBalance {
        group: group.watched(planner),
        algorithm,
        weights,
        failover,
        session,
    }))
}

fn plan_algorithm(element: &Element, planner: &mut Planner<'_>) -> Option<Algorithm> {
    let given = element
        .attribute("algorithm")
        .map(|attribute| attribute.value.trimmed());
    if let (Some(_), Some(policy)) = (&given, element.attribute("policy")) {
        let mistake = Diagnostic::error(
            "E0210",
            policy.name_span,
            "`policy` and `algorithm` say the same thing",
        );
        planner.tell(mistake.help("remove `policy`"));
        return None;
    }
    let Some(given) = given else {
        return Some(Algorithm::RoundRobin);
    };
    let text = planner.resolved(&given)?;
    let text = text.trim();
    let class = text.rsplit('.').next().unwrap_or(text);
    Some(match class {
        "round-robin" | "RoundRobin" => Algorithm::RoundRobin,
        "weighted-round-robin" | "WeightedRoundRobin" => Algorithm::WeightedRoundRobin,
        "weighted-least-connections" | "WeightedRRLCAlgorithm" => Algorithm::LeastConnections,
        "least-request" => Algorithm::LeastRequest,
        "random" => Algorithm::Random,
        "hash" => Algorithm::Hash(plan_hash(element, planner)?),
        _ => {
            let message = format!("there is no algorithm `{text}`");
            let help = suggest::did_you_mean(text, WORDS.iter().copied());
            let known = format!("it is one of {}; classes of one's own are Java", WORDS.join(", "));
            planner.tell(Diagnostic::error("E0203", given.span, message).help(help.unwrap_or(known)));
            return None;
        }
    })
}

fn plan_hash(element: &Element, planner: &mut Planner<'_>) -> Option<HashBy> {
    let Some(given) = element
        .attribute("hashBy")
        .map(|attribute| attribute.value.trimmed())
    else {
        return Some(HashBy::Address);
    };
    let by = hash_by(&given);
    if by.is_none() {
        let message = format!("`{}` is nothing that tells clients apart", given.text);
        let mistake = Diagnostic::error("E0203", given.span, message);
        planner.tell(mistake.help("write `header NAME`, `cookie NAME` or `client-address`"));
    }
    by
}

fn hash_by(given: &Placed) -> Option<HashBy> {
    let mut words = given.text.split_whitespace();
    let by = match (words.next()?, words.next()) {
        ("client-address", None) => HashBy::Address,
        ("header", Some(name)) => {
            let name = http::HeaderName::try_from(name).ok()?;
            HashBy::Header(name.as_str().to_owned())
        }
        ("cookie", Some(name)) => HashBy::Cookie(name.to_owned()),
        _ => return None,
    };
    words.next().is_none().then_some(by)
}

impl LoadBalance {
    fn pick(&self, exchange: &Exchange, tried: &Tried, state: &GroupState) -> Option<usize> {
        if !self.failover && tried.contains(&true) {
            return None;
        }
        let children = &self.group.children;
        let count = children.len();
        let fits = |index: &usize| !tried[*index] && children[*index].ready(exchange).is_ok();
        let turned = |first: usize| (0..count).map(move |step| (first + step) % count);
        let busy = |index: usize| {
            let health = children[index].health(exchange);
            health.map_or(0, |health| health.in_flight() as u64)
        };
        match &self.algorithm {
            Algorithm::RoundRobin => state.in_turn(count, |first| turned(first).find(fits)),
            Algorithm::WeightedRoundRobin => self.by_weight(state, fits),
            Algorithm::LeastConnections => {
                // Compared crosswise, so that no digit is lost: load / weight.
                let least = |one: &usize, other: &usize| {
                    let (one_load, other_load) = (busy(*one) + 1, busy(*other) + 1);
                    let (one_weight, other_weight) = (self.weights[*one], self.weights[*other]);
                    (one_load * u64::from(other_weight)).cmp(&(other_load * u64::from(one_weight)))
                };
                state.in_turn(count, |first| turned(first).filter(fits).min_by(least))
            }
            Algorithm::LeastRequest => {
                let ready: Vec<usize> = (0..children.len()).filter(fits).collect();
                let one = *ready.get(fastrand::usize(..ready.len().max(1)))?;
                let other = *ready.get(fastrand::usize(..ready.len().max(1)))?;
                Some(if busy(other) < busy(one) { other } else { one })
            }
            Algorithm::Random => {
                let ready: Vec<usize> = (0..children.len()).filter(fits).collect();
                ready.get(fastrand::usize(..ready.len().max(1))).copied()
            }
            Algorithm::Hash(by) => {
                let value = by.value(exchange);
                let scored = |index: &usize| score(&value, children[*index].name());
                (0..children.len()).filter(fits).max_by_key(scored)
            }
        }
    }

    /// Each child is owed its weight a turn; the one that is owed most is next, and pays for all (smooth weighted round robin, as nginx has it).
    fn by_weight(&self, state: &GroupState, fits: impl Fn(&usize) -> bool) -> Option<usize> {
        let ready: Vec<usize> = (0..self.weights.len()).filter(fits).collect();
        let mut owed = state.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.resize(self.weights.len(), 0);
        let mut all = 0;
        for index in &ready {
            let weight = i64::from(self.weights[*index]);
            owed[*index] += weight;
            all += weight;
        }
        // The first of those that are owed the same.
        let best = ready.into_iter().rev().max_by_key(|index| owed[*index])?;
        owed[best] -= all;
        Some(best)
    }

    async fn in_session(&self, exchange: &mut Exchange, session: Session) -> Result<Answer, Fault> {
        let state = Arc::clone(self.group.state(exchange));
        let shown = session.shown(exchange).await?;
        let bound = shown
            .iter()
            .find_map(|key| state.session(key, session.lifetime))
            .filter(|child| *child < self.group.children.len());
        if let Some(child) = bound.filter(|_| !self.failover)
            && let Err(refused) = self.group.children[child].ready(exchange)
        {
            let reason = format!(
                "the child that the session belongs to is not ready: {}",
                refused.state
            );
            let fault = Fault::backend(fault::code::SESSION_NOT_READY, reason).status(503);
            return Err(fault.retry_after(refused.retry_after));
        }
        let mut first = bound;
        let pick = |exchange: &Exchange, tried: &Tried| match first.take() {
            Some(child) if self.group.children[child].ready(exchange).is_ok() => Some(child),
            _ => self.pick(exchange, tried, &state),
        };
        match self.group.send(exchange, pick).await {
            Ok((mut answer, child)) => {
                if bound.is_some_and(|bound| bound != child) {
                    // The session moves as a whole.
                    shown.iter().for_each(|key| {
                        if state.session(key, session.lifetime).is_some() {
                            state.bind(key, child, session.lifetime);
                        }
                    });
                }
                for key in session.begun(exchange, &mut answer, shown).await {
                    state.bind(&key, child, session.lifetime);
                }
                Ok(answer)
            }
            Err(fault)
                if bound.is_some() && !self.failover && fault.number().is_some_and(|code| code > 0) =>
            {
                let reason = format!("the child that the session belongs to failed: {fault}");
                Err(Fault::backend(fault::code::SESSION_FAILED, reason).handled_by(fault.handler))
            }
            Err(fault) => Err(fault),
        }
    }
}

impl HashBy {
    fn value(&self, exchange: &Exchange) -> String {
        let headers = &exchange.message.headers;
        match self {
            HashBy::Address => exchange.request.remote.ip().to_string(),
            HashBy::Header(name) => headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default(),
            HashBy::Cookie(name) => {
                let values = headers.get_all(http::header::COOKIE).into_iter();
                let texts = values.filter_map(|value| value.to_str().ok());
                let pairs = texts
                    .flat_map(|text| text.split(';'))
                    .filter_map(|pair| pair.trim().split_once('='));
                pairs
                    .filter(|(own, _)| own == name)
                    .map(|(_, value)| value.to_owned())
                    .next()
                    .unwrap_or_default()
            }
        }
    }
}

#[async_trait(?Send)]
impl Endpoint for LoadBalance {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let sent = match self.session {
            Some(session) => self.in_session(exchange, session).await,
            None => {
                let state = Arc::clone(self.group.state(exchange));
                let pick = |exchange: &Exchange, tried: &Tried| self.pick(exchange, tried, &state);
                self.group.send(exchange, pick).await.map(|(answer, _)| answer)
            }
        };
        sent.map_err(|fault| self.group.blame(fault))
    }

    fn name(&self) -> &str {
        &self.group.name
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        self.group.ready(exchange)
    }

    fn alters(&self) -> bool {
        self.group.alters()
    }

    fn chooses(&self) -> bool {
        true
    }

    fn health(&self, exchange: &Exchange) -> Option<Arc<Health>> {
        Some(Arc::clone(self.group.health(exchange)))
    }
}
