//! Stub.
pub fn format(_millis: i64, _pattern: &str) -> Result<String, String> {
    Err("not yet".into())
}
