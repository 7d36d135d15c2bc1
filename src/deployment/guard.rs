//! Who has to present a token: what an API's `<handlers>` and the settings say of it.

use super::api::Api;
use crate::flow::token::{Demand, Headers};
use crate::plan::kind::{Attr, Child, Children};
use crate::plan::{Element, Planner, Shape};
use crate::text::{Diagnostic, suggest};
use http::HeaderName;
use std::collections::BTreeMap;

/// What API Manager puts around an API.
pub const HANDLERS: Child = Child::optional(
    "handlers",
    &[],
    Children::of(&[Child::optional(
        "handler",
        &[Attr::required("class", Shape::Text, "the handler's Java class")],
        Children::of(&[Child::optional(
            "property",
            &[
                Attr::required("name", Shape::Text, "the property's name"),
                Attr::optional("value", Shape::Text, "its value"),
            ],
            Children::ANY,
            "a property of the handler",
        )
        .many()]),
        "of API Manager's handlers, `APIAuthenticationHandler` demands a token and `CORSRequestHandler` lets pages of other origins call; other classes are told of",
    )
    .many()]),
    "API Manager's handlers around every request",
)
.many();

/// An API that wants to know its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub demand: Demand,
    pub headers: Headers,
}

/// What the settings say of who has to present a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// Somebody's tokens are taken.
    pub taken: bool,
    /// Every API and proxy, and `main`, demands a token.
    pub required: bool,
    /// But for these.
    pub exempt: Vec<String>,
    /// By API, then by resource (`GET /orders/{id}`, `/orders/{id}`, or `*`): scopes of which the token needs one.
    pub scopes: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl Guard {
    pub const ANY: Guard = Guard {
        demand: Demand::ANY,
        headers: Headers {
            access_token: None,
            api_key: None,
            keep: None,
        },
    };
}

pub(super) const PREFIX: &str = "org.wso2.carbon.apimgt.gateway.handlers.";

/// Handlers that change nothing for the client.
const WITHOUT_EFFECT: &[&str] = &[
    "common.APIMgtLatencyStatsHandler",
    "analytics.APIMgtGoogleAnalyticsTrackingHandler",
    "analytics.APIMgtUsageHandler",
    "common.APIStatusHandler",
    // Read by `cors`.
    "security.CORSRequestHandler",
    "logging.APILogHandler",
];

/// Handlers whose work is not done here, and what is missed.
const NOT_YET: &[(&str, &str)] = &[
    ("throttling.ThrottleHandler", "requests are not throttled"),
    (
        "ext.APIManagerExtensionHandler",
        "the sequences `WSO2AM--Ext--In` and the like are not run; call them from the API's own sequences",
    ),
    ("common.SynapsePropertiesHandler", "its properties are not set"),
];

/// Reads `<handlers>`. Every class is either known or refused: one that is left out in silence may have been the one that guards.
pub fn of_handlers(api: &Element, planner: &mut Planner<'_>) -> Option<Guard> {
    let mut guard = None;
    let handlers: Vec<&Element> = api
        .all("handlers")
        .flat_map(|handlers| handlers.all("handler"))
        .collect();
    for handler in handlers {
        let Some(class) = handler.attribute("class").map(|class| class.value.trimmed()) else {
            continue;
        };
        let name = class.text.strip_prefix(PREFIX).unwrap_or("");
        if name == "security.APIAuthenticationHandler" {
            guard = guard.or(authentication(handler, planner));
        } else if let Some((_, missed)) = NOT_YET.iter().find(|(known, _)| *known == name) {
            let warning = Diagnostic::warning("W0504", class.span, format!("`{name}` is not in effect yet"));
            planner.tell(warning.help(*missed));
        } else if !WITHOUT_EFFECT.contains(&name) {
            let known = NOT_YET.iter().map(|(known, _)| *known);
            let known = known.chain(WITHOUT_EFFECT.iter().copied());
            let refused = Diagnostic::error(
                "E0505",
                class.span,
                format!("there is no handler `{}`", class.text),
            );
            planner.tell(refused.help(suggest::did_you_mean(name, known).unwrap_or_else(|| {
                "handlers are Java classes, and there is no JVM here; see what this one did before you remove it".to_owned()
            })));
        }
    }
    guard
}

