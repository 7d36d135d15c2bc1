//! Which resource, proxy or other place a request goes to: an index over contexts and names, and the dispatch as a pure function.

use super::api::{Api, Mapping, Methods, Resource, Version};
use super::proxy::Proxy;
use super::uri_template::Variables;
use foldhash::fast::RandomState;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, Method};
use memchr::memchr;
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::Arc;

/// Finds the API by its context in time that does not depend on how many there are.
#[derive(Debug, Default)]
pub struct Routes {
    /// APIs of one context, versioned ones first.
    contexts: HashMap<Arc<str>, SmallVec<[u32; 2]>, RandomState>,
    /// No longer context needs to be looked up.
    longest_context: usize,
    proxies: HashMap<Arc<str>, u32, RandomState>,
    longest_proxy: usize,
}

/// What of a request decides where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    pub https: bool,
    /// They are looked at where a context or a resource asks for something of them.
    pub headers: &'a HeaderMap,
    pub has_body: bool,
}

impl Asked<'_> {
    fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Where a request goes. Numbers are places in the deployment's lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Resource(Matched),
    /// OPTIONS that no resource declared: answered here, with these methods.
    Options {
        api: usize,
        resource: usize,
        allow: String,
    },
    /// No resource of the API has this path: 404, or `_resource_mismatch_handler_`.
    NoResource {
        api: usize,
        below: usize,
    },
    /// A resource has the path and not the method: 405, or `_method_not_allowed_handler_`.
    NotAllowed {
        api: usize,
        below: usize,
        allow: String,
    },
    /// A resource has the path and the method, and refuses something else: 400.
    Refused {
        api: usize,
    },
    /// Its state says so: 503.
    Blocked {
        api: usize,
    },
    /// Served by `--lenient`, and not whole: 503.
    Broken {
        reason: Arc<str>,
    },
    Proxy {
        proxy: usize,
        below: usize,
    },
    /// No API and no proxy: `main`, or 404.
    Elsewhere,
}

impl Route {
    /// The API whose path it is.
    pub fn api(&self) -> Option<usize> {
        match self {
            Route::Resource(matched) => Some(matched.api),
            Route::Options { api, .. }
            | Route::NoResource { api, .. }
            | Route::NotAllowed { api, .. }
            | Route::Refused { api }
            | Route::Blocked { api } => Some(*api),
            Route::Broken { .. } | Route::Proxy { .. } | Route::Elsewhere => None,
        }
    }
}

/// A resource, and what its template found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    pub api: usize,
    pub resource: usize,
    /// Where in the target the sub-path begins: behind the context and the version.
    pub below: usize,
    /// Places count from the beginning of the sub-path.
    pub variables: Variables,
}

/// Room for `.NAMEHttpsSoap12Endpoint` behind a name.
const ENDPOINT_SUFFIX: usize = 64;

/// The paths of proxies begin so.
pub const SERVICES: &str = "/services/";

impl Routes {
    pub fn new(apis: &[Api], proxies: &[Proxy]) -> Routes {
        let mut routes = Routes::default();
        for (index, api) in apis.iter().enumerate().filter(|(_, api)| !api.is_retired()) {
            routes.longest_context = routes.longest_context.max(api.context.len());
            routes
                .contexts
                .entry(Arc::clone(&api.context))
                .or_default()
                .push(index as u32);
        }
        for list in routes.contexts.values_mut() {
            list.sort_by_key(|index| apis[*index as usize].version.is_none());
        }
        for (index, proxy) in proxies.iter().enumerate().filter(|(_, proxy)| proxy.started) {
            routes.longest_proxy = routes.longest_proxy.max(proxy.name.len());
            routes
                .proxies
                .entry(Arc::clone(&proxy.name))
                .or_insert(index as u32);
        }
        routes
    }

    pub fn find<A: Borrow<Api>>(&self, apis: &[A], proxies: &[Proxy], asked: &Asked<'_>) -> Route {
        if let Some((index, below)) = self.api(apis, asked) {
            let api = apis[index].borrow();
            if api.is_blocked() {
                return Route::Blocked { api: index };
            }
            return match &api.broken {
                Some(reason) => Route::Broken {
                    reason: Arc::clone(reason),
                },
                None => resource(index, api, below, asked),
            };
        }
        match self.proxy(proxies, asked) {
            Some((index, below)) => match &proxies[index].broken {
                Some(reason) => Route::Broken {
                    reason: Arc::clone(reason),
                },
                None => Route::Proxy { proxy: index, below },
            },
            None => Route::Elsewhere,
        }
    }

