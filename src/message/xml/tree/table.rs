//! The names of a tree, each kept once.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::NameTest;

/// A text that occurs in names: a prefix, a local name, a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol(u32);

impl Symbol {
    pub const EMPTY: Symbol = Symbol(0);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameId(u32);

impl NameId {
    /// What has no name has this one.
    pub const NONE: NameId = NameId(0);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub prefix: Symbol,
    pub local: Symbol,
    pub uri: Symbol,
}

#[derive(Clone)]
pub struct NameTable {
    text: String,
    symbols: Vec<(u32, u32)>,
    symbol_slots: Slots,
    names: Vec<Name>,
    name_slots: Slots,
}

impl NameTable {
    pub fn new() -> NameTable {
        let mut table = NameTable {
            text: String::new(),
            symbols: Vec::new(),
            symbol_slots: Slots::default(),
            names: Vec::new(),
            name_slots: Slots::default(),
        };
        let empty = table.intern_symbol("");
        table.intern("", "", empty);
        // The name of a namespace node that is always there, so that it can be looked for.
        table.intern("", "xml", empty);
        table
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn size(&self) -> usize {
        self.text.capacity()
            + (self.symbols.capacity() + self.names.capacity()) * 12
            + (self.symbol_slots.0.len() + self.name_slots.0.len()) * 8
    }

    #[inline]
    pub fn name(&self, id: NameId) -> Name {
        self.names[id.index()]
    }

    #[inline]
    pub fn symbol(&self, symbol: Symbol) -> &str {
        let (start, end) = self.symbols[symbol.0 as usize];
        &self.text[start as usize..end as usize]
    }

    /// The symbol of a text, if it occurs.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        let hash = hash(text.as_bytes(), 0);
        self.symbol_slots
            .find(hash, |number| self.symbol(Symbol(number)) == text)
            .ok()
            .map(Symbol)
    }

    pub fn intern_symbol(&mut self, text: &str) -> Symbol {
        let hash = hash(text.as_bytes(), 0);
        match self
            .symbol_slots
            .find(hash, |number| self.symbol(Symbol(number)) == text)
        {
            Ok(number) => Symbol(number),
            Err(slot) => {
                let number = self.symbols.len() as u32;
                let start = self.text.len() as u32;
                self.text.push_str(text);
                self.symbols.push((start, self.text.len() as u32));
                self.symbol_slots.insert(slot, hash, number);
                Symbol(number)
            }
        }
    }

    pub fn intern(&mut self, prefix: &str, local: &str, uri: Symbol) -> NameId {
        let mut hash = hash(local.as_bytes(), u64::from(uri.0) + 1);
        if !prefix.is_empty() {
            hash = self::hash(prefix.as_bytes(), hash);
        }
        let same = |number: u32| {
            let name = self.names[number as usize];
            name.uri == uri && self.symbol(name.local) == local && self.symbol(name.prefix) == prefix
        };
        match self.name_slots.find(hash, same) {
            Ok(number) => NameId(number),
            Err(slot) => {
                let name = Name {
                    prefix: self.intern_symbol(prefix),
                    local: self.intern_symbol(local),
                    uri,
                };
                let number = self.names.len() as u32;
                self.names.push(name);
                self.name_slots.insert(slot, hash, number);
                NameId(number)
            }
        }
    }

    /// What a name with this namespace and local name is here; several prefixes may stand for the namespace.
    pub fn test(&self, uri: Symbol, local: Symbol) -> NameTest {
        let mut found = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, name)| name.uri == uri && name.local == local);
        match (found.next(), found.next()) {
            (None, _) => NameTest::Never,
            (Some((number, _)), None) => NameTest::Name(NameId(number as u32)),
            _ => NameTest::Exactly(uri, local),
        }
    }
}

/// A hash table of numbers by open addressing; a slot holds part of the hash and the number plus one.
#[derive(Clone, Default)]
struct Slots(Vec<(u32, u32)>, usize);

impl Slots {
    /// The number that is the same, or the slot where it belongs.
    #[inline]
    fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Result<u32, usize> {
        if self.0.is_empty() {
            return Err(0);
        }
        let mask = self.0.len() - 1;
        let mut slot = (hash >> 32) as usize & mask;
        loop {
            let (part, number) = self.0[slot];
            if number == 0 {
                return Err(slot);
            }
            if part == (hash >> 32) as u32 && same(number - 1) {
                return Ok(number - 1);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn insert(&mut self, slot: usize, hash: u64, number: u32) {
        if (self.1 + 1) * 2 > self.0.len() {
            self.grow();
            self.place(hash, number);
        } else {
            self.0[slot] = ((hash >> 32) as u32, number + 1);
        }
        self.1 += 1;
    }

    fn place(&mut self, hash: u64, number: u32) {
        let mask = self.0.len() - 1;
        let mut slot = (hash >> 32) as usize & mask;
        while self.0[slot].1 != 0 {
            slot = (slot + 1) & mask;
        }
        self.0[slot] = ((hash >> 32) as u32, number + 1);
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.0);
        self.0 = vec![(0, 0); (old.len() * 2).max(32)];
        for (part, number) in old.into_iter().filter(|&(_, number)| number != 0) {
            self.place(u64::from(part) << 32, number - 1);
        }
    }
}

/// Seeded once per process, so that nobody outside can make names that collide.
fn hash(bytes: &[u8], start: u64) -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| RandomState::new().hash_one(0x6d79_656c_696e_u64));
    let mut state = seed ^ start.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state = fold(
            state,
            u64::from_le_bytes([
                chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
            ]),
            seed,
        );
    }
    let rest = chunks
        .remainder()
        .iter()
        .fold(0_u64, |rest, &byte| rest << 8 | u64::from(byte));
    fold(state, rest, seed)
}

fn fold(state: u64, word: u64, seed: u64) -> u64 {
    let product = u128::from(state ^ word ^ 0xA076_1D64_78BD_642F) * u128::from(seed | 1);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_found_again() {
        let mut table = NameTable::new();
        let uri = table.intern_symbol("urn:x");
        let names: Vec<NameId> = (0..5000)
            .map(|number| table.intern("p", &format!("name-number-{number}"), uri))
            .collect();
        for (number, id) in names.iter().enumerate() {
            assert_eq!(table.intern("p", &format!("name-number-{number}"), uri), *id);
        }
        assert_ne!(table.intern("q", "name-number-1", uri), names[1]);
        assert_eq!(
            table.find("name-number-4999"),
            Some(table.name(names[4999]).local)
        );
        assert_eq!(table.find("absent"), None);
    }
}