fn authentication(handler: &Element, planner: &mut Planner<'_>) -> Option<Guard> {
    let mut guard = Guard::ANY;
    let properties: Vec<&Element> = handler.all("property").collect();
    for property in properties {
        let (Some(name), Some(value)) = (property.get("name"), property.attribute("value")) else {
            continue;
        };
        let value = value.value.trimmed();
        match name {
            "AuthorizationHeader" => guard.headers.access_token = header(&value, planner),
            "ApiKeyHeader" => guard.headers.api_key = header(&value, planner),
            "RemoveOAuthHeadersFromOutMessage" => {
                guard.headers.keep = value.text.parse::<bool>().ok().map(|removed| !removed);
            }
            "APISecurity" if !value.text.is_empty() => {
                let has = |scheme: &str| value.text.split(',').any(|one| one.trim() == scheme);
                guard.demand = Demand {
                    access_token: has("oauth2"),
                    api_key: has("api_key"),
                };
                if !guard.demand.access_token && !guard.demand.api_key {
                    let mistake = Diagnostic::error(
                        "E0505",
                        value.span,
                        "there is no way here to guard an API like this",
                    );
                    planner
                        .tell(mistake.help("tokens are what is checked here: `oauth2`, `api_key`, or both"));
                } else if has("mutualssl_mandatory") {
                    let warning =
                        Diagnostic::warning("W0504", value.span, "client certificates are not demanded yet");
                    planner.tell(warning.help("let whatever ends TLS in front of Myelin demand them"));
                }
            }
            _ => {}
        }
    }
    Some(guard)
}

fn header(value: &crate::text::Placed, planner: &mut Planner<'_>) -> Option<HeaderName> {
    if value.text.is_empty() {
        return None;
    }
    let name = HeaderName::from_bytes(value.text.as_bytes());
    if name.is_err() {
        planner.mistake(
            "E0203",
            value.span,
            format!("`{}` is not the name of a header", value.text),
        );
    }
    name.ok()
}

impl TokenRules {
    /// Whether what has this name demands a token by the settings alone.
    pub fn demand(&self, names: &[&str]) -> bool {
        let exempt = |name: &&str| self.exempt.iter().any(|exempt| exempt == *name);
        self.required && !names.iter().any(exempt)
    }

    /// Puts the rules on the APIs they are about.
    pub fn apply(&self, apis: &mut [Api], proxies: &[&str], planner: &mut Planner<'_>) {
        for api in apis.iter_mut() {
            let full_name = api.full_name();
            // One that is only tried out asks nobody.
            if api.guard.is_none() && !api.is_prototyped() && self.demand(&[&*api.name, full_name.as_str()]) {
                api.guard = Some(Guard::ANY);
            }
            if api.guard.is_some() && !self.taken {
                let warning = Diagnostic::warning(
                    "W0405",
                    api.span,
                    format!(
                        "the API {} demands tokens, and nobody's are taken: every request gets 401",
                        api.name
                    ),
                );
                planner.tell(warning.help(
                    "name an issuer in myelin.toml: `[[token]]` with `issuer`, `jwks` and `algorithms`",
                ));
            }
        }
        for name in &self.exempt {
            let of_api = apis
                .iter()
                .any(|api| *api.name == **name || api.full_name() == *name);
            if !of_api && !proxies.contains(&name.as_str()) && name != "main" {
                unknown(
                    format!("`token-exempt`: there is no API or proxy `{name}`"),
                    planner,
                );
            }
        }
        for (name, resources) in &self.scopes {
            let api = apis
                .iter_mut()
                .find(|api| *api.name == **name || api.full_name() == *name);
            let Some(api) = api else {
                unknown(format!("`scopes`: there is no API `{name}`"), planner);
                continue;
            };
            // A scope is nothing without a token that has it.
            api.guard = api.guard.take().or(Some(Guard::ANY));
            for (place, scopes) in resources {
                let mut found = false;
                for resource in &mut api.resources {
                    let path = resource.mapping.to_string();
                    let whole = *resource.name == **place || path == *place;
                    if whole || place == "*" && !resources_name(resources, resource) {
                        resource.scopes.clone_from(scopes);
                    }
                    found |= whole || place == "*";
                }
                if !found && api.broken.is_none() {
                    unknown(
                        format!("`scopes.{name}`: there is no resource `{place}`"),
                        planner,
                    );
                }
            }
        }
    }
}

