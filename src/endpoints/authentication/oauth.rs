//! `<oauth>`: a token for the backend, from its token endpoint (RFC 6749).

use super::token::{Bearer, Grant, Request, Times};
use super::{PASSWORD, Secret, USERNAME, secret, secret_in};
use crate::endpoints::{common, tls};
use crate::flow::credentials::{Credentials, Signer};
use crate::flow::{Exchange, Fault};
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support};
use crate::text::Diagnostic;
use crate::wire::url::Url;
use crate::wire::{Profile, Proxy, Route};
use async_trait::async_trait;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const CLIENT_ID: Child = Child::required("clientId", &[], Children::TEXT, "Who asks.");
const CLIENT_SECRET: Child = Child::required("clientSecret", &[], Children::TEXT, "The secret of who asks.");
const MAYBE_CLIENT_ID: Child = Child::optional("clientId", &[], Children::TEXT, "Who asks.");
const MAYBE_CLIENT_SECRET: Child =
    Child::optional("clientSecret", &[], Children::TEXT, "The secret of who asks.");
const REFRESH_TOKEN: Child = Child::required(
    "refreshToken",
    &[],
    Children::TEXT,
    "The refresh token that the authorization brought. A newer one that the token endpoint gives takes its place.",
);
const TOKEN_URL: Child = Child::required("tokenUrl", &[], Children::TEXT, "The token endpoint.");
const AUTH_MODE: Child = Child::optional(
    "authMode",
    &[],
    Children::TEXT,
    "Where `clientId` and `clientSecret` are put: `header` (basic authentication) or `payload`. `header` without it.",
);
const PARAMETERS: Child = Child::optional(
    "requestParameters",
    &[],
    Children::of(&[Child::optional(
        "parameter",
        &[Attr::required("name", Shape::Text, "Its name.")],
        Children::TEXT,
        "One more parameter of the token request, such as `scope`.",
    )
    .many()]),
    "More parameters of the token request.",
);
const HEADERS: Child = Child::optional(
    "customHeaders",
    &[],
    Children::of(&[Child::optional(
        "header",
        &[Attr::required("name", Shape::Text, "Its name.")],
        Children::TEXT,
        "One more header of the token request.",
    )
    .many()]),
    "More headers of the token request.",
);
const CONNECTION_TIMEOUT: Child = Child::optional(
    "connectionTimeout",
    &[],
    Children::TEXT,
    "How long the connection to the token endpoint may take, in milliseconds.",
);
const CONNECTION_REQUEST_TIMEOUT: Child = Child::optional(
    "connectionRequestTimeout",
    &[],
    Children::TEXT,
    "How long to wait for a connection of a pool.",
)
.support(Support::Ignored("nothing waits for a connection here"));
const SOCKET_TIMEOUT: Child = Child::optional(
    "socketTimeout",
    &[],
    Children::TEXT,
    "How long the token endpoint may take to answer, in milliseconds.",
);
const PROXY_CONFIGS: Child = Child::optional(
    "proxyConfigs",
    &[],
    Children::of(&[
        Child::optional(
            "proxyEnabled",
            &[],
            Children::TEXT,
            "`true`, or none of it holds.",
        ),
        Child::optional("proxyHost", &[], Children::TEXT, "The proxy's host."),
        Child::optional("proxyPort", &[], Children::TEXT, "Its port."),
        Child::optional("proxyUsername", &[], Children::TEXT, "A name for the proxy."),
        Child::optional("proxyPassword", &[], Children::TEXT, "A password for the proxy."),
        Child::optional(
            "proxyProtocol",
            &[],
            Children::TEXT,
            "`http`; no other is spoken.",
        ),
    ]),
    "The proxy on the way to the token endpoint.",
);

