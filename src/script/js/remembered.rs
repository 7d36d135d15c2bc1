//! What scripts have answered that looked at nothing but what they were given: whoever is given the same answers the same, without a run.

use super::protocol::{Addressing, Bag, Change, Datum, Given, Outcome, Reply};
use crate::message::json::JsonLimits;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Answers of one script.
const ANSWERS: usize = 16;
/// Bytes of what a script was given, and of what it answered. More is rarely given twice, and takes the room of many others.
const GIVEN: usize = 4 << 10;
const ANSWERED: usize = 64 << 10;
/// Bytes of all together. Beyond them all is forgotten.
const ALL: usize = 8 << 20;
/// A script that so often in a row was given what it had not met before is not looked after any more.
const IN_VAIN: u32 = 256;
/// What stands around texts and lists, about.
const AROUND: usize = 64;

/// Of one core.
#[derive(Debug, Default)]
pub struct Remembered {
    scripts: HashMap<u64, Script>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Script {
    /// A ring, once it is full.
    answers: Vec<Answer>,
    oldest: usize,
    in_vain: u32,
}

#[derive(Debug)]
struct Answer {
    given: Given,
    kept: Rc<Kept>,
    bytes: usize,
}

/// A reply, and what has been found out about it.
#[derive(Debug)]
pub struct Kept {
    pub reply: Reply,
    /// Its JSON bodies are JSON, within these limits.
    pub checked: Cell<Option<JsonLimits>>,
}

/// What a script has answered, now or once before.
#[derive(Debug, Clone)]
pub struct Answered {
    pub kept: Rc<Kept>,
    pub remembered: bool,
}

impl Answered {
    pub fn now(reply: Reply) -> Answered {
        let checked = Cell::default();
        Answered {
            kept: Rc::new(Kept { reply, checked }),
            remembered: false,
        }
    }

    /// The processor time that it took.
    pub fn took(&self) -> Duration {
        match self.remembered {
            true => Duration::ZERO,
            false => Duration::from_micros(self.kept.reply.took),
        }
    }
}

impl Remembered {
    pub fn find(&mut self, script: u64, given: &Given) -> Option<Answered> {
        let script = self.scripts.get_mut(&script)?;
        let mut answers = script.answers.iter();
        if let Some(found) = answers.find(|answer| answer.given.looks_like(given)) {
            script.in_vain = 0;
            return Some(Answered {
                kept: Rc::clone(&found.kept),
                remembered: true,
            });
        }
        script.in_vain = script.in_vain.saturating_add(1);
        if script.in_vain == IN_VAIN {
            self.bytes -= script.answers.drain(..).map(|answer| answer.bytes).sum::<usize>();
        }
        None
    }

    /// What is to be handed over to `keep` with the answer that is not there yet, unless it is not worth it.
    pub fn copy(&mut self, script: u64, given: &Given) -> Option<Given> {
        let worth = self.script(script).in_vain < IN_VAIN && weight_of_given(given) <= GIVEN;
        worth.then(|| given.clone())
    }

    pub fn keep(&mut self, script: u64, given: Given, answered: &Answered) {
        let reply = &answered.kept.reply;
        if !reply.lasts || !matches!(reply.outcome, Outcome::Done(_)) {
            return;
        }
        let weight = weight_of_reply(reply);
        if weight > ANSWERED {
            return;
        }
        let bytes = size_of::<Answer>() + size_of::<Kept>() + weight_of_given(&given) + weight;
        if self.bytes + bytes > ALL {
            *self = Remembered::default();
        }
        let script = self.script(script);
        // Others may have been given the same meanwhile, or enough else for it not to be worth it any more.
        let known = |answer: &Answer| answer.given.looks_like(&given);
        if script.in_vain >= IN_VAIN || script.answers.iter().any(known) {
            return;
        }
        let kept = Rc::clone(&answered.kept);
        let freed = script.put(Answer { given, kept, bytes });
        self.bytes = self.bytes + bytes - freed;
    }

