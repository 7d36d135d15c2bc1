//! What travels: requests and responses, their headers and payloads.

pub mod json;
