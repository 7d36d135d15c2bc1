//! JavaScript: boa, in worker processes, or on a thread beside and, once a script is known to be quick, in the one that serves requests.

mod beside;
mod child;
mod engine;
mod here;
mod lane;
pub mod members;
mod meter;
mod pool;
mod process;
mod processor;
mod program;
mod protocol;
mod remembered;
pub(super) mod scan;
mod soap;
mod store;

pub use self::meter::{Ended, Meters};
pub use self::pool::{Isolation, NoAnswer, Pool, Settings};
pub use self::process::serve;
pub(super) use self::processor::micros;
pub use self::program::{Asked, Entry, Program, Which};
pub use self::protocol::{
    Addressing, Bag, Change, Datum, Failure, Field, Flag, Flags, Form, Given, Level, Outcome, Reply, Request,
    Scope, StoreCall,
};
pub use self::remembered::{Answered, Kept};
pub use self::store::Stores;
