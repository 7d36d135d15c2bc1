//! `<lambda>`: a function of AWS Lambda.

mod client;
mod event;
mod failure;
mod function;
mod reply;
mod settings;
#[cfg(test)]
mod tests;

use super::leaf::{Leaf, LeafKind};
use super::{common, states};
use crate::expression::Dynamic;
use crate::flow::answered;
use crate::flow::delivery::{Patience, all_over, is_all_over, time_left};
use crate::flow::{Answer, Endpoint, Exchange, Fault};
use crate::message::payload::Payload;
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::wire::client::{Reached, SendError, SendErrorKind};
use client::{Failure, Invocation, Settings};
use event::{Encode, Shape as EventShape};
use function::Function;
use http::{HeaderMap, StatusCode};
use reply::Mapping;
use std::sync::Arc;
use std::time::Duration;

pub const KIND: EndpointKind = EndpointKind {
    element: "lambda",
    by_attribute: false,
    summary: "Calls a function of AWS Lambda.",
    notes: r#"Credentials are `access-key` and `secret-key`, else those of the surroundings, looked for where AWS tools look: environment, profile,
web identity, container, instance. With `role-arn` a role is assumed on top of them. Secrets do not belong into files: write `$secret{alias}` for the
environment variable `MYELIN_SECRET_ALIAS`, or `$SYSTEM:NAME`. The region is that of the endpoint, of the function's ARN, of the role, or of the surroundings, in
this order. Credentials are fetched once a thread and kept until shortly before they end.

The function gets an event, which `event` gives its shape: that of WSO2 API Manager since 4.1, those of Amazon API Gateway (the REST API's, the HTTP API's), or the body
alone as JSON. The body is that which an `http` endpoint would send. A body that is no text is written in base64, and `isBase64Encoded` says so. Names of headers
are in small letters in `apigw-v2`, and `Written-Like-This` in the others. What cannot be known here (`accountId`, `protocol`, `stageVariables`) is left out, `requestId` is
made up, and `resource` is the resource's `uri-template`.

A reply that is an object with a `statusCode` gives the answer its status, `headers`, `multiValueHeaders`, `cookies` and `body`, unless `response-mapping` is `off`; any other
reply is the body of a 200 in `application/json`. `invocation="Event"`, or the property `OUT_ONLY`, lets AWS run the function later: the answer is an empty 202.

| failure | `ERROR_CODE` | the client gets |
| --- | --- | --- |
| the function ended with an error | 320001 | 502; 504 when it ran out of its own time |
| the function's own limits are reached | 320002 | 429 with `Retry-After` |
| the account's or AWS's limits are reached | 320003 | 503 with `Retry-After` |
| access is denied | 320004 | 502 |
| there is no such function | 320005 | 502 |
| AWS refuses the call for another reason | 320006 | 502 |
| the event is too large | 320007 | 413 |
| a reply that cannot be an answer | 101510 | 502 |
| no credentials, or none that AWS accepts | 303003 | 502 |
| no answer in time | 101504 | 504 |
| AWS cannot be reached | 101503, 101505, 101508 … | 502, 504 |

What AWS says of a failure is in the log; clients and fault sequences learn neither ARNs nor accounts. The codes from 320001 on, 303003 and 101510 leave the state of the endpoint alone,
since AWS is well, unless `suspendOnFailure` or `markForSuspension` names them. Calls are never repeated here; a group around may. Time is that of `timeout`, for credentials and call together.

An OpenAPI definition at the top of the folder (`*.yaml`, `*.json`) whose operations have `x-amzn-resource-name` is an API without further ado: its context is `x-wso2-basePath`, else the first
server's path, and each such operation calls its function, with `x-amzn-resource-timeout` (milliseconds, 50000 without it) and `x-amzn-resource-content-encode`."#,
    differences: r#"Synapse has no such endpoint; API Manager has a class mediator. There a failed call is a 400 without a body, an error of the function a 200, and `statusCode` is not looked at."#,
    attributes: &[
        Attr::required(
            "function",
            Shape::Dynamic,
            "The function: its name, or its ARN, with `:` and a version or alias behind where one is meant; or `{expression}`.",
        ),
        Attr::optional("qualifier", Shape::Text, "A version or alias, where `function` has none."),
        Attr::optional("region", Shape::Text, "The region, such as `eu-central-1`. Without it: that of the function's ARN, then of the surroundings."),
        Attr::optional("invocation", Shape::Choice(&["RequestResponse", "Event"]), "Whether the function's reply is waited for.").default("RequestResponse"),
        Attr::optional("event", Shape::Choice(&["wso2", "apigw-v1", "apigw-v2", "body"]), "The shape of what the function is given.").default("wso2"),
        Attr::optional("content-encode", Shape::Choice(&["auto", "on", "off"]), "Whether the body is written in base64; `auto`: when it is no text.").default("auto"),
        Attr::optional(
            "response-mapping",
            Shape::Choice(&["auto", "on", "off"]),
            "Whether `statusCode`, `headers` and `body` of the reply become the answer's; `auto`: when the reply looks like it.",
        )
        .default("auto"),
        Attr::optional("access-key", Shape::Text, "The id of an access key."),
        Attr::optional("secret-key", Shape::Text, "Its secret: `$secret{alias}`, or `$SYSTEM:NAME`."),
        Attr::optional("session-token", Shape::Text, "What belongs to a temporary access key."),
        Attr::optional("role-arn", Shape::Text, "A role to assume."),
        Attr::optional("role-session", Shape::Text, "The name under which it is assumed."),
        Attr::optional("role-region", Shape::Text, "The region whose token service is asked. Without it: `region`."),
        Attr::optional("role-endpoint-url", Shape::Text, "The token service's address, instead of AWS's own."),
        Attr::optional("endpoint-url", Shape::Text, "The address at which functions are called, instead of AWS's own."),
    ],
    children: Children::of(&[
        common::TIMEOUT,
        states::SUSPEND_ON_FAILURE,
        states::MARK_FOR_SUSPENSION,
        states::RETRY_CONFIG,
        states::SUSPEND_DURATION,
        states::LIMITS,
    ]),
    build,
    examples: &[
        Example::new(
            "A reply that is an answer",
            r#"<endpoint><lambda function="hello" region="eu-central-1" access-key="AKID" secret-key="s3cret" endpoint-url="http://backend"/></endpoint>"#,
            "POST /pets\ncontent-type: text/plain\n\nhi",
            "turns\nbackend POST http://backend/2015-03-31/functions/hello/invocations\nbackend header x-amz-invocation-type = RequestResponse\n\
             backend body {\"headers\":{\"Content-Type\":\"text/plain\",\"Host\":\"gateway:8290\",\"Content-Length\":\"2\"},\"pathParameters\":{},\"queryStringParameters\":{},\"httpMethod\":\"POST\",\"path\":\"/pets\",\"body\":\"hi\",\"isBase64Encoded\":false}\n\
             axis2 HTTP_SC = 201\nheader x-served-by = lambda\nbody made",
        )
        .backend("200\n\n{\"statusCode\": 201, \"headers\": {\"X-Served-By\": \"lambda\", \"Content-Type\": \"text/plain\"}, \"body\": \"made\"}"),
        Example::new(
            "The body alone, later",
            r#"<endpoint><lambda function="arn:aws:lambda:eu-west-1:123456789012:function:audit" qualifier="live" invocation="Event" event="body" content-encode="off" access-key="AKID" secret-key="s3cret" session-token="t" endpoint-url="http://backend"/></endpoint>"#,
            "POST /\ncontent-type: application/json\n\n{\"a\": 1}",
            "turns\nbackend POST http://backend/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aaudit/invocations?Qualifier=live\n\
             backend header x-amz-invocation-type = Event\nbackend header x-amz-security-token = t\nbackend body {\"a\":1}\naxis2 HTTP_SC = 202",
        )
        .backend("202"),
        Example::new(
            "A reply that is only data",
            r#"<endpoint><lambda function="{get-property('uri.var.name')}" region="eu-central-1" access-key="AKID" secret-key="s3cret" response-mapping="off" endpoint-url="http://backend"/><property name="uri.var.name" value="sum:7"/></endpoint>"#,
            "GET /?a=1",
            "turns\nbackend POST http://backend/2015-03-31/functions/sum%3A7/invocations\naxis2 HTTP_SC = 200\nbody {\"statusCode\": 3}",
        )
        .backend("200\n\n{\"statusCode\": 3}"),
        Example::new(
            "A role that may not be assumed",
            r#"<endpoint><lambda function="hello" region="eu-central-1" access-key="AKID" secret-key="s3cret" role-arn="arn:aws:iam::123456789012:role/caller" role-session="gateway" role-region="us-east-1" role-endpoint-url="http://backend"/></endpoint>"#,
            "GET /",
            "fails 303003 there are no credentials for AWS, or AWS does not accept them\nbackend POST http://backend/",
        )
        .backend("403\n\n<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"),
    ],
};

