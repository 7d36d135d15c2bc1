//! What scripts keep between requests: values by key, per API, in memory. It outlives deployments.

use super::protocol::{StoreCall, Stored};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// Keys of one API.
const KEYS: usize = 10_000;
/// Bytes of one API, keys included.
const SIZE: usize = 16 << 20;

#[derive(Debug, Default)]
pub struct Stores {
    apis: Mutex<HashMap<String, Store>>,
}

#[derive(Debug, Default)]
struct Store {
    /// JSON texts.
    values: BTreeMap<String, String>,
    size: usize,
}

impl Stores {
    pub fn call(&self, api: &str, call: &StoreCall) -> Stored {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match apis.get_mut(api) {
            Some(store) => store,
            None => apis.entry(api.to_owned()).or_default(),
        };
        store.call(call)
    }

    /// Forgets what the scripts of one API keep, or those of all.
    pub fn clear(&self, api: Option<&str>) {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        match api {
            Some(api) => drop(apis.remove(api)),
            None => apis.clear(),
        }
    }
}

impl Store {
    fn call(&mut self, call: &StoreCall) -> Stored {
        match call {
            StoreCall::Get(key) => Ok(self.values.get(key).cloned()),
            StoreCall::Set(key, value) => self.set(key, value.clone()).map(|()| None),
            StoreCall::Delete(key) => Ok(Some(self.remove(key).to_string())),
            StoreCall::Keys(prefix) => {
                let from = self.values.range(prefix.clone()..);
                let keys = from
                    .map(|(key, _)| key)
                    .take_while(|key| key.starts_with(prefix.as_str()));
                let keys: Vec<&String> = keys.collect();
                serde_json::to_string(&keys)
                    .map(Some)
                    .map_err(|error| error.to_string())
            }
            StoreCall::Add(key, by) => {
                let now: i64 = match self.values.get(key) {
                    None => 0,
                    Some(text) => text
                        .parse()
                        .map_err(|_| format!("`{key}` is not a whole number"))?,
                };
                let sum = now
                    .checked_add(*by)
                    .ok_or_else(|| format!("`{key}` is too large to count on"))?;
                self.set(key, sum.to_string())?;
                Ok(Some(sum.to_string()))
            }
            StoreCall::Clear => {
                *self = Store::default();
                Ok(None)
            }
        }
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let before = self.values.get(key).map_or(0, |known| key.len() + known.len());
        let size = self.size - before + key.len() + value.len();
        if size > SIZE {
            return Err(format!("the store of an API holds at most {} MiB", SIZE >> 20));
        }
        if before == 0 && self.values.len() >= KEYS {
            return Err(format!("the store of an API holds at most {KEYS} keys"));
        }
        self.size = size;
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> bool {
        match self.values.remove(key) {
            Some(value) => {
                self.size -= key.len() + value.len();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_keep_apart_and_counters_count() {
        let stores = Stores::default();
        let call = |api: &str, call| stores.call(api, &call);
        call("a", StoreCall::Set("k".into(), "{\"x\":1}".into())).unwrap();
        assert_eq!(call("b", StoreCall::Get("k".into())), Ok(None));
        assert_eq!(
            call("a", StoreCall::Get("k".into())),
            Ok(Some("{\"x\":1}".into()))
        );
        assert_eq!(call("a", StoreCall::Add("n".into(), 2)), Ok(Some("2".into())));
        assert_eq!(call("a", StoreCall::Add("n".into(), 2)), Ok(Some("4".into())));
        assert!(call("a", StoreCall::Add("k".into(), 2)).is_err());
        assert_eq!(call("a", StoreCall::Keys("k".into())), Ok(Some("[\"k\"]".into())));
        assert_eq!(call("a", StoreCall::Delete("k".into())), Ok(Some("true".into())));
        assert_eq!(call("a", StoreCall::Delete("k".into())), Ok(Some("false".into())));
        stores.clear(None);
        assert_eq!(call("a", StoreCall::Get("n".into())), Ok(None));
    }

    #[test]
    fn a_store_is_bounded() {
        let stores = Stores::default();
        let big = "x".repeat(SIZE);
        assert!(stores.call("a", &StoreCall::Set("k".into(), big)).is_err());
        for key in 0..KEYS {
            stores
                .call("a", &StoreCall::Set(key.to_string(), "1".into()))
                .unwrap();
        }
        assert!(
            stores
                .call("a", &StoreCall::Set("one more".into(), "1".into()))
                .is_err()
        );
        assert!(stores.call("a", &StoreCall::Set("1".into(), "2".into())).is_ok());
    }
}
