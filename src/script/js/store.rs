//! What scripts keep between requests: values by key, per API, in memory, until they are over. It outlives deployments.

use super::protocol::{StoreCall, Stored};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys of one API.
const KEYS: usize = 10_000;
/// Bytes of one API, keys included.
const SIZE: usize = 16 << 20;
/// Nothing is kept longer by a time of its own.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

#[derive(Debug, Default)]
pub struct Stores {
    apis: Mutex<HashMap<String, Store>>,
}

#[derive(Debug, Default)]
struct Store {
    values: BTreeMap<String, Kept>,
    /// When which key is over.
    ends: BTreeSet<(Instant, String)>,
    size: usize,
}

#[derive(Debug)]
struct Kept {
    /// JSON text.
    value: String,
    until: Option<Instant>,
}

/// How full the store of one API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    pub api: String,
    pub keys: usize,
    pub bytes: usize,
}

impl Stores {
    pub fn call(&self, api: &str, call: &StoreCall) -> Stored {
        self.call_at(Instant::now(), api, call)
    }

    fn call_at(&self, now: Instant, api: &str, call: &StoreCall) -> Stored {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match apis.get_mut(api) {
            Some(store) => store,
            None => apis.entry(api.to_owned()).or_default(),
        };
        store.forget_old(now);
        store.call(now, call)
    }

    /// Forgets what the scripts of one API keep, or those of all. Says how many keys that were; `None`: there is no such API.
    pub fn clear(&self, api: Option<&str>) -> Option<usize> {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        match api {
            Some(api) => apis.remove(api).map(|store| store.values.len()),
            None => Some(apis.drain().map(|(_, store)| store.values.len()).sum()),
        }
    }

    /// Of every API whose scripts have asked for their store, by name.
    pub fn fill(&self) -> Vec<Fill> {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let fill = |(api, store): (&String, &mut Store)| {
            store.forget_old(now);
            Fill {
                api: api.clone(),
                keys: store.values.len(),
                bytes: store.size,
            }
        };
        let mut list: Vec<Fill> = apis.iter_mut().map(fill).collect();
        list.sort_by(|one, other| one.api.cmp(&other.api));
        list
    }
}

impl Store {
    fn forget_old(&mut self, now: Instant) {
        while let Some((end, _)) = self.ends.first()
            && *end <= now
            && let Some((_, key)) = self.ends.pop_first()
            && let Some(kept) = self.values.remove(&key)
        {
            self.size -= key.len() + kept.value.len();
        }
    }

    fn call(&mut self, now: Instant, call: &StoreCall) -> Stored {
        match call {
            StoreCall::Get(key) => Ok(self.values.get(key).map(|kept| kept.value.clone())),
            StoreCall::Set(key, value, millis) => {
                let until = millis.map(|millis| now + Duration::from_millis(millis).min(LONGEST));
                self.set(key, value.clone(), until).map(|()| None)
            }
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
                let (before, until) = match self.values.get(key) {
                    None => (0, None),
                    Some(kept) => {
                        let number = kept.value.parse::<i64>();
                        let number = number.map_err(|_| format!("`{key}` is not a whole number"))?;
                        (number, kept.until)
                    }
                };
                let sum = before
                    .checked_add(*by)
                    .ok_or_else(|| format!("`{key}` is too large to count on"))?;
                // It is over when it would have been.
                self.set(key, sum.to_string(), until)?;
                Ok(Some(sum.to_string()))
            }
            StoreCall::Clear => {
                *self = Store::default();
                Ok(None)
            }
        }
    }

    fn set(&mut self, key: &str, value: String, until: Option<Instant>) -> Result<(), String> {
        let known = self.values.get(key);
        let before = known.map_or(0, |known| key.len() + known.value.len());
        let is_new = known.is_none();
        let size = self.size - before + key.len() + value.len();
        if size > SIZE {
            return Err(format!("the store of an API holds at most {} MiB", SIZE >> 20));
        }
        if is_new && self.values.len() >= KEYS {
            return Err(format!("the store of an API holds at most {KEYS} keys"));
        }
        self.remove(key);
        self.size = size;
        if let Some(until) = until {
            self.ends.insert((until, key.to_owned()));
        }
        self.values.insert(key.to_owned(), Kept { value, until });
        Ok(())
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(kept) = self.values.remove(key) else {
            return false;
        };
        if let Some(until) = kept.until {
            self.ends.remove(&(until, key.to_owned()));
        }
        self.size -= key.len() + kept.value.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> StoreCall {
        StoreCall::Set(key.into(), value.into(), None)
    }

    #[test]
    fn apis_keep_apart_and_counters_count() {
        let stores = Stores::default();
        let call = |api: &str, call| stores.call(api, &call);
        call("a", set("k", "{\"x\":1}")).unwrap();
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
        let fill = |api: &str, keys, bytes| Fill {
            api: api.into(),
            keys,
            bytes,
        };
        assert_eq!(stores.fill(), [fill("a", 1, 2), fill("b", 0, 0)]);
        assert_eq!(stores.clear(Some("c")), None);
        assert_eq!(stores.clear(None), Some(1));
        assert_eq!(call("a", StoreCall::Get("n".into())), Ok(None));
    }

    #[test]
    fn a_store_is_bounded() {
        let stores = Stores::default();
        let big = "x".repeat(SIZE);
        assert!(stores.call("a", &set("k", &big)).is_err());
        for key in 0..KEYS {
            stores.call("a", &set(&key.to_string(), "1")).unwrap();
        }
        assert!(stores.call("a", &set("one more", "1")).is_err());
        assert!(stores.call("a", &set("1", "2")).is_ok());
    }

    #[test]
    fn what_is_over_is_gone_and_frees_its_room() {
        let stores = Stores::default();
        let begin = Instant::now();
        let at = |seconds, call| stores.call_at(begin + Duration::from_secs(seconds), "a", &call);
        let short = |key: &str, millis| StoreCall::Set(key.into(), "1".into(), Some(millis));
        at(0, short("k", 10_000)).unwrap();
        at(0, short("n", 10_000)).unwrap();
        at(0, short("longer", u64::MAX)).unwrap();
        // A counter is over when it would have been; a value that is set anew lives on.
        assert_eq!(at(5, StoreCall::Add("n".into(), 1)), Ok(Some("2".into())));
        at(5, short("k", 10_000)).unwrap();
        assert_eq!(at(10, StoreCall::Get("n".into())), Ok(None));
        assert_eq!(at(14, StoreCall::Get("k".into())), Ok(Some("1".into())));
        assert_eq!(at(15, StoreCall::Get("k".into())), Ok(None));
        at(15, short("k", 1_000)).unwrap();
        at(15, set("k", "2")).unwrap();
        assert_eq!(at(99, StoreCall::Get("k".into())), Ok(Some("2".into())));
        assert_eq!(
            at(99, StoreCall::Keys(String::new())),
            Ok(Some("[\"k\",\"longer\"]".into()))
        );
        at(99, StoreCall::Delete("k".into())).unwrap();
        at(99, StoreCall::Delete("longer".into())).unwrap();
        assert_eq!(stores.fill()[0].bytes, 0);
    }
}
