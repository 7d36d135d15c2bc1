//! `<member>` of a group: no address of its own, but a host and ports that take the place of those in the message's `To`.

use super::leaf::{Leaf, LeafKind};
use crate::flow::group::with_host;
use crate::flow::{Answer, Endpoint, Exchange, Fault};
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, table};
use crate::text::Diagnostic;
use crate::wire::server::Scheme;
use crate::wire::url::{Origin, Url};
use http::uri::PathAndQuery;
use std::sync::Arc;
use std::time::Duration;

pub const MEMBER: Child = Child::optional(
    "member",
    &[
        Attr::required("hostName", Shape::Text, "The member's host."),
        Attr::optional(
            "httpPort",
            Shape::Integer,
            "Its port for addresses that begin with http://.",
        ),
        Attr::optional(
            "httpsPort",
            Shape::Integer,
            "Its port for addresses that begin with https://.",
        ),
    ],
    Children::NONE,
    "A host in place of the one in the message's `To`.",
)
.many();

/// Synapse probes dead members this often.
const PAUSE: Duration = Duration::from_millis(500);

struct Member {
    leaf: Leaf,
    http: Option<Origin>,
    https: Option<Origin>,
}

pub fn build(endpoint: &Element, member: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    if !table::check(member, MEMBER.attributes, &MEMBER.children, planner) {
        return None;
    }
    let host = planner.text(member, "hostName")?;
    let host = host.trim();
    let mut origin = |attribute: &str, scheme: Scheme| {
        let port = member.attribute(attribute)?.value.trimmed();
        let number = planner
            .resolved(&port)?
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0);
        let plain = Origin::new(scheme, "host")?;
        let origin = number.and_then(|port| with_host(&plain, host, port));
        if origin.is_none() {
            let message = format!("`{host}:{}` is no host and port", port.text);
            planner.tell(Diagnostic::error("E0305", port.span, message));
        }
        origin
    };
    let (http, https) = (
        origin("httpPort", Scheme::Http),
        origin("httpsPort", Scheme::Https),
    );
    if !member.has("httpPort") && !member.has("httpsPort") {
        planner.mistake(
            "E0202",
            member.span,
            "a `<member>` needs `httpPort`, `httpsPort` or both",
        );
        return None;
    }
    let address = http.as_ref().or(https.as_ref())?.to_string();
    let leaf = Leaf::of_member(endpoint, member, PAUSE, planner).at(&address, false, planner);
    Some(Arc::new(Member { leaf, http, https }))
}

impl LeafKind for Member {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let to = exchange.message.addressing.to.as_deref().unwrap_or("/");
        let (scheme, path) = match Url::parse(to) {
            Ok(url) => (url.origin.scheme, url.path_and_query),
            // A request whose `To` nobody set names its path alone.
            Err(invalid) => match PathAndQuery::try_from(to) {
                Ok(path) if to.starts_with('/') && exchange.request.scheme == "https" => {
                    (Scheme::Https, path)
                }
                Ok(path) if to.starts_with('/') => (Scheme::Http, path),
                _ => return Err(Fault::mediation(invalid.to_string())),
            },
        };
        let origin = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
            Scheme::Ws | Scheme::Wss => &None,
        };
        let Some(origin) = origin else {
            let reason = format!(
                "the member `{}` has no port for {}",
                self.leaf.name,
                scheme.as_str()
            );
            return Err(Fault::mediation(reason));
        };
        let url = Url {
            origin: Arc::new(origin.clone()),
            path_and_query: path,
        };
        self.leaf.send(exchange, url).await
    }
}
