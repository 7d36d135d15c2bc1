//! Synapse's words that are not supported yet: each is told at its place, with a way forward.

/// A mediator of Synapse that Myelin does not run, and what to do about it.
pub const MEDIATORS: &[(&str, &str)] = &[
    (
        "iterate",
        "splitting and joining comes in a later release; until then let the backend take the whole list",
    ),
    ("aggregate", "splitting and joining comes in a later release"),
    (
        "clone",
        "splitting and joining comes in a later release; `call` one endpoint after the other instead",
    ),
    (
        "foreach",
        "splitting and joining comes in a later release; `payloadFactory` can map a list that the backend takes whole",
    ),
    ("scatter-gather", "splitting and joining comes in a later release"),
    (
        "xslt",
        "XSLT comes in a later release; `payloadFactory` or `enrich` can do simple mappings",
    ),
    ("fastXSLT", "XSLT comes in a later release"),
    (
        "xquery",
        "XQuery comes in a later release; `enrich` with XPath can do simple mappings",
    ),
    (
        "rewrite",
        "URL rewriting comes in a later release; set the `To` header or axis2 `REST_URL_POSTFIX` instead",
    ),
    ("store", "message stores come in a later release"),
    (
        "callout",
        "`callout` comes in a later release; `call blocking=\"true\"` does the same",
    ),
    ("throttle", "throttling comes in a later release"),
    ("cache", "caching comes in a later release"),
    ("jsontransform", "`jsontransform` comes in a later release"),
    ("datamapper", "the data mapper comes in a later release"),
    (
        "transaction",
        "there are no transactions here (no JTA); remove the element if nothing inside needs one",
    ),
    (
        "dblookup",
        "there is no database here; call a service that reads it",
    ),
    (
        "dbreport",
        "there is no database here; call a service that writes it",
    ),
    (
        "dataServiceCall",
        "there are no data services here; `call` the service over HTTP",
    ),
    (
        "builder",
        "message builders are chosen by content type here; remove the element",
    ),
    ("enqueue", "priority executors come in a later release"),
    ("sampler", "`sampler` comes in a later release"),
    ("eventPublisher", "there is no WS-Eventing here"),
    ("entitlementService", "there is no XACML here"),
    ("oauthService", "token checks come in a later release"),
    (
        "opa",
        "Open Policy Agent calls come in a later release; `call` its REST API",
    ),
    ("NTLM", "there is no NTLM here"),
    ("smooks", "Smooks is a Java library; there is no JVM here"),
    (
        "class",
        "Java class mediators need a JVM; rewrite it as mediators, or as a service that is called",
    ),
    ("spring", "Spring beans need a JVM"),
    ("bean", "Java beans need a JVM"),
    ("ejb", "EJB calls need a JVM"),
    ("pojoCommand", "Java commands need a JVM"),
    ("annotatedCommand", "Java commands need a JVM"),
    (
        "rules",
        "`rules` comes in a later release; a plain list of steps does the same",
    ),
    (
        "router",
        "`router` was removed from Synapse; use `switch` or `conditionalRouter`",
    ),
    (
        "rule",
        "the business rules mediator was removed from Synapse; use `switch` or `filter`",
    ),
    ("publishEvent", "analytics events are not sent from here"),
    ("bam", "analytics events are not sent from here"),
    ("event", "analytics events are not sent from here"),
    ("queue", "message queues come in a later release"),
    ("urlRewrite", "URL rewriting comes in a later release"),
    ("custom", "custom mediators need a JVM"),
];

/// Endpoints that come later.
pub const ENDPOINTS: &[(&str, &str)] = &[
    (
        "dynamicLoadbalance",
        "membership comes from Axis2 clustering, which is not here; use `loadbalance` with members",
    ),
    (
        "serviceDynamicLoadbalance",
        "membership comes from Axis2 clustering, which is not here; use `loadbalance` with members",
    ),
    ("class", "Java class endpoints need a JVM"),
];

/// Artifacts that come later.
pub const ARTIFACTS: &[(&str, &str)] = &[
    (
        "task",
        "scheduled tasks come in a later release; until then let cron call an API",
    ),
    ("messageStore", "message stores come in a later release"),
    ("messageProcessor", "message processors come in a later release"),
    (
        "inboundEndpoint",
        "inbound endpoints come in a later release; HTTP is served by APIs and proxies",
    ),
    ("priorityExecutor", "priority executors come in a later release"),
    ("eventSource", "there is no WS-Eventing here"),
    ("import", "connector libraries are Java; there is no JVM here"),
];

/// The advice for a name, if the table has it.
pub fn advice(table: &'static [(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, advice)| *advice)
}