/// Whether the rules name the resource itself, so that `*` is not about it.
fn resources_name(rules: &BTreeMap<String, Vec<String>>, resource: &super::api::Resource) -> bool {
    rules.contains_key(&*resource.name) || rules.contains_key(&resource.mapping.to_string())
}

/// A name in the settings that nothing has. A slip here would leave a door open.
fn unknown(message: String, planner: &mut Planner<'_>) {
    let mistake = Diagnostic::new(crate::text::Severity::Error, "E0411", message);
    planner.tell(mistake.in_file("myelin.toml"));
}

/// `<handlers>` has been checked against its table together with the API; nothing else stands inside.
#[cfg(test)]
mod tests {
    use super::super::{api, tests::plan};
    use super::*;

    fn check(handlers: &str, expected: Option<Guard>, told: &str) {
        let xml = format!(
            r#"<api name="A" context="/a"><resource><inSequence/></resource><handlers>{handlers}</handlers></api>"#
        );
        let (apis, mistakes) = plan(&xml, "api", api::build);
        assert_eq!(mistakes, told);
        assert_eq!(apis[0].guard, expected);
    }

    #[test]
    fn the_products_authentication_handler_demands_a_token() {
        let class =
            r#"<handler class="org.wso2.carbon.apimgt.gateway.handlers.security.APIAuthenticationHandler""#;
        check(&format!("{class}/>"), Some(Guard::ANY), "");
        let expected = Guard {
            demand: Demand {
                access_token: true,
                api_key: false,
            },
            headers: Headers {
                access_token: Some(HeaderName::from_static("x-auth")),
                api_key: None,
                keep: Some(true),
            },
        };
        check(
            &format!(
                r#"{class}><property name="AuthorizationHeader" value="X-Auth"/><property name="APISecurity" value="oauth2,oauth_basic_auth_api_key_mandatory"/>
                   <property name="RemoveOAuthHeadersFromOutMessage" value="false"/></handler>"#
            ),
            Some(expected),
            "",
        );
        check(
            r#"<handler class="org.wso2.carbon.apimgt.gateway.handlers.common.APIMgtLatencyStatsHandler"/>"#,
            None,
            "",
        );
    }

    #[test]
    fn a_handler_that_nobody_knows_is_refused() {
        check(
            r#"<handler class="com.example.Guard"/>"#,
            None,
            "E0505 a.xml:1:128 there is no handler `com.example.Guard`",
        );
    }

    #[test]
    fn rules_of_the_settings_close_every_api_but_those_they_name() {
        let rules = TokenRules {
            taken: true,
            required: true,
            exempt: vec!["Open".to_owned(), "Nobody".to_owned()],
            scopes: [(
                "Orders".to_owned(),
                [
                    ("*".to_owned(), vec!["orders".to_owned()]),
                    ("GET /x".to_owned(), vec!["read".to_owned()]),
                    ("/y".to_owned(), vec![]),
                ]
                .into(),
            )]
            .into(),
        };
        let xml = r#"<definitions><api name="Open" context="/o"><resource><inSequence/></resource></api>
            <api name="Orders" context="/a"><resource methods="GET" url-mapping="/x"><inSequence/></resource><resource><inSequence/></resource></api></definitions>"#;
        let told = std::cell::RefCell::new(Vec::new());
        let (_, mistakes) = super::super::tests::plan_and_check(xml, "api", api::build, |_, planner| {
            let mut apis: Vec<Api> = Vec::new();
            std::mem::swap(
                &mut apis,
                &mut super::super::tests::plan(xml, "api", api::build).0,
            );
            rules.apply(&mut apis, &[], planner);
            for api in &apis {
                let scopes: Vec<String> = api
                    .resources
                    .iter()
                    .map(|resource| resource.scopes.join(","))
                    .collect();
                told.borrow_mut()
                    .push((api.name.to_string(), api.guard.is_some(), scopes));
            }
        });
        assert_eq!(
            told.into_inner(),
            [
                ("Open".to_owned(), false, vec![String::new()]),
                (
                    "Orders".to_owned(),
                    true,
                    vec!["read".to_owned(), "orders".to_owned()]
                ),
            ]
        );
        assert_eq!(
            mistakes,
            "E0411  `token-exempt`: there is no API or proxy `Nobody`\nE0411  `scopes.Orders`: there is no resource `/y`"
        );
    }
}
