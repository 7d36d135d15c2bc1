//! What the management tells of scripts: what they may use and have spent, and what they keep; and the order to forget it.

use crate::script::js::{Isolation, Meters, Stores};
use crate::text::suggest::did_you_mean;
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// What is to be forgotten of all APIs.
const ALL: &str = "*";

pub fn spent(meters: &Meters) -> Value {
    let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let list: Vec<Value> = meters
        .scripts()
        .iter()
        .map(|(name, meter)| {
            json!({
                "name": &**name,
                "calls": meter.calls,
                "remembered": meter.remembered,
                "faults": meter.faults,
                "kills": meter.kills,
                "refused": meter.refused,
                "processorMs": millis(meter.processor),
                "longestProcessorMs": millis(meter.most),
                "longestMs": millis(meter.longest),
            })
        })
        .collect();
    let (waiting, running) = meters.queue();
    let workers: Vec<Value> = meters
        .memory()
        .iter()
        .map(|worker| json!({ "process": worker.process, "memory": worker.now, "peak": worker.peak }))
        .collect();
    let limits = meters.settings().map(|settings| {
        json!({
            "isolation": settings.isolation.word(),
            "deadlineMs": settings.time.as_millis() as u64,
            // Of a thread nobody can say what it holds.
            "memory": matches!(settings.isolation, Isolation::Process(_)).then_some(settings.memory),
            "workersPerCore": settings.workers,
        })
    });
    json!({
        "count": list.len(), "list": list, "limits": limits, "waiting": waiting, "running": running, "workers": workers,
    })
}

pub fn kept(stores: &Stores) -> Value {
    let list: Vec<Value> = stores
        .fill()
        .iter()
        .map(|fill| json!({ "name": fill.api, "keys": fill.keys, "bytes": fill.bytes }))
        .collect();
    json!({ "count": list.len(), "list": list })
}

/// `{"name": "Shop", "status": "cleared"}`; the name `*` means all.
pub fn clear(body: &[u8], stores: &Stores) -> Result<Value, (StatusCode, String)> {
    let bad = |reason: &str| (StatusCode::BAD_REQUEST, reason.to_owned());
    let order: Value = serde_json::from_slice(body).map_err(|_| bad("the body is not JSON"))?;
    let (Some(name), Some("cleared")) = (order["name"].as_str(), order["status"].as_str()) else {
        return Err(bad("an order is {\"name\": \"…\", \"status\": \"cleared\"}"));
    };
    let cleared = match name {
        ALL => stores.clear(None),
        name => stores.clear(Some(name)),
    };
    let Some(keys) = cleared else {
        let fill = stores.fill();
        let help = did_you_mean(name, fill.iter().map(|fill| fill.api.as_str()));
        let help = help.map_or_else(String::new, |help| format!("; {help}"));
        let reason = format!("no script of `{name}` keeps anything{help}");
        return Err((StatusCode::NOT_FOUND, reason));
    };
    tracing::info!(name, keys, why = "an operator", "A store is cleared.");
    let keys = match keys {
        1 => "1 key is".to_owned(),
        keys => format!("{keys} keys are"),
    };
    let whose = match name {
        ALL => "all APIs",
        name => name,
    };
    Ok(json!({ "message": format!("{keys} forgotten of {whose}") }))
}
