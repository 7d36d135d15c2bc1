//! Credentials: what proves to a backend who is asking. Signed onto each request just before it leaves, and anew where the backend refuses them.

use super::delivery::{MOST_THROWN_AWAY, all_over};
use super::{Exchange, Fault, Worker};
use crate::message::replay::ReplayLimits;
use crate::wire::client::{ClientRequest, ClientResponse, SendError, Watch};
use crate::wire::url::Url;
use async_trait::async_trait;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, timeout_at};

/// An endpoint's credentials.
#[async_trait(?Send)]
pub trait Credentials: fmt::Debug + Send + Sync {
    /// Those for this message: they may be computed from it.
    async fn of(&self, exchange: &mut Exchange) -> Result<Box<dyn Signer>, Fault>;
}

/// The credentials of one request.
#[async_trait(?Send)]
pub trait Signer {
    /// How much of the body is kept, where the request may have to be sent twice.
    fn keep(&self, _: &Worker, _: &Url) -> Option<ReplayLimits> {
        None
    }

    /// May it be sent twice at all?
    fn repeats(&self) -> bool {
        false
    }

    async fn sign(&self, worker: &Worker, request: &mut ClientRequest) -> Result<(), Fault>;

    /// Hears of every answer. True when the backend refused what was signed, and another signature may do.
    fn answered(&self, _: &Worker, _: &Url, _: &ClientResponse) -> bool {
        false
    }
}

/// Why there is no answer.
pub enum NotSent {
    Failed(SendError),
    /// There are no credentials to be had.
    Unsigned(Fault),
}

/// Signs a request and sends it; once more with another signature where that is worth while.
pub async fn send(
    worker: &Worker,
    signer: &dyn Signer,
    mut request: ClientRequest,
    end: Option<Instant>,
) -> Result<ClientResponse, NotSent> {
    let watch: Option<Rc<dyn Watch>> = request.watch.take().map(Rc::from);
    let url = request.url.clone();
    let body = if signer.repeats() {
        request.body.again()
    } else {
        None
    };
    let spare = body.is_some().then(|| ClientRequest {
        headers: request.headers.clone(),
        http2: request.http2,
        connect_timeout: request.connect_timeout,
        response_timeout: request.response_timeout,
        body_gap: request.body_gap,
        gate: request.gate.clone(),
        manner: request.manner,
        ..ClientRequest::new(request.method.clone(), request.url.clone())
    });
    sign(worker, signer, &mut request, end).await?;
    request.watch = shared(&watch);
    let response = worker.client.send(request).await.map_err(NotSent::Failed)?;
    if !signer.answered(worker, &url, &response) {
        return Ok(response);
    }
    let Some(mut spare) = spare else {
        return Ok(response);
    };
    // More of the body may have gone by than is kept.
    let Some(body) = body.and_then(|body| body.again()) else {
        return Ok(response);
    };
    spare.body = body;
    // Read to its end, so that the connection can be used again.
    drop(response.body.collect(MOST_THROWN_AWAY).await);
    sign(worker, signer, &mut spare, end).await?;
    spare.watch = shared(&watch);
    let response = worker.client.send(spare).await.map_err(NotSent::Failed)?;
    signer.answered(worker, &url, &response);
    Ok(response)
}

/// Whoever gives out tokens may take no longer than the request has time, and what it took is not there for the request.
async fn sign(
    worker: &Worker,
    signer: &dyn Signer,
    request: &mut ClientRequest,
    end: Option<Instant>,
) -> Result<(), NotSent> {
    let signing = signer.sign(worker, request);
    let Some(end) = end else {
        return signing.await.map_err(NotSent::Unsigned);
    };
    match timeout_at(end, signing).await {
        Ok(signed) => signed.map_err(NotSent::Unsigned)?,
        Err(_) => return Err(NotSent::Unsigned(all_over())),
    }
    let left = end.saturating_duration_since(Instant::now());
    for wait in [&mut request.connect_timeout, &mut request.response_timeout] {
        *wait = Some(wait.map_or(left, |wait| wait.min(left)));
    }
    Ok(())
}

/// Two answers may have to be watched one after the other.
struct Shared(Rc<dyn Watch>);

impl Watch for Shared {
    fn broken(&self, code: u32, reason: &str) {
        self.0.broken(code, reason);
    }

    fn answered(&self) {
        self.0.answered();
    }
}

pub fn shared(watch: &Option<Rc<dyn Watch>>) -> Option<Box<dyn Watch>> {
    let watch = Rc::clone(watch.as_ref()?);
    Some(Box::new(Shared(watch)))
}

/// What credentials have learned, by key: tokens, nonces. Outlives deployments, and is shared by all threads.
#[derive(Default)]
pub struct Shelf {
    all: Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>,
}

/// A hash: a key made of secrets tells none.
pub type Key = [u8; 32];

/// Credentials that are computed from messages may be without number.
const MOST_KEPT: usize = 10_000;

impl Shelf {
    /// What is kept by a key; made where there is nothing yet.
    pub fn get<T: Default + Send + Sync + 'static>(&self, key: &Key) -> Arc<T> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(key)
            && let Ok(known) = Arc::clone(known).downcast::<T>()
        {
            return known;
        }
        if all.len() >= MOST_KEPT {
            // Whoever uses one just now has it still.
            all.clear();
        }
        let fresh = Arc::new(T::default());
        all.insert(*key, Arc::clone(&fresh) as _);
        fresh
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf(***)")
    }
}
