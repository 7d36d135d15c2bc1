//! A leaf endpoint without its address: name, properties, timeout, formats, state, and what becomes of a failure.

use super::around::{self, Properties};
use super::{authentication, common, states, tls};
use crate::expression::Dynamic;
use crate::flow::delivery::{AddressingVersion, Chosen, Delivery, Format, Patience, time_left};
use crate::flow::health::{Health, Identity, NotReady, OwnBulkhead, Place, Rules};
use crate::flow::{
    Answer, Catalog, Endpoint, Exchange, Fault, Fixed, Origin, Retry, RetryRule, Runtime, SequenceId, fault,
    straight,
};
use crate::message::media_type::Charset;
use crate::plan::{Child, Element, Planner};
use crate::text::Diagnostic;
use crate::wire::Profile;
use crate::wire::url::{self, Url};
use async_trait::async_trait;
use std::num::ParseFloatError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A leaf endpoint without its address.
#[derive(Debug)]
pub struct Leaf {
    pub name: Arc<str>,
    on_error: Option<SequenceId>,
    properties: Properties,
    timeout: Option<Dynamic>,
    discard: bool,
    pub delivery: Delivery,
    retry: RetryRule,
    connect: Option<Duration>,
    identity: Identity,
    /// How its connections are made, where that is not the default.
    profile: Option<Arc<Profile>>,
    /// Looked up once: where states are kept outlives deployments.
    health: OnceLock<Arc<Health>>,
}

/// A kind of leaf: it knows where a message goes. What else an endpoint has to say is the same for all of them.
pub(super) trait LeafKind: Send + Sync {
    fn leaf(&self) -> &Leaf;

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault>;

    /// Its address, if that is the same for every message.
    fn address(&self) -> Option<&Url> {
        None
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        self.leaf().ready(exchange)
    }
}

/// What may stand inside every leaf that is sent to over HTTP.
pub const CHILDREN: &[Child] = &[
    common::TIMEOUT,
    common::ENABLE_ADDRESSING,
    common::ENABLE_SECURITY,
    common::ENABLE_RELIABLE,
    states::SUSPEND_ON_FAILURE,
    states::MARK_FOR_SUSPENSION,
    states::RETRY_CONFIG,
    states::SUSPEND_DURATION,
    states::LIMITS,
    authentication::AUTHENTICATION,
    common::TLS,
    common::PROXY,
];

#[async_trait(?Send)]
impl<K: LeafKind> Endpoint for K {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let sent = self.send(exchange).await;
        sent.map_err(|fault| self.leaf().blame(fault))
    }

    fn name(&self) -> &str {
        &self.leaf().name
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        LeafKind::ready(self, exchange)
    }

    fn alters(&self) -> bool {
        self.leaf().alters()
    }

    fn weight(&self) -> u32 {
        self.leaf().weight()
    }

    fn retry_rule(&self, _: &Exchange) -> RetryRule {
        self.leaf().retry.clone()
    }

    fn health(&self, exchange: &Exchange) -> Option<Arc<Health>> {
        Some(Arc::clone(self.leaf().health(exchange)))
    }

    fn fixed(&self, _: Option<&Catalog>, runtime: &Runtime) -> Option<Fixed> {
        self.leaf().fixed(self.address()?, runtime)
    }
}