    /// The API with the longest context that accepts the request, and where its sub-path begins.
    fn api<A: Borrow<Api>>(&self, apis: &[A], asked: &Asked<'_>) -> Option<(usize, usize)> {
        let path = path_of(asked.target);
        boundaries(path, self.longest_context).find_map(|end| {
            let list = self.contexts.get(&path[..end])?;
            list.iter().find_map(|index| {
                let index = *index as usize;
                accepts(apis[index].borrow(), asked).map(|below| (index, below))
            })
        })
    }

    fn proxy(&self, proxies: &[Proxy], asked: &Asked<'_>) -> Option<(usize, usize)> {
        let path = path_of(asked.target);
        let names = path.strip_prefix(SERVICES)?;
        let (name, index) = boundaries(names, 2 * self.longest_proxy + ENDPOINT_SUFFIX).find_map(|end| {
            let name = &names[..end];
            // `NAME.NAMEHttpSoap11Endpoint`, as generated WSDLs write it.
            let short = || {
                name.split_once('.')
                    .filter(|(_, port)| !port.contains('/'))
                    .map(|(short, _)| short)
            };
            let index = self.proxies.get(name).or_else(|| self.proxies.get(short()?))?;
            Some((name, *index as usize))
        })?;
        proxies[index]
            .transports
            .accept(asked.https)
            .then_some((index, SERVICES.len() + name.len()))
    }
}

fn path_of(target: &str) -> &str {
    memchr(b'?', target.as_bytes()).map_or(target, |mark| &target[..mark])
}

/// The places at which a context may end, the longest first: the end, and before each slash.
fn boundaries(path: &str, longest: usize) -> impl Iterator<Item = usize> {
    let mut end = path.len();
    if end > longest {
        // The last slash that a context could end before.
        end = path.as_bytes()[..=longest]
            .iter()
            .rposition(|byte| *byte == b'/')
            .unwrap_or(usize::MAX);
    }
    let first = (end != usize::MAX).then_some(end);
    std::iter::successors(first, |end| path[..*end].rfind('/'))
}

/// Where the sub-path begins, if version, host, port and transport are those of the API.
fn accepts(api: &Api, asked: &Asked<'_>) -> Option<usize> {
    let mut below = api.context.len();
    if let Some(Version::Url(version)) = &api.version {
        let rest = asked.target[below..].strip_prefix('/')?;
        let segment = rest.split(['/', '?']).next()?;
        if segment != &**version {
            return None;
        }
        below += 1 + version.len();
    }
    let at_home = (api.host.is_none() && api.port.is_none()) || is_at_home(api, asked);
    (at_home && api.transports.accept(asked.https)).then_some(below)
}

fn is_at_home(api: &Api, asked: &Asked<'_>) -> bool {
    let (host, port) = host_and_port(asked.header(HOST).unwrap_or(""));
    let host_fits = api
        .host
        .as_deref()
        .is_none_or(|wanted| wanted.eq_ignore_ascii_case(host));
    let port_fits = api
        .port
        .is_none_or(|wanted| port.unwrap_or(if asked.https { 443 } else { 80 }) == wanted);
    host_fits && port_fits
}

fn host_and_port(host: &str) -> (&str, Option<u16>) {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], host[colon + 1..].parse().ok()),
        _ => (host, None),
    }
}

/// The sub-path with its query; "/" when there is none.
pub fn sub_path(target: &str, below: usize) -> &str {
    match &target[below..] {
        "" => "/",
        path => path,
    }
}

fn resource(index: usize, api: &Api, below: usize, asked: &Asked<'_>) -> Route {
    let path = sub_path(asked.target, below);
    // Resources for OPTIONS alone come first.
    let mut accepting: SmallVec<[usize; 16]> = SmallVec::new();
    for only_options in [true, false] {
        let fit = |(_, resource): &(usize, &Resource)| {
            resource.methods.only_options() == only_options
                && resource.methods.accept(asked.method)
                && filters(resource, asked)
        };
        accepting.extend(api.resources.iter().enumerate().filter(fit).map(|(at, _)| at));
    }
    let found = dispatch(&api.resources, accepting.iter().copied(), path);
    if let Some((at, variables)) = found {
        let methods = api.resources[at].methods;
        if *asked.method == Method::OPTIONS && !methods.declare(&Method::OPTIONS) {
            return Route::Options {
                api: index,
                resource: at,
                allow: methods.allow(),
            };
        }
        return Route::Resource(Matched {
            api: index,
            resource: at,
            below,
            variables,
        });
    }
    // Synapse answers 404 when some other resource has the method; a client is helped more by hearing that the path exists.
    match dispatch(&api.resources, 0..api.resources.len(), path) {
        None => Route::NoResource { api: index, below },
        Some((at, _)) if api.resources[at].methods.accept(asked.method) => Route::Refused { api: index },
        Some(_) => Route::NotAllowed {
            api: index,
            below,
            allow: allowed(&api.resources, path),
        },
    }
}

