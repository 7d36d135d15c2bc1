//! Calls to AWS over the gateway's own connections: one SDK client a thread for each set of settings, made when it is first needed.

use crate::flow::runtime::{Backends, Clock};
use crate::flow::{Runtime, Worker};
use crate::message::body::{ByteStream, StreamErrorKind};
use crate::wire::client::{ClientRequest, Reached, SendError, SendErrorKind};
use crate::wire::url::Url;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::{HttpRequest, HttpResponse};
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{
    Credentials, HttpClient, Region, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OnceCell, mpsc, oneshot};

/// Where functions are called, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub region: Option<String>,
    pub endpoint: Option<String>,
    /// Without them: the chain of the SDK (environment, profile, web identity, container, instance).
    pub keys: Option<Keys>,
    pub role: Option<Role>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub access: String,
    pub secret: String,
    pub session: Option<String>,
}

/// A role that is assumed, on top of whatever credentials there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub session: String,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// Logs show whose keys they are, and nothing to use them with.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({}, …)", self.access)
    }
}

pub struct Invocation<'a> {
    pub function: &'a str,
    pub qualifier: Option<&'a str>,
    /// AWS takes it and runs it later.
    pub event: bool,
    pub payload: Vec<u8>,
}

/// What the function returned, or why it failed.
#[derive(Debug)]
pub struct Reply {
    pub payload: Vec<u8>,
    /// `X-Amz-Function-Error`
    pub function_error: Option<String>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Failure {
    /// AWS could not be asked, or did not answer.
    Transport(SendError),
    /// AWS said no.
    Refused(Refusal),
    /// There are no credentials, or they are not accepted.
    Credentials(String),
    /// It cannot be asked in this way: there is no region, say.
    Misconfigured(String),
}

#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    /// `ResourceNotFoundException`, say.
    pub code: String,
    pub message: String,
    /// Of `TooManyRequestsException`: what there was too much of.
    pub reason: Option<String>,
    pub retry_after: Option<Duration>,
}

/// Functions return 6 MB at most; nothing that AWS says is longer.
const LONGEST_ANSWER: usize = 8 << 20;

/// Longer than any function runs: how long a call may take is decided by whoever calls.
const LONGEST_CALL: Duration = Duration::from_secs(16 * 60);

/// Calls a function. `region` is that of its ARN.
pub async fn invoke(
    worker: &Worker,
    settings: &Arc<Settings>,
    region: Option<&str>,
    connect: Duration,
    call: Invocation<'_>,
) -> Result<Reply, Failure> {
    let shared = shared(worker, settings, region);
    let first = ask(&shared, worker, settings, connect, &call).await;
    match first {
        // A role's credentials may be withdrawn before their time is over; the call was not looked at.
        Err(Failure::Credentials(_)) if settings.keys.is_none() || settings.role.is_some() => {
            forget(&shared);
            if !shared.worked.replace(false) {
                return first;
            }
            let again = self::shared(worker, settings, region);
            ask(&again, worker, settings, connect, &call).await
        }
        first => first,
    }
}

async fn ask(
    shared: &Rc<Shared>,
    worker: &Worker,
    settings: &Settings,
    connect: Duration,
    call: &Invocation<'_>,
) -> Result<Reply, Failure> {
    let region = shared
        .region
        .as_deref()
        .map(|region| Region::new(region.to_owned()));
    let made = shared
        .client
        .get_or_try_init(|| make(worker, &shared.bridge, settings, region, connect));
    let client = made.await?;
    let kind = if call.event {
        InvocationType::Event
    } else {
        InvocationType::RequestResponse
    };
    let sent = client
        .invoke()
        .function_name(call.function)
        .set_qualifier(call.qualifier.map(str::to_owned))
        .invocation_type(kind)
        .payload(Blob::new(call.payload.as_slice()))
        .customize()
        // The SDK would say that it is any bytes; whoever plays Lambda in a test wants to read it.
        .mutate_request(|request| {
            request.headers_mut().insert("content-type", "application/json");
        })
        .send()
        .await;
    match sent {
        Ok(output) => {
            shared.worked.set(true);
            Ok(Reply {
                payload: output.payload.map(Blob::into_inner).unwrap_or_default(),
                function_error: output.function_error,
            })
        }
        Err(error) => Err(failure(&error)),
    }
}

// Clients

/// What the calls of one thread with the same settings share.
struct Shared {
    region: Option<String>,
    bridge: Bridge,
    client: OnceCell<Client>,
    /// Its credentials were accepted at least once.
    worked: std::cell::Cell<bool>,
}

struct Entry {
    settings: Settings,
    backends: std::rc::Weak<dyn Backends>,
    /// The endpoints that use it: it goes with the last of them.
    users: Vec<Weak<Settings>>,
    shared: Rc<Shared>,
}