pub const OAUTH: Child = Child::optional(
    "oauth",
    &[],
    Children::of(&[
        Child::optional(
            "clientCredentials",
            &[],
            Children::of(&[
                CLIENT_ID,
                CLIENT_SECRET,
                TOKEN_URL,
                AUTH_MODE,
                PARAMETERS,
                HEADERS,
                CONNECTION_TIMEOUT,
                CONNECTION_REQUEST_TIMEOUT,
                SOCKET_TIMEOUT,
                PROXY_CONFIGS,
                common::TLS,
            ]),
            "The grant `client_credentials`.",
        ),
        Child::optional(
            "passwordCredentials",
            &[],
            Children::of(&[
                USERNAME,
                PASSWORD,
                MAYBE_CLIENT_ID,
                MAYBE_CLIENT_SECRET,
                TOKEN_URL,
                AUTH_MODE,
                PARAMETERS,
                HEADERS,
                CONNECTION_TIMEOUT,
                CONNECTION_REQUEST_TIMEOUT,
                SOCKET_TIMEOUT,
                PROXY_CONFIGS,
                common::TLS,
            ]),
            "The grant `password`.",
        ),
        Child::optional(
            "authorizationCode",
            &[],
            Children::of(&[
                CLIENT_ID,
                CLIENT_SECRET,
                REFRESH_TOKEN,
                TOKEN_URL,
                AUTH_MODE,
                PARAMETERS,
                HEADERS,
                CONNECTION_TIMEOUT,
                CONNECTION_REQUEST_TIMEOUT,
                SOCKET_TIMEOUT,
                PROXY_CONFIGS,
                common::TLS,
            ]),
            "The grant `refresh_token`, after somebody has authorized it.",
        ),
    ]),
    "A token from a token endpoint, kept until shortly before it expires (50 minutes where nothing is said). All who wait for one wait for the same request. A \
     401 has it renewed, and the request sent again, once.",
);