impl Leaf {
    /// Reads `<endpoint>` and the leaf inside it.
    pub fn plan(endpoint: &Element, leaf: &Element, planner: &mut Planner<'_>) -> Option<Leaf> {
        let before = planner.mistakes.errors();
        let name = planner.endpoint_name(endpoint, &leaf.name);
        around::check(endpoint, leaf, &[], planner);
        let on_error = endpoint
            .attribute("onError")
            .and_then(|key| planner.sequence_key(&key.value.clone()));
        let properties = Properties::plan(endpoint, planner);
        let (timeout, discard) = plan_timeout(leaf, planner);
        let mut delivery = plan_delivery(leaf, planner);
        delivery.credentials = authentication::plan(leaf, &name, planner);
        let profile = tls::plan(leaf, planner);
        let rules = states::plan_rules(leaf, planner);
        states::hint_at_default(leaf, &rules, planner);
        let retry = states::plan_retry(leaf, planner);
        let (bulkhead, connect) = states::plan_limits(leaf, planner);
        let identity = Identity {
            name: Arc::clone(&name),
            kind: planner.endpoint_kind(&leaf.name),
            definition: endpoint.fingerprint(),
            rules,
            bulkhead,
            address: Arc::from(""),
            per_authority: false,
        };
        let sound = planner.mistakes.errors() == before;
        sound.then_some(Leaf {
            name,
            on_error,
            properties,
            timeout,
            discard,
            delivery,
            retry,
            connect,
            identity,
            profile,
            health: OnceLock::new(),
        })
    }

    /// A leaf that has nothing but a host: suspended for so long after any failure.
    pub fn of_member(
        endpoint: &Element,
        member: &Element,
        pause: Duration,
        planner: &mut Planner<'_>,
    ) -> Leaf {
        let name = planner.endpoint_name(member, "member");
        let rules = Rules {
            initial: Some(pause),
            ..Rules::default()
        };
        let identity = Identity {
            name: Arc::clone(&name),
            kind: "member",
            definition: endpoint.fingerprint(),
            rules,
            bulkhead: OwnBulkhead::default(),
            address: Arc::from(""),
            per_authority: false,
        };
        Leaf {
            name,
            on_error: None,
            properties: Properties::default(),
            timeout: None,
            discard: false,
            // The message's `To` says the whole path.
            delivery: Delivery {
                bare: true,
                ..Delivery::default()
            },
            retry: RetryRule::Any,
            connect: None,
            identity,
            profile: None,
            health: OnceLock::new(),
        }
    }

    /// Where it goes, for those who look after it. With `per_authority` the host follows from the message: the state is kept for each that it turns out
    /// to send to, and the gateway's allow list decides which these may be.
    pub fn at(mut self, address: &str, per_authority: bool, planner: &mut Planner<'_>) -> Leaf {
        self.identity.address = Arc::from(address);
        self.identity.per_authority = per_authority;
        if per_authority && matches!(self.delivery.chosen, Chosen::ByAuthor) {
            self.delivery.chosen = Chosen::ByMessage(None);
        }
        planner.watched.push(self.identity.clone());
        self
    }

    pub fn health(&self, exchange: &Exchange) -> &Arc<Health> {
        self.health_in(&exchange.worker.runtime)
    }

    fn health_in(&self, runtime: &Runtime) -> &Arc<Health> {
        self.health.get_or_init(|| runtime.health.attach(&self.identity))
    }

    /// How messages are sent to that address, if none has a say in it.
    fn fixed(&self, address: &Url, runtime: &Runtime) -> Option<Fixed> {
        let response = match &self.timeout {
            None => None,
            Some(Dynamic::Literal(text)) => millis(text).ok()?,
            Some(Dynamic::Expression(_)) => return None,
        };
        let fixed = self.properties.is_empty()
            && self.profile.is_none()
            && !self.identity.per_authority
            && self.delivery.is_plain();
        fixed.then(|| Fixed {
            url: address.clone(),
            suffixed: !self.delivery.bare,
            health: Arc::clone(self.health_in(runtime)),
            response,
        })
    }

