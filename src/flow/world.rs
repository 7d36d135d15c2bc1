//! What expressions read of the world beside the message.

use super::request::Request;
use super::{Catalog, Worker};
use crate::expression::World;
use crate::message::json::convert::ConversionSettings;
use crate::message::payload::PayloadLimits;
use crate::message::properties::Value;
use std::net::IpAddr;

/// What expressions read of the world beside the message.
pub(super) struct Around<'a> {
    pub catalog: &'a Catalog,
    pub worker: &'a Worker,
    pub request: &'a Request,
}

impl World for Around<'_> {
    fn entry(&self, key: &str) -> Option<Value> {
        self.catalog.entries.get(key).cloned()
    }

    fn config(&self, name: &str) -> Option<&str> {
        self.catalog.surroundings.configs.get(name).map(String::as_str)
    }

    fn environment(&self, name: &str) -> Option<&str> {
        self.catalog
            .surroundings
            .environment
            .get(name)
            .map(String::as_str)
    }

    fn file(&self, name: &str) -> Option<&str> {
        self.catalog.surroundings.file.get(name).map(String::as_str)
    }

    fn server_host(&self) -> &str {
        &self.catalog.surroundings.server_host
    }

    fn server_address(&self) -> IpAddr {
        self.request.local.ip()
    }

    fn now_millis(&self) -> i64 {
        self.worker.runtime.clock.millis()
    }

    fn new_message_id(&self) -> String {
        self.worker.runtime.message_id()
    }

    fn limits(&self) -> &PayloadLimits {
        &self.catalog.limits
    }

    fn conversion(&self) -> &ConversionSettings {
        &self.catalog.conversion
    }

    fn query(&self) -> Option<&str> {
        self.request.query()
    }
}