    fn script(&mut self, id: u64) -> &mut Script {
        if !self.scripts.contains_key(&id) {
            if self.bytes + AROUND > ALL {
                *self = Remembered::default();
            }
            self.bytes += AROUND;
        }
        self.scripts.entry(id).or_default()
    }
}

impl Script {
    /// How many bytes went for it.
    fn put(&mut self, answer: Answer) -> usize {
        if self.answers.len() < ANSWERS {
            self.answers.push(answer);
            return 0;
        }
        let oldest = std::mem::replace(&mut self.answers[self.oldest], answer);
        self.oldest = (self.oldest + 1) % ANSWERS;
        oldest.bytes
    }
}

fn weight_of_given(given: &Given) -> usize {
    let bags = [
        &given.default,
        &given.axis2,
        &given.axis2_client,
        &given.transport,
        &given.operation,
        &given.variables,
        &given.entries,
    ];
    let bodies = given.bodies.iter().map(|(_, text)| AROUND + weight_of_text(text));
    let request = given.request.as_ref().map_or(0, |request| {
        request.method.len() + request.path.len() + weight_of_text(&request.query)
    });
    bags.into_iter().map(weight_of_bag).sum::<usize>()
        + bodies.sum::<usize>()
        + request
        + given.addressing.as_ref().map_or(0, weight_of_addressing)
        + given.arguments.iter().map(weight_of_datum).sum::<usize>()
}

fn weight_of_bag(bag: &Bag) -> usize {
    let entries = bag.list.iter();
    entries
        .map(|(name, value)| AROUND + name.len() + value.as_ref().map_or(0, weight_of_datum))
        .sum()
}

fn weight_of_addressing(addressing: &Addressing) -> usize {
    let fields = [
        &addressing.to,
        &addressing.from,
        &addressing.reply_to,
        &addressing.fault_to,
        &addressing.relates_to,
        &addressing.action,
        &addressing.soap_action,
        &addressing.message_id,
    ];
    fields.into_iter().map(weight_of_text).sum()
}

fn weight_of_reply(reply: &Reply) -> usize {
    let value = match &reply.outcome {
        Outcome::Done(Some(value)) => weight_of_datum(value),
        _ => 0,
    };
    value + reply.changes.iter().map(weight_of_change).sum::<usize>()
}

fn weight_of_change(change: &Change) -> usize {
    AROUND
        + match change {
            Change::Set(_, name, value) => name.len() + value.as_ref().map_or(0, weight_of_datum),
            Change::Json(text) | Change::Xml(text) | Change::Envelope(text) | Change::Text(text) => {
                text.len()
            }
            Change::Header { xml: text, .. } | Change::Log { text, .. } => text.len(),
            Change::Address(_, text) => weight_of_text(text),
            Change::Flag(..) | Change::Wait(_) => 0,
        }
}

fn weight_of_datum(datum: &Datum) -> usize {
    size_of::<Datum>()
        + match datum {
            Datum::Text(text) | Datum::Json(text) | Datum::Xml(text) => text.len(),
            Datum::Boolean(_) | Datum::Integer(_) | Datum::Number(_) => 0,
        }
}

fn weight_of_text(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Failure, Flags, Form, Request};
    use super::*;

    const SCRIPT: u64 = 7;

    fn path(path: &str) -> Given {
        Given {
            request: Some(Request {
                path: path.to_owned(),
                ..Request::default()
            }),
            ..Given::default()
        }
    }

    fn text(text: impl Into<String>) -> Reply {
        Reply {
            outcome: Outcome::Done(None),
            changes: vec![Change::Text(text.into())],
            lasts: true,
            took: 3,
        }
    }

    impl Remembered {
        /// As a pool asks: whether the script had to run.
        fn ask(&mut self, script: u64, given: &Given, reply: Reply) -> bool {
            if let Some(answered) = self.find(script, given) {
                assert_eq!(answered.kept.reply, reply);
                return false;
            }
            let answered = Answered::now(reply);
            if let Some(given) = self.copy(script, given) {
                self.keep(script, given, &answered);
            }
            true
        }

        fn runs(&mut self, given: &Given, reply: Reply) -> [bool; 2] {
            [(); 2].map(|()| self.ask(SCRIPT, given, reply.clone()))
        }
    }

    #[test]
    fn the_same_is_answered_the_same_without_a_run() {
        let mut remembered = Remembered::default();
        assert!(remembered.ask(SCRIPT, &path("/a"), text("a")));
        let other_chance = Given {
            seed: 5,
            ..path("/a")
        };
        let found = remembered.find(SCRIPT, &other_chance).expect("it is kept");
        assert_eq!(
            (&found.kept.reply, found.remembered, found.took()),
            (&text("a"), true, Duration::ZERO)
        );
        assert_eq!(Answered::now(text("a")).took(), Duration::from_micros(3));
        assert!(remembered.find(SCRIPT + 1, &path("/a")).is_none());
    }