pub fn plan(element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Credentials>> {
    let mut grants = element
        .elements()
        .filter(|grant| grant.is_synapse() && grant.name != "description");
    let (Some(grant), None) = (grants.next(), grants.next()) else {
        let message = "`<oauth>` takes exactly one grant";
        let help = "`<clientCredentials>`, `<passwordCredentials>` or `<authorizationCode>`";
        planner.tell(Diagnostic::error("E0208", element.span, message).help(help));
        return None;
    };
    let before = planner.mistakes.errors();
    let [
        client_id,
        client_secret,
        username,
        password,
        refresh_token,
        token_url,
    ] = [
        "clientId",
        "clientSecret",
        "username",
        "password",
        "refreshToken",
        "tokenUrl",
    ]
    .map(|child| secret_in(grant, child, planner));
    if let Some(Secret(crate::expression::Dynamic::Literal(url))) = &token_url
        && let Err(invalid) = Url::parse(url)
    {
        let span = grant.child("tokenUrl").map_or(grant.span, |child| child.span);
        planner.mistake("E0305", span, invalid.to_string());
    }
    let grant_kind = match grant.name.as_str() {
        "clientCredentials" => Grant::ClientCredentials,
        "passwordCredentials" => Grant::Password,
        _ => Grant::Refresh,
    };
    let in_payload = match grant.child("authMode").and_then(Element::trimmed_text) {
        None => false,
        Some(mode) => match mode.text.to_ascii_lowercase().as_str() {
            "header" => false,
            "payload" => true,
            other => {
                let mistake = Diagnostic::error("E0203", mode.span, format!("`{other}` is no `authMode`"));
                planner.tell(mistake.help("it is `header` or `payload`"));
                return None;
            }
        },
    };
    let times = Times {
        connect: millis(grant, "connectionTimeout", planner),
        response: millis(grant, "socketTimeout", planner),
    };
    let oauth = OAuth {
        grant: grant_kind,
        client_id,
        client_secret,
        username,
        password,
        refresh_token,
        token_url: token_url?,
        in_payload,
        parameters: named(grant, "requestParameters", "parameter", planner),
        headers: named(grant, "customHeaders", "header", planner),
        times,
        profile: plan_profile(grant, planner),
    };
    (planner.mistakes.errors() == before).then(|| Arc::new(oauth) as _)
}

#[derive(Debug)]
struct OAuth {
    grant: Grant,
    client_id: Option<Secret>,
    client_secret: Option<Secret>,
    username: Option<Secret>,
    password: Option<Secret>,
    refresh_token: Option<Secret>,
    token_url: Secret,
    in_payload: bool,
    parameters: Vec<(String, Secret)>,
    headers: Vec<(String, Secret)>,
    times: Times,
    profile: Option<Arc<Profile>>,
}

#[async_trait(?Send)]
impl Credentials for OAuth {
    async fn of(&self, exchange: &mut Exchange) -> Result<Box<dyn Signer>, Fault> {
        let mut request = Request {
            grant: self.grant,
            url: self.token_url.of(exchange).await?.into_owned(),
            client_id: text(&self.client_id, exchange).await?,
            client_secret: text(&self.client_secret, exchange).await?,
            username: text(&self.username, exchange).await?,
            password: text(&self.password, exchange).await?,
            refresh_token: text(&self.refresh_token, exchange).await?,
            in_payload: self.in_payload,
            parameters: Vec::new(),
            headers: Vec::new(),
            times: self.times,
            profile: self.profile.clone(),
        };
        for (name, value) in &self.parameters {
            let value = value.of(exchange).await?.into_owned();
            request.parameters.push((name.clone(), value));
        }
        for (name, value) in &self.headers {
            let value = value.of(exchange).await?.into_owned();
            request.headers.push((name.clone(), value));
        }
        let largest = exchange.catalog.limits.body;
        Ok(Box::new(Bearer::new(Rc::new(request), largest)))
    }
}

async fn text(secret: &Option<Secret>, exchange: &mut Exchange) -> Result<String, Fault> {
    match secret {
        Some(secret) => Ok(secret.of(exchange).await?.into_owned()),
        None => Ok(String::new()),
    }
}

fn named(grant: &Element, list: &str, each: &str, planner: &mut Planner<'_>) -> Vec<(String, Secret)> {
    let Some(list) = grant.child(list) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for element in list.all(each) {
        let name = planner.text(element, "name");
        let text = element.text().trimmed();
        if let (Some(name), Some(value)) = (name, secret(&text, element, planner)) {
            all.push((name.trim().to_owned(), value));
        }
    }
    all
}

fn millis(grant: &Element, child: &str, planner: &mut Planner<'_>) -> Option<Duration> {
    let text = grant.child(child)?.trimmed_text()?;
    let resolved = planner.resolved(&text)?;
    match resolved.trim().parse::<i64>() {
        // As in Apache's client: nothing of its own.
        Ok(millis) if millis <= 0 => None,
        Ok(millis) => Some(Duration::from_millis(millis.unsigned_abs())),
        Err(_) => {
            let message = format!("`{resolved}` is not a number of milliseconds");
            planner.mistake("E0203", text.span, message);
            None
        }
    }
}

fn plan_profile(grant: &Element, planner: &mut Planner<'_>) -> Option<Arc<Profile>> {
    let tls = tls::plan_tls(grant, planner);
    let route = plan_proxy(grant, planner);
    (tls.is_some() || route.is_some()).then(|| Arc::new(Profile { tls, route }))
}

fn plan_proxy(grant: &Element, planner: &mut Planner<'_>) -> Option<Route> {
    let configs = grant.child("proxyConfigs")?;
    let mut value = |child: &str| {
        let text = configs.child(child)?.trimmed_text()?;
        planner.resolved(&text)
    };
    let enabled = value("proxyEnabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("true"));
    if !enabled {
        return None;
    }
    let (host, port, user) = (value("proxyHost"), value("proxyPort"), value("proxyUsername"));
    let protocol = value("proxyProtocol").unwrap_or_else(|| "http".to_owned());
    let address = format!(
        "{protocol}://{}:{}",
        host.unwrap_or_default(),
        port.unwrap_or_else(|| "80".to_owned())
    );
    let proxy = match Proxy::parse(&address) {
        Ok(proxy) => proxy,
        Err(reason) => {
            let message = format!("`{address}` is no proxy: {reason}");
            planner.mistake("E0305", configs.span, message);
            return None;
        }
    };
    let Some(user) = user else {
        return Some(Route::Proxy(Arc::new(proxy)));
    };
    let password = match secret_in_place(configs, planner) {
        Ok(password) => password,
        Err(span) => {
            let message = "the password of a proxy is text: connections outlive messages";
            planner.mistake("E0203", span, message);
            return None;
        }
    };
    Some(Route::Proxy(Arc::new(proxy.with_credentials(&user, &password))))
}

fn secret_in_place(configs: &Element, planner: &mut Planner<'_>) -> Result<Arc<str>, crate::text::Span> {
    if configs.child("proxyPassword").is_none() {
        return Ok(Arc::from(""));
    }
    match secret_in(configs, "proxyPassword", planner) {
        Some(Secret(crate::expression::Dynamic::Literal(text))) => Ok(text),
        Some(_) => Err(configs.span),
        // It was told.
        None => Ok(Arc::from("")),
    }
}