/// Headers that concern one connection, and mean nothing to a function nor in its reply.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

#[derive(Debug)]
struct LambdaEndpoint {
    leaf: Leaf,
    settings: Arc<Settings>,
    target: Target,
    qualifier: Option<String>,
    later: bool,
    shape: EventShape,
    encode: Encode,
    mapping: Mapping,
}

#[derive(Debug)]
enum Target {
    Fixed(Function),
    Computed(Dynamic),
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let leaf = Leaf::plan(endpoint, element, planner);
    let settings = settings::plan(element, planner);
    let qualifier = settings::plan_qualifier(element, planner);
    let target = settings::plan_target(element, planner);
    let word = |name: &str, planner: &mut Planner<'_>| {
        let text = planner.text(element, name)?;
        Some(text.trim().to_ascii_lowercase())
    };
    let later = word("invocation", planner).is_some_and(|word| word == "event");
    let shape = match word("event", planner).as_deref() {
        Some("apigw-v1") => EventShape::ApiGatewayV1,
        Some("apigw-v2") => EventShape::ApiGatewayV2,
        Some("body") => EventShape::Body,
        _ => EventShape::Wso2,
    };
    let encode = match word("content-encode", planner).as_deref() {
        Some("on") => Encode::Always,
        Some("off") => Encode::Never,
        _ => Encode::Auto,
    };
    let mapping = match word("response-mapping", planner).as_deref() {
        Some("on") => Mapping::Always,
        Some("off") => Mapping::Never,
        _ => Mapping::Auto,
    };
    let (leaf, settings, qualifier, target) = (leaf?, settings?, qualifier?, target?);
    let written = element.get("function").unwrap_or("").to_owned();
    let leaf = leaf.at(&format!("lambda {written}"), false, planner);
    Some(Arc::new(LambdaEndpoint {
        leaf,
        settings: Arc::new(settings),
        target,
        qualifier,
        later,
        shape,
        encode,
        mapping,
    }))
}