    #[test]
    fn whatever_differs_in_what_is_given_is_another_run() {
        let bag = |value: Datum| Bag {
            all: false,
            list: vec![("a".to_owned(), Some(value))],
        };
        let text_in = || bag(Datum::Text("x".to_owned()));
        let nothing = Given::default;
        let all = [
            nothing(),
            Given {
                default: text_in(),
                ..nothing()
            },
            Given {
                default: bag(Datum::Number(0.0)),
                ..nothing()
            },
            Given {
                default: bag(Datum::Number(-0.0)),
                ..nothing()
            },
            Given {
                axis2: text_in(),
                ..nothing()
            },
            Given {
                axis2_client: text_in(),
                ..nothing()
            },
            Given {
                transport: text_in(),
                ..nothing()
            },
            Given {
                operation: text_in(),
                ..nothing()
            },
            Given {
                variables: text_in(),
                ..nothing()
            },
            Given {
                entries: text_in(),
                ..nothing()
            },
            Given {
                bodies: vec![(Form::Json, None)],
                ..nothing()
            },
            path("/"),
            Given {
                addressing: Some(Addressing::default()),
                ..nothing()
            },
            Given {
                flags: Flags {
                    get: true,
                    ..Flags::default()
                },
                ..nothing()
            },
            Given {
                arguments: vec![Datum::Integer(1)],
                ..nothing()
            },
            Given {
                now: Some(1),
                ..nothing()
            },
        ];
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                assert_eq!(one.looks_like(other), at == other_at, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_hangs_on_more_than_was_given_is_run_each_time() {
        let ended = |outcome: Outcome, lasts: bool| Reply {
            outcome,
            lasts,
            ..text("a")
        };
        let mut remembered = Remembered::default();
        for reply in [
            ended(Outcome::Done(None), false),
            ended(Outcome::NeedsAll, true),
            ended(Outcome::Failed(Failure::default()), true),
        ] {
            assert_eq!(remembered.runs(&path("/a"), reply), [true, true]);
        }
    }

    #[test]
    fn the_oldest_of_many_answers_goes() {
        let mut remembered = Remembered::default();
        let paths: Vec<Given> = (0..=ANSWERS).map(|n| path(&n.to_string())).collect();
        let runs = |remembered: &mut Remembered, at: usize| remembered.ask(SCRIPT, &paths[at], text("a"));
        assert!((0..ANSWERS).all(|at| runs(&mut remembered, at)));
        let full = remembered.bytes;
        assert!((0..ANSWERS).all(|at| !runs(&mut remembered, at)));
        assert!(runs(&mut remembered, ANSWERS));
        assert!((1..=ANSWERS).all(|at| !runs(&mut remembered, at)));
        assert!(runs(&mut remembered, 0) && runs(&mut remembered, 1));
        assert_eq!(remembered.scripts[&SCRIPT].answers.len(), ANSWERS);
        assert!(
            remembered.bytes.abs_diff(full) < 10,
            "{} {full}",
            remembered.bytes
        );
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let mut remembered = Remembered::default();
        let large = "a".repeat(GIVEN + 1);
        assert_eq!(remembered.runs(&path(&large), text("a")), [true, true]);
        let header = Bag::everything(vec![(large.clone(), None)]);
        let headers = Given {
            transport: header,
            ..Given::default()
        };
        assert_eq!(remembered.runs(&headers, text("a")), [true, true]);
        let reply = text("a".repeat(ANSWERED));
        assert_eq!(remembered.runs(&path("/a"), reply), [true, true]);
        let reply = text("a".repeat(ANSWERED - 1000));
        assert_eq!(remembered.runs(&path("/a"), reply), [true, false]);
        let value = Reply {
            outcome: Outcome::Done(Some(Datum::Json("1".repeat(ANSWERED)))),
            ..text("")
        };
        assert_eq!(remembered.runs(&path("/b"), value), [true, true]);
    }

    #[test]
    fn all_is_forgotten_when_it_is_too_much_together() {
        let mut remembered = Remembered::default();
        let reply = || text("a".repeat(60 << 10));
        let mut most = 0;
        for script in 0..200 {
            assert!(remembered.ask(script, &path("/a"), reply()));
            most = most.max(remembered.bytes);
        }
        assert!(most > ALL - ANSWERED && most <= ALL, "{most}");
        let left = remembered.scripts.len();
        assert!(left < 100, "{left}");
        let script = &remembered.scripts[&199];
        assert_eq!(script.answers.len(), 1);
        let again = remembered.ask(199, &path("/a"), reply());
        assert!(!again);
    }

    #[test]
    fn scripts_that_are_only_known_count_too() {
        let mut remembered = Remembered::default();
        let pass = ALL / AROUND + 1;
        for script in 0..pass as u64 {
            assert!(remembered.copy(script, &path("/a")).is_some());
        }
        assert!(remembered.scripts.len() < pass);
    }

    #[test]
    fn a_script_that_never_meets_the_same_again_is_not_looked_after() {
        let mut remembered = Remembered::default();
        let numbered = |n: u32| path(&n.to_string());
        for n in 0..IN_VAIN - 1 {
            assert!(remembered.ask(SCRIPT, &numbered(n), text("a")));
        }
        // Just in time.
        assert!(!remembered.ask(SCRIPT, &numbered(IN_VAIN - 2), text("a")));
        for n in 0..IN_VAIN {
            assert!(remembered.copy(SCRIPT, &numbered(n)).is_some());
            assert!(remembered.find(SCRIPT, &path(&format!("/{n}"))).is_none());
        }
        assert_eq!(remembered.copy(SCRIPT, &path("/a")).map(|_| ()), None);
        assert_eq!(remembered.runs(&path("/a"), text("a")), [true, true]);
        assert_eq!(remembered.bytes, AROUND);
        // Another one is.
        assert!(remembered.ask(SCRIPT + 1, &path("/a"), text("a")));
        assert!(!remembered.ask(SCRIPT + 1, &path("/a"), text("a")));
    }
}
