//! What groups share: their children, what is put back before another child is asked, and when none is asked any more.

use super::around::Properties;
use crate::flow::group::{GroupState, Underway};
use crate::flow::health::{Health, Identity, NotReady, OwnBulkhead, Rules, State};
use crate::flow::{Answer, Deadline, Endpoint, Exchange, Fault, Origin, Retry, SequenceId, fault};
use crate::message::payload::Payload;
use crate::message::replay::ReplayLimits;
use crate::plan::{Attr, Child, Element, Planner, Shape};
use crate::text::{Diagnostic, Placed};
use http::{HeaderMap, StatusCode};
use smallvec::{SmallVec, smallvec};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

// The tables

pub const BUILD_MESSAGE: Attr = Attr::optional(
    "buildMessage",
    Shape::Boolean,
    "Whether the body is read whole before it is sent to anybody. Without it the body is kept while it goes by, so that another child gets all of it.",
)
.default("false");

pub const RETRY_ON: Attr = Attr::optional(
    "retryOn",
    Shape::Text,
    "What else makes another child be asked (ours): `connect`, `timeout`, `reset`, statuses such as `503`, `502-504` or `5xx`, with spaces or commas \
     between. `timeout` and `reset` are then repeated for any method, also where the backend may have acted on the message.",
);

pub const DEADLINE: Attr = Attr::optional(
    "deadline",
    Shape::Integer,
    "How long all attempts together may take until the head of an answer is there, in milliseconds (ours). A child that has less than half of it left is not \
     to blame when it runs out.",
);

pub const CHILDREN: Child =
    Child::endpoint("A child: a `key`, or an endpoint of any kind. The order is that of the file.").many();

// The types

/// A group without its way of choosing.
pub struct Group {
    pub name: Arc<str>,
    kind: &'static str,
    pub children: Vec<Arc<dyn Endpoint>>,
    on_error: Option<SequenceId>,
    properties: Properties,
    retry_on: RetryOn,
    build_message: bool,
    deadline: Option<Duration>,
    identity: Identity,
    /// Some child changes more of the message than its body.
    alters: bool,
    /// Looked up once: what is remembered outlives deployments.
    state: OnceLock<Arc<GroupState>>,
    health: OnceLock<Arc<Health>>,
}

/// `retryOn`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetryOn {
    pub connect: bool,
    pub timeout: bool,
    pub reset: bool,
    /// From, to.
    pub statuses: Vec<(u16, u16)>,
}

/// Which children have been asked for this message.
pub type Tried = SmallVec<[bool; 16]>;

impl Group {
    /// Reads `<endpoint>` and the group inside it. `beside` are the elements that may stand beside the group.
    pub fn plan(
        endpoint: &Element,
        group: &Element,
        beside: &[&str],
        planner: &mut Planner<'_>,
    ) -> Option<Group> {
        let before = planner.mistakes.errors();
        super::around::check(endpoint, group, beside, planner);
        let name = planner.endpoint_name(endpoint, &group.name);
        let kind = planner.endpoint_kind(&group.name);
        let on_error = endpoint
            .attribute("onError")
            .and_then(|key| planner.sequence_key(&key.value.clone()));
        let properties = Properties::plan(endpoint, planner);
        let mut keys = HashSet::new();
        for child in group.all("endpoint") {
            if let Some(key) = child.attribute("key")
                && !keys.insert(key.value.text.trim().to_owned())
            {
                let message = format!("the group has `{}` already", key.value.text.trim());
                planner
                    .tell(Diagnostic::error("E0403", key.value.span, message).help("remove one of the two"));
            }
        }
        let children: Vec<_> = group
            .all("endpoint")
            .map(|child| planner.endpoint(child))
            .collect();
        let retry_on = match group
            .attribute("retryOn")
            .map(|attribute| attribute.value.clone())
        {
            Some(text) => plan_retry_on(&text, planner),
            None => RetryOn::default(),
        };
        let deadline = match group
            .attribute("deadline")
            .map(|attribute| attribute.value.clone())
        {
            Some(text) => plan_deadline(&text, planner),
            None => None,
        };
        let identity = Identity {
            name: Arc::clone(&name),
            kind,
            definition: endpoint.fingerprint(),
            // Its children have states; a group is switched off by operators alone.
            rules: Rules {
                suspend_codes: vec![-1],
                timeout_codes: vec![-1],
                ..Rules::default()
            },
            bulkhead: OwnBulkhead::default(),
            address: Arc::from(""),
            per_authority: false,
        };
        if planner.mistakes.errors() != before {
            return None;
        }
        let children: Vec<_> = children.into_iter().collect::<Option<_>>()?;
        Some(Group {
            alters: children.iter().any(|child| child.alters()),
            name,
            kind,
            children,
            on_error,
            properties,
            retry_on,
            build_message: group.is_true("buildMessage"),
            deadline,
            identity,
            state: OnceLock::new(),
            health: OnceLock::new(),
        })
    }

