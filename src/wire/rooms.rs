//! What one thread keeps for all its connections: where requests are read into and heads of answers written, and the time as they tell it.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use super::sending::field;

pub(super) struct Rooms {
    read: RefCell<Box<[u8]>>,
    fronts: RefCell<Vec<Vec<u8>>>,
    date: RefCell<Date>,
}

/// Made once a second.
struct Date {
    second: u64,
    text: String,
}

const READ: usize = 64 * 1024;

/// So many fronts are kept; each has a few kilobytes.
const FRONTS: usize = 64;

impl Rooms {
    pub fn new() -> Self {
        Self {
            read: RefCell::new(vec![0; READ].into_boxed_slice()),
            fronts: RefCell::default(),
            date: RefCell::new(Date {
                second: 0,
                text: String::new(),
            }),
        }
    }

    /// What comes from a client is read here first.
    pub fn read(&self) -> &RefCell<Box<[u8]>> {
        &self.read
    }

    /// Room for the head of an answer.
    pub fn front(&self) -> Vec<u8> {
        self.fronts.borrow_mut().pop().unwrap_or_default()
    }

    pub fn take_back(&self, mut front: Vec<u8>) {
        let mut fronts = self.fronts.borrow_mut();
        if fronts.len() < FRONTS {
            front.clear();
            fronts.push(front);
        }
    }

    /// Writes the header that says what time it is (RFC 9110 6.6.1).
    pub fn write_date(&self, out: &mut Vec<u8>) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut date = self.date.borrow_mut();
        if date.second != second {
            date.second = second;
            date.text = httpdate::fmt_http_date(now);
        }
        field(out, "date", date.text.as_bytes());
    }
}