impl LeafKind for LambdaEndpoint {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.prepare(exchange).await?;
        let computed;
        let function = match &self.target {
            Target::Fixed(function) => function,
            Target::Computed(text) => {
                let text = exchange.dynamic(text).await?;
                computed = Function::parse(text.trim()).map_err(|wrong| {
                    let text = failure::masked(&text);
                    Fault::mediation(format!("`{text}` (function) cannot be called: {wrong}"))
                })?;
                &computed
            }
        };
        let patience = self.leaf.patience(exchange).await?;
        // What AWS says, rather than that nothing comes from there, does not take the endpoint out of use.
        let mut refused = None;
        let sent = self
            .leaf
            .guarded(exchange, None, async |exchange, place| {
                let called = self.call(exchange, function, patience).await;
                drop(place);
                match called {
                    Err(fault) if is_said(&fault) && !self.leaf.names(&fault) => {
                        refused = Some(fault);
                        Ok(accepted())
                    }
                    called => called,
                }
            })
            .await;
        match refused {
            Some(fault) => Err(fault),
            None => sent,
        }
    }
}

impl LambdaEndpoint {
    async fn call(
        &self,
        exchange: &mut Exchange,
        function: &Function,
        patience: Patience,
    ) -> Result<Answer, Fault> {
        let later = self.later || exchange.properties.is_true("OUT_ONLY");
        let event = event::event(exchange, self.shape, self.encode, &self.leaf.delivery).await?;
        let timeouts = exchange.worker.runtime.timeouts;
        let wait = patience.response.unwrap_or(timeouts.response);
        let left = time_left(exchange)?;
        let wait = left.map_or(wait, |left| wait.min(left));
        let invocation = Invocation {
            function: function.text(),
            qualifier: self.qualifier.as_deref(),
            event: later,
            payload: event.bytes,
        };
        let called = client::invoke(
            &exchange.worker,
            &self.settings,
            function.region(),
            patience.connect.unwrap_or(timeouts.connect),
            invocation,
        );
        // Boxed: what the SDK does for a call is large, and would be room that every message makes.
        let called = tokio::time::timeout(wait, Box::pin(called)).await;
        let called = called.unwrap_or_else(|_| Err(Failure::Transport(no_answer(wait))));
        let fault = match called {
            Ok(_) if later => return Ok(accepted()),
            Ok(reply) => match reply.function_error {
                None => return reply::answer(reply.payload, self.mapping),
                Some(kind) => {
                    let fault = failure::of_function(&kind, &reply.payload, event.idempotent);
                    self.log(function, &fault, &String::from_utf8_lossy(&reply.payload));
                    fault
                }
            },
            Err(failed) => {
                let words = failure::words(&failed);
                let fault = match failed {
                    Failure::Transport(error) if is_all_over(exchange, left, &error.kind, patience) => {
                        all_over()
                    }
                    Failure::Transport(error) => {
                        let again = event.kept.is_some().then_some(event.idempotent);
                        answered::failed(exchange, error, "AWS Lambda", patience, again)
                    }
                    Failure::Refused(refusal) => failure::of_refusal(&refusal),
                    Failure::Credentials(_) => failure::of_credentials(),
                    Failure::Misconfigured(reason) => Fault::mediation(failure::masked(&reason)),
                };
                self.log(function, &fault, &words);
                fault
            }
        };
        if let Some(kept) = event.kept {
            exchange.message.payload = kept;
        }
        Err(fault)
    }

    /// The only place where it is said which function it was, and what AWS said.
    fn log(&self, function: &Function, fault: &Fault, said: &str) {
        let shown: String = said.chars().take(1000).collect();
        tracing::warn!(
            endpoint = &*self.leaf.name,
            function = function.text(),
            error_code = %fault.code,
            said = %shown.escape_debug(),
            "A call of a Lambda function failed."
        );
    }
}

/// AWS, or the function itself, gave this for an answer.
fn is_said(fault: &Fault) -> bool {
    use crate::flow::fault::code::RESPONSE_PROCESSING;
    fault
        .number()
        .is_some_and(|number| number == RESPONSE_PROCESSING || (320_000..321_000).contains(&number))
}

fn accepted() -> Answer {
    Answer {
        status: StatusCode::ACCEPTED,
        reason: None,
        headers: HeaderMap::new(),
        payload: Payload::empty(),
        tunnel: None,
    }
}

fn no_answer(wait: Duration) -> SendError {
    SendError {
        kind: SendErrorKind::Timeout,
        message: format!("no answer within {wait:?}"),
        reached: Reached::Unknown,
    }
}