thread_local! {
    /// A client keeps credentials, which take calls to other services to get: it outlives a reload that leaves its settings as they are.
    static CLIENTS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

fn shared(worker: &Worker, settings: &Arc<Settings>, region: Option<&str>) -> Rc<Shared> {
    let backends = &worker.client;
    CLIENTS.with_borrow_mut(|entries| {
        let known = entries.iter_mut().find(|entry| {
            entry.shared.region.as_deref() == region
                && std::ptr::addr_eq(entry.backends.as_ptr(), Rc::as_ptr(backends))
                && entry.settings == **settings
                && !entry.shared.bridge.jobs.is_closed()
        });
        if let Some(entry) = known {
            if !entry
                .users
                .iter()
                .any(|user| std::ptr::eq(user.as_ptr(), Arc::as_ptr(settings)))
            {
                entry.users.retain(|user| user.strong_count() > 0);
                entry.users.push(Arc::downgrade(settings));
            }
            return Rc::clone(&entry.shared);
        }
        entries.retain(|entry| {
            let used = entry.users.iter().any(|user| user.strong_count() > 0);
            used && !entry.shared.bridge.jobs.is_closed()
        });
        let shared = Rc::new(Shared {
            region: region.map(str::to_owned),
            bridge: Bridge::over(Rc::clone(backends)),
            client: OnceCell::new(),
            worked: std::cell::Cell::new(false),
        });
        entries.push(Entry {
            settings: Settings::clone(settings),
            backends: Rc::downgrade(backends),
            users: vec![Arc::downgrade(settings)],
            shared: Rc::clone(&shared),
        });
        shared
    })
}

/// The next call makes a new client, with new credentials.
fn forget(shared: &Rc<Shared>) {
    CLIENTS.with_borrow_mut(|entries| entries.retain(|entry| !Rc::ptr_eq(&entry.shared, shared)));
}

async fn make(
    worker: &Worker,
    bridge: &Bridge,
    settings: &Settings,
    of_function: Option<Region>,
    connect: Duration,
) -> Result<Client, Failure> {
    let role_region = settings.role.as_ref().and_then(|role| role.region.clone());
    let own = settings.region.clone().map(Region::new);
    let region = own.or(of_function).or(role_region.map(Region::new));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(SharedHttpClient::new(bridge.clone()))
        .time_source(Now(Arc::clone(&worker.runtime)))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect).build());
    if let Some(region) = region {
        loader = loader.region(region);
    }
    if let Some(keys) = &settings.keys {
        let Keys {
            access,
            secret,
            session,
        } = keys;
        loader = loader.credentials_provider(Credentials::new(
            access,
            secret,
            session.clone(),
            None,
            "the endpoint's keys",
        ));
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Failure::Misconfigured(
            "the region is known neither from the endpoint nor from its surroundings".to_owned(),
        ));
    }
    let mut of_lambda = aws_sdk_lambda::config::Builder::from(&config);
    if let Some(role) = &settings.role {
        of_lambda = of_lambda.credentials_provider(assumed(role, &config).await);
    }
    if let Some(endpoint) = &settings.endpoint {
        of_lambda = of_lambda.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(of_lambda.build()))
}

async fn assumed(role: &Role, config: &SdkConfig) -> SharedCredentialsProvider {
    let mut of_sts = config.to_builder();
    if let Some(endpoint) = &role.endpoint {
        of_sts = of_sts.endpoint_url(endpoint);
    }
    let mut builder = AssumeRoleProvider::builder(&role.arn)
        .session_name(&role.session)
        .configure(&of_sts.build());
    if let Some(region) = &role.region {
        builder = builder.region(Region::new(region.clone()));
    }
    SharedCredentialsProvider::new(builder.build().await)
}

/// Signatures bear the time of the gateway's own clock.
#[derive(Debug)]
struct Now(Arc<Runtime>);

impl TimeSource for Now {
    fn now(&self) -> SystemTime {
        match self.0.clock {
            Clock::System => SystemTime::now(),
            Clock::Fixed(_) => {
                UNIX_EPOCH + Duration::from_millis(u64::try_from(self.0.clock.millis()).unwrap_or(0))
            }
        }
    }
}

// The way to the wire

/// What the SDK takes for an HTTP client. It must be able to cross threads, which our connections cannot: requests go through a channel to a task
/// of the thread.
#[derive(Debug, Clone)]
struct Bridge {
    jobs: mpsc::UnboundedSender<Job>,
    connect: Option<Duration>,
    read: Option<Duration>,
}

struct Job {
    request: http::Request<Bytes>,
    connect: Option<Duration>,
    read: Option<Duration>,
    answer: oneshot::Sender<Result<http::Response<Bytes>, SendError>>,
}

impl Bridge {
    fn over(backends: Rc<dyn Backends>) -> Bridge {
        let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
        tokio::task::spawn_local(async move {
            while let Some(job) = waiting.recv().await {
                tokio::task::spawn_local(job.run(Rc::clone(&backends)));
            }
        });
        Bridge {
            jobs,
            connect: None,
            read: None,
        }
    }
}

impl Job {
    async fn run(mut self, backends: Rc<dyn Backends>) {
        let sent = send(&*backends, self.request, self.connect, self.read);
        let answered = tokio::select! {
            sent = sent => Some(sent),
            // Nobody waits for it any more.
            () = self.answer.closed() => None,
        };
        if let Some(answered) = answered {
            drop(self.answer.send(answered));
        }
    }
}