    /// Whoever looks after endpoints sees the group from now on.
    pub fn watched(mut self, planner: &mut Planner<'_>) -> Group {
        let children: Vec<&str> = self.children.iter().map(|child| child.name()).collect();
        self.identity.address = Arc::from(children.join(", "));
        planner.watched.push(self.identity.clone());
        self
    }

    /// Children that are no elements.
    pub fn add(&mut self, child: Arc<dyn Endpoint>) {
        self.alters |= child.alters();
        self.children.push(child);
    }

    pub fn state(&self, exchange: &Exchange) -> &Arc<GroupState> {
        self.state.get_or_init(|| {
            let groups = &exchange.worker.runtime.groups;
            groups.attach(&self.name, self.identity.definition)
        })
    }

    pub fn health(&self, exchange: &Exchange) -> &Arc<Health> {
        self.health
            .get_or_init(|| exchange.worker.runtime.health.attach(&self.identity))
    }

    /// Ready as long as one child is.
    pub fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        self.health(exchange).ready()?;
        let mut soonest = NotReady {
            state: State::Suspended,
            retry_after: None,
            full: false,
        };
        for child in &self.children {
            match child.ready(exchange) {
                Ok(()) => return Ok(()),
                Err(refused) => soonest.retry_after = sooner(soonest.retry_after, refused.retry_after),
            }
        }
        Err(soonest)
    }

    pub fn alters(&self) -> bool {
        self.alters || self.properties.change_headers()
    }

    pub fn blame(&self, mut fault: Fault) -> Fault {
        if fault.handler.is_none() {
            fault.handler = self.on_error;
        }
        fault
    }

    /// Asks one child after the other, as `pick` chooses, until one answers. Gives the answer and who gave it.
    pub async fn send(
        &self,
        exchange: &mut Exchange,
        mut pick: impl FnMut(&Exchange, &Tried) -> Option<usize>,
    ) -> Result<(Answer, usize), Fault> {
        if let Err(refused) = self.health(exchange).ready() {
            return Err(self.none_ready(Some(&refused), None));
        }
        self.properties.set(exchange).await?;
        let outer = exchange.deadline;
        if let Some(within) = self.deadline {
            exchange.deadline = Some(Deadline::within(within).or_sooner(outer));
        }
        let sent = self.attempts(exchange, &mut pick).await;
        exchange.deadline = outer;
        sent
    }

    async fn attempts(
        &self,
        exchange: &mut Exchange,
        pick: &mut impl FnMut(&Exchange, &Tried) -> Option<usize>,
    ) -> Result<(Answer, usize), Fault> {
        let state = Arc::clone(self.state(exchange));
        let mut under_way = state.enter();
        if self.build_message {
            exchange.load().await?;
        } else if self.children.len() > 1 {
            exchange.message.payload.make_replayable(ReplayLimits::default());
        }
        let mut tried: Tried = smallvec![false; self.children.len()];
        let mut last: Option<Failed> = None;
        let mut refused: Option<NotReady> = None;
        while let Some(index) = pick(exchange, &tried) {
            let child = &self.children[index];
            tried[index] = true;
            let more = tried.iter().any(|tried| !tried);
            let kept = more.then(|| Kept::of(exchange, self.alters)).flatten();
            for name in ["ERROR_CODE", "ERROR_MESSAGE", "ERROR_DETAIL", "ERROR_EXCEPTION"] {
                exchange.properties.remove(name);
            }
            let failed = match child.deliver(exchange).await {
                Ok(answer) if more && kept.is_some() && self.retry_on.status(answer.status) => {
                    Failed::Status(answer, index)
                }
                Ok(answer) => return Ok((answer, index)),
                Err(fault) => Failed::Fault(fault),
            };
            if let Failed::Fault(fault) = &failed
                && fault.number() == Some(fault::code::NOT_READY)
            {
                // It was ready a moment ago, or its readiness could not be told. Nothing was sent.
                let soonest = sooner(
                    refused.as_ref().and_then(|refused| refused.retry_after),
                    fault.retry_after,
                );
                refused = Some(NotReady {
                    state: State::Suspended,
                    retry_after: soonest,
                    full: false,
                });
            } else if let Then::Nobody(why) =
                self.goes_on(&failed, child.as_ref(), exchange, &mut under_way)?
            {
                return failed.because(why.filter(|_| more)).end();
            }
            if let Failed::Fault(fault) = &failed {
                let reason = &fault.reason;
                tracing::debug!(group = &*self.name, child = child.name(), error_code = %fault.code, reason, "Another child is asked.");
            }
            last = Some(failed);
            match kept {
                Some(kept) => kept.put_back(exchange),
                None => break,
            }
        }
        match last {
            Some(answered @ Failed::Status(..)) => answered.end(),
            Some(Failed::Fault(fault)) => Err(self.none_ready(refused.as_ref(), Some(fault))),
            None => {
                let soonest = refused.or_else(|| self.ready(exchange).err());
                Err(self.none_ready(soonest.as_ref(), None))
            }
        }
    }

    /// Whether another child may be asked after this failure. A fault that is the last word ends it here.
    fn goes_on(
        &self,
        failed: &Failed,
        child: &dyn Endpoint,
        exchange: &Exchange,
        under_way: &mut Underway<'_>,
    ) -> Result<Then, Fault> {
        let fault = match failed {
            Failed::Status(..) if under_way.may_retry() => return Ok(Then::Another),
            Failed::Status(..) => return Ok(Then::Nobody(None)),
            Failed::Fault(fault) => fault,
        };
        if fault.origin == Origin::Client || fault.unhandled && fault.retry == Retry::No {
            return Ok(Then::Nobody(None));
        }
        let code = fault.number().unwrap_or(0);
        let rule = child.retry_rule(exchange);
        if !rule.allows(code) {
            let why = format!(
                "`{}` failed in a way after which no other child is to be asked",
                child.name()
            );
            return Err(self.none_ready(None, Some(fault.clone())).detail(why));
        }
        match fault.retry {
            Retry::No => return Ok(Then::Nobody(None)),
            // A child that was not even reached costs nothing to replace.
            Retry::Safe => return Ok(Then::Another),
            Retry::Idempotent => {}
            Retry::Unsafe if rule.insists(code) || self.retry_on.insists(code) => {}
            Retry::Unsafe => return Ok(Then::Nobody(Some(MAY_HAVE_ACTED))),
        }
        Ok(match under_way.may_retry() {
            true => Then::Another,
            false => Then::Nobody(Some(TOO_MANY)),
        })
    }

    /// 303000
    fn none_ready(&self, refused: Option<&NotReady>, last: Option<Fault>) -> Fault {
        let mut kind = self.kind.to_owned();
        if let Some(first) = kind.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let reason = format!("{kind} endpoint : {} - no ready child endpoints", self.name);
        let retry_after = refused.and_then(|refused| refused.retry_after);
        let none = Fault::new(fault::code::NONE_READY, Origin::Gateway, reason).retry_after(retry_after);
        match last {
            None => none.retry(Retry::Safe),
            Some(last) => {
                let detail = last.detail.as_ref().unwrap_or(&last.reason);
                none.detail(format!("the last child failed: {} {detail}", last.code))
                    .retry(last.retry)
                    .handled_by(last.handler)
            }
        }
    }
}