    pub fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        self.health(exchange).ready()
    }

    /// Sets the endpoint's properties. Before the address is computed: it may be made of them.
    pub async fn prepare(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        if self.properties.is_empty() {
            return Ok(());
        }
        // Boxed, as most have none, and room for it would be made and moved for every message.
        Box::pin(self.properties.set(exchange)).await
    }

    /// The property `loadbalance.weight`; 1 where it is absent or makes no sense.
    pub fn weight(&self) -> u32 {
        let weight = self.properties.constant("loadbalance.weight");
        weight
            .and_then(|weight| weight.trim().parse().ok())
            .filter(|weight| *weight > 0)
            .unwrap_or(1)
    }

    /// Does sending change more of the message than its body?
    pub fn alters(&self) -> bool {
        self.properties.change_headers() || self.delivery.addressing.is_some()
    }

    /// Sends the message to an address over HTTP.
    pub async fn send(&self, exchange: &mut Exchange, url: Url) -> Result<Answer, Fault> {
        self.send_as(exchange, url, &self.delivery).await
    }

    /// The same for a leaf that finds out how to send when it knows where to.
    pub async fn send_as(
        &self,
        exchange: &mut Exchange,
        url: Url,
        delivery: &Delivery,
    ) -> Result<Answer, Fault> {
        let url = self.by_profile(url);
        let patience = self.patience(exchange).await?;
        let origin = Arc::clone(&url.origin);
        self.guarded(exchange, Some(&origin), async |exchange, place| {
            straight::deliver(exchange, url, delivery, patience, place).await
        })
        .await
    }

    /// The address as this endpoint calls it: by its own TLS and proxy.
    pub fn by_profile(&self, url: Url) -> Url {
        match &self.profile {
            Some(profile) => url.with_profile(profile),
            None => url,
        }
    }

    pub async fn patience(&self, exchange: &mut Exchange) -> Result<Patience, Fault> {
        Ok(Patience {
            response: match &self.timeout {
                None => None,
                Some(timeout) => Box::pin(self.response_timeout(timeout, exchange)).await?,
            },
            discard: self.discard,
            connect: self.connect,
        })
    }

    /// Sends in whatever way, if the endpoint is ready and has room, and lets its state know what came of it. `at` is whom it goes to, where the
    /// state is kept for each. The place is to be kept until the answer is whole.
    pub async fn guarded(
        &self,
        exchange: &mut Exchange,
        at: Option<&url::Origin>,
        send: impl AsyncFnOnce(&mut Exchange, Place) -> Result<Answer, Fault>,
    ) -> Result<Answer, Fault> {
        // Nobody is asked any more, so nobody fails.
        let left = time_left(exchange)?;
        let own = self.health(exchange);
        // It may be switched off for all addresses.
        own.ready().map_err(|refused| self.not_ready(&refused))?;
        let health = match at {
            Some(at) => own.of(at),
            None => Arc::clone(own),
        };
        let patience = self.connect.unwrap_or(exchange.worker.runtime.timeouts.connect);
        let patience = left.map_or(patience, |left| patience.min(left));
        let entered = health.enter(patience).await;
        let (pass, place) = entered.map_err(|refused| self.not_ready(&refused))?;
        let sent = send(exchange, place).await;
        match &sent {
            // Nothing has come of it yet; whoever sends it tells. A function is waited for even then.
            Ok(_) if exchange.is_one_way() && self.identity.kind != "lambda" => drop(pass),
            Ok(_) => pass.succeeded(),
            // Neither a client that breaks off nor a mistake of the configuration's author is the backend's doing.
            Err(fault) if fault.origin == Origin::Backend => {
                let code = fault.number().unwrap_or(fault::code::SENDER_IO_SENDING);
                pass.failed(code, fault.detail.as_deref().unwrap_or(&fault.reason));
            }
            Err(_) => drop(pass),
        }
        sent
    }

    /// 303001. The words are Synapse's; the spaces too.
    fn not_ready(&self, refused: &NotReady) -> Fault {
        let mut kind = self.identity.kind.to_owned();
        if kind == "http" {
            kind = "HTTP".to_owned();
        } else if let Some(first) = kind.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let reason = if refused.full {
            format!(
                "{kind} endpoint : [ Name : {} ] has as many requests on their way and waiting as it may",
                self.name
            )
        } else {
            format!(
                "Currently , {kind} endpoint : [ Name : {} ] [ State : {} ]",
                self.name, refused.state
            )
        };
        Fault::new(fault::code::NOT_READY, Origin::Gateway, reason)
            .retry(Retry::Safe)
            .retry_after(refused.retry_after)
    }

    /// Has the author said in so many words that this failure concerns the endpoint's state?
    pub fn names(&self, fault: &Fault) -> bool {
        let rules = &self.identity.rules;
        let mut named = rules.suspend_codes.iter().chain(&rules.timeout_codes);
        named.any(|code| fault.number() == Some(*code))
    }

    /// A failure of this endpoint goes to its own `onError` sequence first.
    pub fn blame(&self, mut fault: Fault) -> Fault {
        if fault.handler.is_none() {
            fault.handler = self.on_error;
        }
        fault
    }

    async fn response_timeout(
        &self,
        timeout: &Dynamic,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>, Fault> {
        let text = exchange.dynamic(timeout).await?;
        match millis(&text) {
            Ok(millis) => Ok(millis),
            Err(_) => {
                let endpoint = &*self.name;
                tracing::warn!(
                    endpoint,
                    value = &*text,
                    "The timeout is not a number of milliseconds; the default one holds."
                );
                Ok(None)
            }
        }
    }
}

