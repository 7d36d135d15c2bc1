//! The signals that end a gateway, or make it reload.

use super::Exit;
use crate::deployment::watch::Trigger;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// From its making on, signals wait here; before, they would end the program at once.
pub(super) struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let (terminate, interrupt, hang_up) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        );
        drop(inside);
        Ok(Signals {
            runtime,
            terminate,
            interrupt,
            hang_up,
        })
    }

    /// Waits for SIGTERM or SIGINT, then until the requests that are there have ended; a second signal ends at once. SIGHUP reloads.
    pub fn wait(self, trigger: Trigger, drain: Box<dyn FnOnce() -> usize + Send>) -> io::Result<Exit> {
        let Signals {
            runtime,
            mut terminate,
            mut interrupt,
            mut hang_up,
        } = self;
        runtime.block_on(async {
            let (exit, name) = loop {
                tokio::select! {
                    _ = terminate.recv() => break (Exit::Success, "SIGTERM"),
                    _ = interrupt.recv() => break (Exit::Interrupted, "SIGINT"),
                    _ = hang_up.recv() => trigger.now(),
                }
            };
            tracing::info!("{name}: finishing the requests that are there; once more ends at once");
            let (sender, drained) = tokio::sync::oneshot::channel();
            std::thread::Builder::new()
                .name("drain".to_owned())
                .spawn(move || sender.send(drain()).ok())?;
            let cut = tokio::select! {
                cut = drained => cut.unwrap_or(0),
                _ = terminate.recv() => return Ok(Exit::Interrupted),
                _ = interrupt.recv() => return Ok(Exit::Interrupted),
            };
            if cut > 0 && exit == Exit::Success {
                tracing::warn!(cut, "stopped; connections were cut");
                return Ok(Exit::Findings);
            }
            tracing::info!("stopped");
            Ok(exit)
        })
    }
}