/// Who is asked after a failure.
enum Then {
    Another,
    /// Nobody, and for those who look after it: why.
    Nobody(Option<&'static str>),
}

const MAY_HAVE_ACTED: &str =
    "no other child was asked, because this one may have acted on the message already";
const TOO_MANY: &str =
    "no other child was asked, because more than a fifth of the group's messages are sent again already";

/// How an attempt failed.
enum Failed {
    Fault(Fault),
    /// An answer with a status that the group wants to hear from another child.
    Status(Answer, usize),
}

impl Failed {
    fn because(self, why: Option<&str>) -> Failed {
        match (self, why) {
            (Failed::Fault(fault), Some(why)) => {
                let what = fault.detail.as_deref().unwrap_or(&fault.reason);
                let detail = format!("{what}; {why}");
                Failed::Fault(fault.detail(detail))
            }
            (failed, _) => failed,
        }
    }

    fn end(self) -> Result<(Answer, usize), Fault> {
        match self {
            Failed::Fault(fault) => Err(fault),
            Failed::Status(answer, index) => Ok((answer, index)),
        }
    }
}

/// What the next child is to get.
struct Kept {
    payload: Payload,
    headers: Option<HeaderMap>,
}

impl Kept {
    fn of(exchange: &Exchange, headers: bool) -> Option<Kept> {
        Some(Kept {
            payload: exchange.message.payload.try_clone()?,
            headers: headers.then(|| exchange.message.headers.clone()),
        })
    }

