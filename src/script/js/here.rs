//! An engine in the very thread that serves requests, for scripts that have shown on a thread beside it that they are quick: for these, handing a
//! call over and its answer back costs more than the run.

use super::beside::LOOPS;
use super::engine::Engine;
use super::protocol::{Call, Reply, Source};
use super::store::Stores;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Microseconds. A run that takes no longer holds up others no more than other steps do.
const QUICK: u64 = 500;
/// So often in a row a script has to have been quick. One slow run, and it has to show it again.
const PROVEN: u32 = 16;

pub struct Here {
    stores: Arc<Stores>,
    engine: RefCell<Option<Ready>>,
    /// How often each script was quick, in a row.
    quick: RefCell<HashMap<u64, u32>>,
}

struct Ready {
    engine: Engine,
    /// Whose store the run uses.
    whose: Rc<RefCell<Arc<str>>>,
    known: Vec<u64>,
}

impl Here {
    pub fn new(stores: Arc<Stores>) -> Here {
        Here {
            stores,
            engine: RefCell::default(),
            quick: RefCell::default(),
        }
    }

    /// How long a run took beside.
    pub fn note(&self, script: u64, took: u64, most: usize) {
        let mut quick = self.quick.borrow_mut();
        if quick.len() >= most {
            quick.clear();
        }
        let count = quick.entry(script).or_default();
        *count = if took <= QUICK { *count + 1 } else { 0 };
    }

    pub fn takes(&self, script: u64) -> bool {
        self.quick
            .borrow()
            .get(&script)
            .is_some_and(|count| *count >= PROVEN)
    }

    /// Runs a script that `takes` was true of. `most`: so many scripts an engine may know. An error: there is no engine.
    pub fn run(&self, call: Call, store: Arc<str>, source: &Source, most: usize) -> Result<Reply, String> {
        let mut engine = self.engine.borrow_mut();
        let script = call.script;
        let ready = match engine.take().filter(|ready| ready.known.len() < most) {
            Some(ready) => engine.insert(ready),
            None => engine.insert(self.start()?),
        };
        if !ready.known.contains(&script) {
            ready.known.push(script);
            ready.engine.learn(script, source.clone());
        }
        *ready.whose.borrow_mut() = store;
        let reply = ready.engine.run(call, None);
        if reply.took > QUICK {
            self.quick.borrow_mut().remove(&script);
        }
        Ok(reply)
    }

    fn start(&self) -> Result<Ready, String> {
        let whose = Rc::new(RefCell::new(Arc::<str>::from("")));
        let port = {
            let (whose, stores) = (Rc::clone(&whose), Arc::clone(&self.stores));
            Rc::new(move |call: &_| stores.call(&whose.borrow(), call))
        };
        Ok(Ready {
            engine: Engine::new(Some(LOOPS), port)?,
            whose,
            known: Vec::new(),
        })
    }
}
