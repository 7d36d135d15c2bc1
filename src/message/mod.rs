//! What travels: requests and responses, their headers and payloads.

pub mod body;
pub mod encoding;
pub mod json;
pub mod media_type;
pub mod xml;