    fn put_back(self, exchange: &mut Exchange) {
        exchange.message.payload = self.payload;
        if let Some(headers) = self.headers {
            exchange.message.headers = headers;
        }
    }
}

pub fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl RetryOn {
    pub fn status(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.statuses
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Did the author say that a message is sent again after this failure, whatever it does?
    fn insists(&self, code: i32) -> bool {
        match code {
            fault::code::CONNECTION_FAILED | fault::code::CONNECT_TIMED_OUT => self.connect,
            fault::code::TIMED_OUT => self.timeout,
            fault::code::CONNECTION_CLOSED
            | fault::code::SENDER_IO_SENDING
            | fault::code::SENDER_IO_RECEIVING => self.reset,
            _ => false,
        }
    }
}

// Planning

fn plan_retry_on(text: &Placed, planner: &mut Planner<'_>) -> RetryOn {
    let mut retry_on = RetryOn::default();
    for word in text
        .text
        .split([',', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
    {
        match word.to_ascii_lowercase().as_str() {
            "connect" => retry_on.connect = true,
            "timeout" => retry_on.timeout = true,
            "reset" => retry_on.reset = true,
            word => {
                match statuses(word) {
                    Some(range) => retry_on.statuses.push(range),
                    None => {
                        let message = format!("`{word}` is nothing that another child could be asked on");
                        let mistake = Diagnostic::error("E0203", text.span, message);
                        planner.tell(mistake.help("write `connect`, `timeout`, `reset`, or statuses such as `503`, `502-504`, `5xx`"));
                    }
                }
            }
        }
    }
    retry_on
}

fn statuses(word: &str) -> Option<(u16, u16)> {
    let status = |word: &str| word.parse().ok().filter(|status| (100..=599).contains(status));
    if let Some((from, to)) = word.split_once('-') {
        let (from, to) = (status(from)?, status(to)?);
        return (from <= to).then_some((from, to));
    }
    match word.strip_suffix("xx") {
        Some(hundreds) => {
            let hundreds: u16 = hundreds
                .parse()
                .ok()
                .filter(|hundreds| (1..=5).contains(hundreds))?;
            Some((hundreds * 100, hundreds * 100 + 99))
        }
        None => status(word).map(|status| (status, status)),
    }
}

fn plan_deadline(text: &Placed, planner: &mut Planner<'_>) -> Option<Duration> {
    let resolved = planner.resolved(text)?;
    match resolved.trim().parse::<u64>() {
        Ok(millis) if millis > 0 => Some(Duration::from_millis(millis)),
        _ => {
            let message = format!("`{resolved}` is not a number of milliseconds");
            planner.mistake("E0203", text.span, message);
            None
        }
    }
}
