//! The signals that end a command in good order.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `SIGINT`, `SIGTERM` and `SIGHUP`, seen from the moment this is made.
pub(crate) struct End {
    signals: [Signal; 3],
}

impl End {
    pub(crate) fn watch() -> io::Result<Self> {
        let [int, term, hup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self { signals: [int?, term?, hup?] })
    }

    /// Waits for any of them.
    pub(crate) async fn signalled(&mut self) {
        let [int, term, hup] = &mut self.signals;
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    }
}
