//! The data of a mock: what newer scripts of API Manager read from the property `mockDB` and put back there, kept from request to request.
//!
//! It lies in the store of the API, under the key `mockDB`: `mc.store` sees it, and `myelin store clear` brings back what the definition says
//! (`x-wso2-mockDB`).

use crate::flow::{Exchange, Fault, Mediator, Origin, Outcome, Sequence, fault};
use crate::mediators::script;
use crate::message::properties::Value;
use crate::script::js::StoreCall;
use async_trait::async_trait;
use std::sync::Arc;

/// The property, and the key in the store.
pub const NAME: &str = "mockDB";

/// What answers, with the data that its definition begins with.
pub struct Data {
    pub begins: Arc<str>,
    pub inner: Arc<Sequence>,
}

#[async_trait(?Send)]
impl Mediator for Data {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        exchange
            .properties
            .set(NAME, Value::Text(Arc::clone(&self.begins)));
        self.inner.run(exchange).await
    }
}

/// Puts the kept data in front of a script; gives what the script will find.
pub fn take_up(exchange: &mut Exchange) -> Option<String> {
    let store = script::store_of(exchange);
    let kept = exchange
        .worker
        .runtime
        .stores
        .call(&store, &StoreCall::Get(NAME.to_owned()));
    // What a script has put there itself may be no text.
    if let Ok(Some(kept)) = kept {
        let text = serde_json::from_str::<String>(&kept).unwrap_or(kept);
        exchange.properties.set(NAME, Value::text(text));
    }
    exchange.properties.text(NAME)
}

/// Keeps what a script has made of the data.
pub fn keep(exchange: &Exchange, before: Option<&str>) -> Result<(), Fault> {
    let Some(after) = exchange
        .properties
        .text(NAME)
        .filter(|after| Some(after.as_str()) != before)
    else {
        return Ok(());
    };
    let store = script::store_of(exchange);
    let text = crate::message::json::text(&after.into());
    let set = StoreCall::Set(NAME.to_owned(), text, None);
    match exchange.worker.runtime.stores.call(&store, &set) {
        Ok(_) => Ok(()),
        Err(reason) => Err(Fault::new(
            fault::code::MEDIATION,
            Origin::Script,
            format!("`{NAME}` cannot be kept: {reason}"),
        )),
    }
}