async fn send(
    backends: &dyn Backends,
    request: http::Request<Bytes>,
    connect: Option<Duration>,
    read: Option<Duration>,
) -> Result<http::Response<Bytes>, SendError> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|invalid| SendError {
        kind: SendErrorKind::Send,
        message: invalid.to_string(),
        reached: Reached::NothingSent,
    })?;
    let request = ClientRequest {
        headers: parts.headers,
        body: ByteStream::from(body),
        connect_timeout: connect,
        response_timeout: Some(read.unwrap_or(LONGEST_CALL)),
        ..ClientRequest::new(parts.method, url)
    };
    let response = backends.send(request).await?;
    let collected = response.body.collect(LONGEST_ANSWER).await;
    let (body, _) = collected.map_err(|broken| SendError {
        kind: match broken.kind {
            StreamErrorKind::Closed | StreamErrorKind::Reset(_) => SendErrorKind::Closed,
            StreamErrorKind::TimedOut => SendErrorKind::Timeout,
            StreamErrorKind::Malformed => SendErrorKind::Protocol,
            StreamErrorKind::TooLarge | StreamErrorKind::Failed => SendErrorKind::Receive,
        },
        message: broken.message,
        reached: Reached::Sent,
    })?;
    let mut answer = http::Response::new(body);
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    Ok(answer)
}

impl HttpClient for Bridge {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Bridge {
            jobs: self.jobs.clone(),
            connect: settings.connect_timeout(),
            read: settings.read_timeout(),
        })
    }
}

impl HttpConnector for Bridge {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, answered) = oneshot::channel();
        let (connect, read, jobs) = (self.connect, self.read, self.jobs.clone());
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(other)?;
            let (parts, body) = request.into_parts();
            let body = aws_sdk_lambda::primitives::ByteStream::new(body);
            let body = body.collect().await.map_err(other)?.into_bytes();
            let job = Job {
                request: http::Request::from_parts(parts, body),
                connect,
                read,
                answer,
            };
            jobs.send(job).map_err(|_| other("the gateway is ending"))?;
            match answered.await {
                Ok(Ok(response)) => HttpResponse::try_from(response.map(SdkBody::from)).map_err(other),
                Ok(Err(error)) => Err(match error.kind {
                    SendErrorKind::Timeout | SendErrorKind::ConnectTimeout => {
                        ConnectorError::timeout(error.into())
                    }
                    _ => ConnectorError::io(error.into()),
                }),
                Err(_) => Err(other("the gateway is ending")),
            }
        })
    }
}

fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> ConnectorError {
    ConnectorError::other(error.into(), None)
}

// Failures

fn failure(error: &SdkError<InvokeError, HttpResponse>) -> Failure {
    if let SdkError::ServiceError(refused) = error {
        return refusal(refused.err(), refused.raw());
    }
    // What stands between the credentials and AWS is told as a matter of credentials, whatever it is.
    if let Some(missing) = cause::<CredentialsError>(error) {
        return Failure::Credentials(chain(missing));
    }
    if let Some(error) = cause::<SendError>(error) {
        return Failure::Transport(error.clone());
    }
    match error {
        SdkError::ResponseError(broken) => Failure::Transport(SendError {
            kind: SendErrorKind::Protocol,
            message: format!(
                "AWS answered {} in words that are none of its own",
                broken.raw().status()
            ),
            reached: Reached::Sent,
        }),
        SdkError::TimeoutError(_) => Failure::Transport(SendError {
            kind: SendErrorKind::Timeout,
            message: chain(error),
            reached: Reached::Unknown,
        }),
        _ => Failure::Misconfigured(chain(error)),
    }
}

fn refusal(error: &InvokeError, response: &HttpResponse) -> Failure {
    let status = response.status().as_u16();
    let mut code = error.code().unwrap_or_default().to_owned();
    let mut message = error.message().unwrap_or_default().to_owned();
    if code.is_empty() {
        // What stands in front of Lambda may refuse in XML, as other services of AWS do.
        let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
        code = inside(&text, "<Code>", "</Code>").to_owned();
        message = inside(&text, "<Message>", "</Message>").to_owned();
    }
    // What AWS says of keys it does not know, of signatures that do not fit, and of sessions that are over.
    let of_credentials = [
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "ExpiredToken",
    ];
    if of_credentials.iter().any(|known| code.starts_with(known)) {
        return Failure::Credentials(format!("{code}: {message}"));
    }
    let (reason, after) = match error {
        InvokeError::TooManyRequestsException(throttled) => (
            throttled.reason().map(|reason| reason.as_str().to_owned()),
            throttled.retry_after_seconds(),
        ),
        _ => (None, None),
    };
    let after = after.or_else(|| response.headers().get("retry-after"));
    let retry_after = after
        .and_then(|seconds| seconds.trim().parse::<f64>().ok())
        .filter(|seconds| (0.0..86_400.0).contains(seconds))
        .map(Duration::from_secs_f64);
    Failure::Refused(Refusal {
        status,
        code,
        message,
        reason,
        retry_after,
    })
}

fn inside<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(inner, _)| inner)
}

/// The first error of that kind among the causes.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}