/// Everything but method and path.
fn filters(resource: &Resource, asked: &Asked<'_>) -> bool {
    // OPTIONS is always welcome.
    if !resource.transports.accept(asked.https) {
        return false;
    }
    if *asked.method == Method::OPTIONS {
        return true;
    }
    let type_fits = match &resource.content_type {
        Some(wanted) if asked.has_body => asked.header(CONTENT_TYPE) == Some(&**wanted),
        _ => true,
    };
    let agent_fits = match &resource.user_agent {
        Some(wanted) => asked
            .header(USER_AGENT)
            .is_some_and(|agent| wanted.is_match(agent).unwrap_or(false)),
        None => true,
    };
    type_fits && agent_fits
}

/// All URL mappings, then all templates, then the default resource.
fn dispatch(
    resources: &[Resource],
    candidates: impl Iterator<Item = usize> + Clone,
    path: &str,
) -> Option<(usize, Variables)> {
    let without_query = path_of(path);
    let mut best: Option<(usize, usize)> = None;
    for at in candidates.clone() {
        if let Mapping::Url(mapping) = &resources[at].mapping
            && let Some(rank) = mapping.rank(without_query)
            // Of equals the first counts.
            && best.is_none_or(|(_, known)| rank > known)
        {
            best = Some((at, rank));
        }
    }
    if let Some((at, _)) = best {
        return Some((at, Variables::new()));
    }
    let by_template = candidates.clone().find_map(|at| match &resources[at].mapping {
        Mapping::Template(template) => template.matches(path).map(|variables| (at, variables)),
        _ => None,
    });
    by_template.or_else(|| {
        let mut candidates = candidates;
        candidates
            .find(|at| resources[*at].mapping == Mapping::Default)
            .map(|at| (at, Variables::new()))
    })
}

