//! `<failover>`: the first child that works.

use super::group::{self, Group, Tried};
use crate::flow::group::GroupState;
use crate::flow::health::{Health, NotReady};
use crate::flow::{Answer, Endpoint, Exchange, Fault};
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub const KIND: EndpointKind = EndpointKind {
    element: "failover",
    by_attribute: false,
    summary: "Sends to the first child that is ready, and to the next one when it fails.",
    notes: r#"Every message starts at the first child that is ready (`dynamic="true"`, the default), so that traffic returns to the first as soon as its
suspension is over. With `dynamic="false"` the group stays with the child that it used last until that one is not ready. With
`selection="round-robin"` the first child is preferred and the others take turns behind it.

A child fails when it cannot be reached, does not answer in time, breaks off or speaks no HTTP; a status of 4xx or 5xx is an answer, unless
`retryOn` lists it. Each child is asked once for a message. The body is kept while it goes by (64 KiB in memory, then up to 256 MiB on disk), so
that the next child gets all of it.

Whether another child may be asked depends on how far the request came. If it certainly never reached the backend: always. If it may have: for
GET, HEAD, OPTIONS, PUT, DELETE and TRACE, and for other methods where the child's `retryConfig` enables the code or `retryOn` names it. So a
POST is never delivered twice unless the configuration says so. Repetitions are bounded: each message of a
group saves up a fifth of one, 1000 at the most, and three may always be under way.

When no child is left the fault is 303000, and nothing is sent while all are suspended: the client gets 503 with `Retry-After`."#,
    differences: r#"Synapse looks for the first ready child again after a failure, and may ask a dead one without end when its suspension is switched
off; here each child is asked once. Synapse repeats any message after any failure."#,
    attributes: &[
        Attr::optional(
            "dynamic",
            Shape::Boolean,
            "Whether the group goes back to the first child as soon as it is ready.",
        )
        .default("true"),
        Attr::optional(
            "selection",
            Shape::Choice(&["ordered", "round-robin"]),
            "How the children behind the first one are chosen (ours).",
        )
        .default("ordered"),
        group::BUILD_MESSAGE,
        group::RETRY_ON,
        group::DEADLINE,
    ],
    children: Children::of(&[group::CHILDREN]),
    build,
    examples: &[
        Example::new(
            "The second child answers in place of the first",
            r#"<endpoint name="orders"><failover><endpoint><address uri="http://backend/first"/></endpoint><endpoint><address uri="http://backend/second"/></endpoint></failover></endpoint>"#,
            "POST /\n\nseven",
            "turns\nbackend POST http://backend/first\nbackend body seven",
        )
        .backend("200"),
        Example::new(
            "Another child is asked when one says that it is overloaded; two seconds for all of them",
            r#"<endpoint><failover dynamic="false" buildMessage="true" retryOn="connect 503" deadline="2000"><endpoint><address uri="http://backend/first"/></endpoint><endpoint key="orders"/></failover></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/first",
        )
        .backend("200")
        .beside(super::key::ORDERS),
        Example::new(
            "The backups take turns",
            r#"<endpoint><failover selection="round-robin"><endpoint key="orders"/><endpoint><address uri="http://backend/b"/></endpoint><endpoint><address uri="http://backend/c"/></endpoint></failover></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/orders",
        )
        .backend("200")
        .beside(super::key::ORDERS),
    ],
};

struct Failover {
    group: Group,
    selection: Selection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selection {
    Ordered,
    Sticky,
    RoundRobin,
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let group = Group::plan(endpoint, element, &[], planner)?;
    let sticky = element
        .get("dynamic")
        .is_some_and(|dynamic| dynamic.trim().eq_ignore_ascii_case("false"));
    let rotates = element
        .get("selection")
        .is_some_and(|selection| selection.trim().eq_ignore_ascii_case("round-robin"));
    let selection = match (sticky, rotates) {
        (true, true) => {
            let span = element
                .attribute("selection")
                .map_or(element.span, |attribute| attribute.value.span);
            let mistake = Diagnostic::error(
                "E0210",
                span,
                "a group that stays with a child has no turns to take",
            );
            planner.tell(mistake.help("remove `selection`, or `dynamic=\"false\"`"));
            return None;
        }
        (true, false) => Selection::Sticky,
        (false, true) => Selection::RoundRobin,
        (false, false) => Selection::Ordered,
    };
    if group.children.is_empty() {
        planner.mistake(
            "E0208",
            element.span,
            "a `<failover>` needs children to choose from",
        );
        return None;
    }
    let group = group.watched(planner);
    Some(Arc::new(Failover { group, selection }))
}

impl Failover {
    fn pick(&self, exchange: &Exchange, tried: &Tried, state: &GroupState) -> Option<usize> {
        let children = &self.group.children;
        let fits = |index: &usize| !tried[*index] && children[*index].ready(exchange).is_ok();
        match self.selection {
            Selection::Ordered => (0..children.len()).find(fits),
            Selection::Sticky => {
                let current = state.current.load(Ordering::Relaxed);
                if current < children.len() && fits(&current) {
                    return Some(current);
                }
                let first = (0..children.len()).find(fits)?;
                state.current.store(first, Ordering::Relaxed);
                Some(first)
            }
            Selection::RoundRobin => {
                if fits(&0) {
                    return Some(0);
                }
                let backups = children.len() - 1;
                if backups == 0 {
                    return None;
                }
                let turned = |first: usize| (0..backups).map(move |step| (first + step) % backups);
                let chosen = state.in_turn(backups, |first| turned(first).find(|backup| fits(&(backup + 1))));
                chosen.map(|backup| backup + 1)
            }
        }
    }
}

#[async_trait(?Send)]
impl Endpoint for Failover {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let state = Arc::clone(self.group.state(exchange));
        let pick = |exchange: &Exchange, tried: &Tried| self.pick(exchange, tried, &state);
        let sent = self.group.send(exchange, pick).await;
        sent.map(|(answer, _)| answer)
            .map_err(|fault| self.group.blame(fault))
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
