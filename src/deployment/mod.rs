//! A folder of files becomes one immutable value.

pub mod car;
pub mod classify;
pub mod configs;
pub mod descriptor;
pub mod folder;
pub mod layout;
pub mod resources;
pub mod walk;
pub mod watch;
