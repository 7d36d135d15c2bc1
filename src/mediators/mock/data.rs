//! The data of a mock: what newer scripts of API Manager read from a property (`mockDataset`, before that `mockDB`) and put back there, kept from
//! request to request.
//!
//! It lies in the store of the API, under the property's name: `mc.store` sees it, and `myelin store clear` brings back what the definition says
//! (`x-wso2-mock-dataset`, `x-wso2-mockDB`).

use crate::flow::{Exchange, Fault, Mediator, Origin, Outcome, Sequence, fault};
use crate::mediators::script;
use crate::message::properties::Value;
use crate::script::js::StoreCall;
use async_trait::async_trait;
use std::sync::Arc;

/// The properties, which are the keys in the store.
pub const NAMES: [&str; 2] = ["mockDataset", "mockDB"];

/// What answers, with the data that its definition begins with.
pub struct Data {
    pub name: &'static str,
    pub begins: Arc<str>,
    pub inner: Arc<Sequence>,
}

#[async_trait(?Send)]
impl Mediator for Data {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        exchange
            .properties
            .set(self.name, Value::Text(Arc::clone(&self.begins)));
        self.inner.run(exchange).await
    }
}

/// Puts the kept data in front of a script; gives what the script will find.
pub fn take_up(exchange: &mut Exchange, name: &str) -> Option<String> {
    let store = script::store_of(exchange);
    let kept = exchange
        .worker
        .runtime
        .stores
        .call(&store, &StoreCall::Get(name.to_owned()));
    // What a script has put there itself may be no text.
    if let Ok(Some(kept)) = kept {
        let text = serde_json::from_str::<String>(&kept).unwrap_or(kept);
        exchange.properties.set(name, Value::text(text));
    }
    exchange.properties.text(name)
}

/// Keeps what a script has made of the data.
pub fn keep(exchange: &Exchange, name: &str, before: Option<&str>) -> Result<(), Fault> {
    let Some(after) = exchange
        .properties
        .text(name)
        .filter(|after| Some(after.as_str()) != before)
    else {
        return Ok(());
    };
    let store = script::store_of(exchange);
    let text = crate::message::json::text(&after.into());
    let set = StoreCall::Set(name.to_owned(), text, None);
    match exchange.worker.runtime.stores.call(&store, &set) {
        Ok(_) => Ok(()),
        Err(reason) => Err(Fault::new(
            fault::code::MEDIATION,
            Origin::Script,
            format!("`{name}` cannot be kept: {reason}"),
        )),
    }
}