/// Zero and less is how Synapse spells "none of its own".
fn millis(text: &str) -> Result<Option<Duration>, ParseFloatError> {
    let millis: f64 = text.trim().parse()?;
    Ok((millis >= 1.0).then(|| Duration::from_millis(millis as u64)))
}

// Planning

fn plan_timeout(leaf: &Element, planner: &mut Planner<'_>) -> (Option<Dynamic>, bool) {
    let Some(timeout) = leaf.child("timeout") else {
        return (None, false);
    };
    let duration = timeout.child("duration").and_then(|element| {
        let text = element.trimmed_text()?;
        let duration = planner.dynamic(&text, element)?;
        match &duration {
            Dynamic::Literal(number) if number.trim().parse::<i64>().is_err() => {
                let mistake = Diagnostic::error(
                    "E0203",
                    text.span,
                    format!("`{number}` is not a number of milliseconds"),
                );
                planner.tell(mistake.help("write `30000` for thirty seconds, or an expression in braces"));
                None
            }
            _ => Some(duration),
        }
    });
    let action = timeout.child("responseAction").and_then(Element::trimmed_text);
    let discard = action.is_some_and(|action| match action.text.to_ascii_lowercase().as_str() {
        "discard" => true,
        "fault" => false,
        _ => {
            let mistake = Diagnostic::error(
                "E0203",
                action.span,
                format!("`{}` is no response action", action.text),
            );
            planner.tell(mistake.help("it is `fault` or `discard`"));
            false
        }
    });
    (duration, discard)
}

fn plan_delivery(leaf: &Element, planner: &mut Planner<'_>) -> Delivery {
    let format = planner.text(leaf, "format").and_then(|format| {
        Some(match format.trim().to_ascii_lowercase().as_str() {
            "soap11" => Format::Soap11,
            "soap12" => Format::Soap12,
            "pox" => Format::Pox,
            "get" => Format::Get,
            "rest" => Format::Rest,
            _ => return None,
        })
    });
    let charset = planner.text(leaf, "encoding").and_then(|name| {
        let charset = Charset::named(&name);
        if charset.is_none() {
            let span = leaf
                .attribute("encoding")
                .map_or(leaf.span, |attribute| attribute.value.span);
            let mistake = Diagnostic::error(
                "E0203",
                span,
                format!("the character set `{name}` is not known here"),
            );
            planner.tell(mistake.help("UTF-8, UTF-16, ISO-8859-1 and US-ASCII are"));
        }
        charset
    });
    let addressing = leaf.child("enableAddressing").map(|element| {
        match element
            .get("version")
            .map(|version| version.trim().eq_ignore_ascii_case("submission"))
        {
            Some(true) => AddressingVersion::Submission,
            _ => AddressingVersion::Final,
        }
    });
    Delivery {
        format,
        charset,
        addressing,
        ..Delivery::default()
    }
}
