//! `<basicAuth>`: a name and a password, with every request (RFC 7617).

use super::{PASSWORD, Secret, USERNAME, hidden, secret_in};
use crate::flow::credentials::{Credentials, Signer};
use crate::flow::{Exchange, Fault, Worker};
use crate::plan::{Child, Children, Element, Planner};
use crate::wire::client::ClientRequest;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use std::sync::Arc;

pub const BASIC: Child = Child::optional(
    "basicAuth",
    &[],
    Children::of(&[USERNAME, PASSWORD]),
    "A name and a password, sent with every request.",
);

pub fn plan(element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Credentials>> {
    let username = secret_in(element, "username", planner);
    let password = secret_in(element, "password", planner);
    Some(Arc::new(Basic {
        username: username?,
        password: password?,
    }))
}

#[derive(Debug)]
struct Basic {
    username: Secret,
    password: Secret,
}

struct Signature(HeaderValue);

/// `Basic …` for a name and a password.
pub fn header(username: &str, password: &str) -> Result<HeaderValue, Fault> {
    hidden(&format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    ))
}

#[async_trait(?Send)]
impl Credentials for Basic {
    async fn of(&self, exchange: &mut Exchange) -> Result<Box<dyn Signer>, Fault> {
        let username = self.username.of(exchange).await?;
        let password = self.password.of(exchange).await?;
        Ok(Box::new(Signature(header(&username, &password)?)))
    }
}

#[async_trait(?Send)]
impl Signer for Signature {
    async fn sign(&self, _: &Worker, request: &mut ClientRequest) -> Result<(), Fault> {
        request.headers.insert(AUTHORIZATION, self.0.clone());
        Ok(())
    }
}