/// `Allow`: the methods of all resources that have this path.
fn allowed(resources: &[Resource], path: &str) -> String {
    let fits = |resource: &&Resource| match &resource.mapping {
        Mapping::Url(mapping) => mapping.rank(path_of(path)).is_some(),
        Mapping::Template(template) => template.matches(path).is_some(),
        Mapping::Default => true,
    };
    let methods = resources
        .iter()
        .filter(fits)
        .fold(Methods::default(), |all, resource| all.union(resource.methods));
    methods.names().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::{api, proxy, tests::plan};
    use http::HeaderValue;

    struct Given {
        apis: Vec<Api>,
        proxies: Vec<Proxy>,
    }

    fn given(xml: &str) -> Given {
        let (apis, mistakes) = plan(xml, "api", api::build);
        assert_eq!(mistakes, "", "{xml}");
        let (proxies, mistakes) = plan(xml, "proxy", proxy::build);
        assert_eq!(mistakes, "", "{xml}");
        Given { apis, proxies }
    }

    impl Given {
        /// `GET /path`, then headers as `name: value`, and `https` or `body`.
        fn route(&self, request: &str) -> Route {
            let mut lines = request.split(", ");
            let (method, target) = lines
                .next()
                .and_then(|line| line.split_once(' '))
                .expect("METHOD /path");
            let method: Method = method.parse().expect("a method");
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("gateway:8290"));
            let mut https = false;
            for line in lines {
                match line.split_once(": ") {
                    Some((name, value)) => {
                        let name: HeaderName = name.parse().expect("a name");
                        headers.insert(name, value.parse().expect("a value"));
                    }
                    None => https = line == "https",
                }
            }
            let asked = Asked {
                method: &method,
                target,
                https,
                headers: &headers,
                has_body: headers.contains_key(CONTENT_TYPE),
            };
            Routes::new(&self.apis, &self.proxies).find(&self.apis, &self.proxies, &asked)
        }

        fn check(&self, request: &str, expected: &str) {
            let target = request
                .split(", ")
                .next()
                .and_then(|line| line.split_once(' '))
                .expect("METHOD /path")
                .1;
            let found = match self.route(request) {
                Route::Resource(matched) => {
                    let api = &self.apis[matched.api];
                    let path = sub_path(target, matched.below);
                    let variables = matched
                        .variables
                        .iter()
                        .map(|(name, range)| format!(" {name}={}", &path[range.clone()]));
                    format!(
                        "{} {}{}",
                        api.full_name(),
                        api.resources[matched.resource].name,
                        variables.collect::<String>()
                    )
                }
                Route::Options { allow, .. } => format!("options {allow}"),
                Route::NoResource { .. } => "404".to_owned(),
                Route::NotAllowed { allow, .. } => format!("405 {allow}"),
                Route::Refused { .. } => "400".to_owned(),
                Route::Broken { .. } => "503".to_owned(),
                Route::Blocked { .. } => "503 blocked".to_owned(),
                Route::Proxy { proxy, below } => {
                    format!("proxy {} {}", self.proxies[proxy].name, &target[below..])
                }
                Route::Elsewhere => "main".to_owned(),
            };
            assert_eq!(found, expected, "{request}");
        }
    }

    fn api_with(resources: &str) -> Given {
        given(&format!(r#"<api name="A" context="/a">{resources}</api>"#))
    }

    const IN: &str = "<inSequence/>";

    #[test]
    fn a_context_ends_at_a_slash_a_query_or_the_end() {
        let given = api_with(&format!("<resource>{IN}</resource>"));
        given.check("GET /a", "A (default)");
        given.check("GET /a/", "A (default)");
        given.check("GET /a?x=1", "A (default)");
        given.check("GET /a/b/c", "A (default)");
        given.check("GET /ab", "main");
        given.check("GET /", "main");
        given.check("OPTIONS *", "main");
    }

    #[test]
    fn the_longest_context_wins_whatever_its_version() {
        let given = given(&format!(
            r#"<x>
            <api name="Root" context="/"><resource>{IN}</resource></api>
            <api name="Short" context="/a" version="1" version-type="url"><resource>{IN}</resource></api>
            <api name="Long" context="/a/1/b"><resource>{IN}</resource></api>
            <api name="Plain" context="/a"><resource>{IN}</resource></api>
            <api name="In" context="/v/{{version}}/c" version="2.0" version-type="context"><resource>{IN}</resource></api>
            </x>"#
        ));
        given.check("GET /a/1", "Short:v1 (default)");
        given.check("GET /a/1?x", "Short:v1 (default)");
        given.check("GET /a/1/b/c", "Long (default)");
        given.check("GET /a/1/bc", "Short:v1 (default)");
        given.check("GET /a/2", "Plain (default)");
        given.check("GET /a/10", "Plain (default)");
        given.check("GET /v/2.0/c/d", "In:v2.0 (default)");
        given.check("GET /v/3.0/c/d", "Root (default)");
        given.check("GET /", "Root (default)");
    }

    #[test]
    fn host_port_and_transport_must_fit() {
        let given = given(&format!(
            r#"<x>
            <api name="Here" context="/a" hostname="api.example" port="8443"><resource>{IN}</resource></api>
            <api name="Safe" context="/s" transports="https"><resource protocol="https">{IN}</resource></api>
            <api name="Port" context="/p" port="80"><resource protocol="http">{IN}</resource></api>
            </x>"#
        ));
        given.check("GET /a, host: API.example:8443", "Here (default)");
        given.check("GET /a, host: api.example:8444", "main");
        given.check("GET /a, host: other:8443", "main");
        given.check("GET /s", "main");
        given.check("GET /s, https", "Safe (default)");
        given.check("GET /p, host: [::1]", "Port (default)");
        given.check("GET /p, host: [::1]:81", "main");
    }

    #[test]
    fn mappings_before_templates_before_the_default() {
        let given = api_with(&format!(
            r#"<resource methods="POST">{IN}</resource>
            <resource methods="GET POST" uri-template="/x/{{id}}">{IN}</resource>
            <resource methods="GET" url-mapping="*.json">{IN}</resource>
            <resource methods="GET" url-mapping="/y/*">{IN}</resource>
            <resource methods="GET" url-mapping="/y/z/*">{IN}</resource>
            <resource methods="GET" url-mapping="/y/exact">{IN}</resource>"#
        ));
        given.check("GET /a/x/1.json", "A GET *.json");
        given.check("POST /a/x/1.json", "A GET,POST /x/{id} id=1.json");
        given.check("GET /a/x/1?q=2", "A GET,POST /x/{id} id=1");
        given.check("GET /a/y/exact/?q", "A GET /y/exact");
        given.check("GET /a/y/exact/1", "A GET /y/*");
        given.check("GET /a/y/z/1.json", "A GET /y/z/*");
        given.check("GET /a/y", "A GET /y/*");
        given.check("POST /a/other", "A POST (default)");
    }

    #[test]
    fn the_first_template_that_fits_is_taken() {
        let given = api_with(&format!(
            r#"<resource methods="GET" uri-template="/x/special?a={{a}}">{IN}</resource>
            <resource methods="GET" uri-template="/x/{{id}}">{IN}</resource>
            <resource methods="GET" uri-template="/{{+all}}">{IN}</resource>"#
        ));
        given.check("GET /a/x/special?a=1", "A GET /x/special?a={a} a=1");
        given.check("GET /a/x/special", "A GET /x/{id} id=special");
        given.check("GET /a/x/10:30", "A GET /{+all} all=x/10:30");
    }

    #[test]
    fn no_path_is_404_no_method_405_and_another_filter_400() {
        let given = api_with(&format!(
            r#"<resource methods="GET PUT" uri-template="/one">{IN}</resource>
            <resource methods="DELETE" uri-template="/one">{IN}</resource>
            <resource methods="POST" uri-template="/two" content-type="text/xml" user-agent="curl.*">{IN}</resource>"#
        ));
        given.check("GET /a/none", "404");
        given.check("GET /a", "404");
        given.check("HEAD /a/one", "405 GET, PUT, DELETE");
        given.check("POST /a/one", "405 GET, PUT, DELETE");
        given.check("GET /a/two", "405 POST");
        given.check(
            "POST /a/two, content-type: text/xml, user-agent: curl/8",
            "A POST /two",
        );
        given.check("POST /a/two, user-agent: curl/8", "A POST /two");
        given.check(
            "POST /a/two, content-type: text/xml; charset=utf-8, user-agent: curl/8",
            "400",
        );
        given.check("POST /a/two, content-type: text/xml, user-agent: a curl", "400");
        given.check("POST /a/two, content-type: text/xml", "400");
    }

    #[test]
    fn options_is_answered_unless_a_resource_declares_it() {
        let given = api_with(&format!(
            r#"<resource methods="GET PUT" uri-template="/one">{IN}</resource>
            <resource uri-template="/all">{IN}</resource>
            <resource methods="GET OPTIONS" uri-template="/both">{IN}</resource>
            <resource methods="GET" uri-template="/apart">{IN}</resource>
            <resource methods="OPTIONS" uri-template="/apart">{IN}</resource>"#
        ));
        given.check("OPTIONS /a/one", "options GET, PUT");
        given.check("OPTIONS /a/all", "options GET, POST, PUT, DELETE");
        given.check("OPTIONS /a/both", "A GET,OPTIONS /both");
        given.check("OPTIONS /a/apart", "A OPTIONS /apart");
        given.check("OPTIONS /a/none", "404");
    }

    #[test]
    fn what_no_api_wants_goes_to_the_proxies_and_to_main() {
        let given = given(
            r#"<x>
            <proxy name="Echo"><target><inSequence/></target></proxy>
            <proxy name="deep/er" transports="https"><target><inSequence/></target></proxy>
            </x>"#,
        );
        given.check("POST /services/Echo", "proxy Echo ");
        given.check("POST /services/Echo/more?x=1", "proxy Echo /more?x=1");
        given.check("GET /services/Echo?wsdl", "proxy Echo ?wsdl");
        given.check("POST /services/Echo.EchoHttpSoap11Endpoint/x", "proxy Echo /x");
        given.check("POST /services/Echoes", "main");
        given.check("POST /services/deep/er", "main");
        given.check("POST /services/deep/er/x, https", "proxy deep/er /x");
        given.check("POST /services", "main");
    }

    #[test]
    fn an_api_that_is_not_whole_answers_503() {
        let mut given = api_with(&format!("<resource>{IN}</resource>"));
        given.apis[0].broken = Some(Arc::from("a.xml:1:2: no"));
        given.check("GET /a/x", "503");
    }

    #[test]
    fn the_index_finds_what_a_search_through_all_would_find() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut path = |most: usize| -> String {
            (0..random.usize(1..=most))
                .map(|_| format!("/{}", random.char('a'..='c')))
                .collect()
        };
        let contexts: std::collections::BTreeSet<String> = (0..40).map(|_| path(4)).collect();
        let xml: String = contexts
            .iter()
            .map(|context| {
                format!(r#"<api name="{context}" context="{context}"><resource>{IN}</resource></api>"#)
            })
            .collect();
        let given = given(&format!("<x>{xml}</x>"));
        for _ in 0..2_000 {
            let path = path(6);
            let expected = contexts
                .iter()
                .filter(|context| path == **context || path.starts_with(&format!("{context}/")))
                .max_by_key(|context| context.len());
            let found = match given.route(&format!("GET {path}")) {
                Route::Resource(matched) => Some(given.apis[matched.api].name.to_string()),
                _ => None,
            };
            assert_eq!(found.as_ref(), expected, "{path}");
        }
    }
}
