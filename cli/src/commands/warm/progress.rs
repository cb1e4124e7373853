//! How far a warm-up is, told on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use larder_cache::Warmed;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A bar where somebody looks on, a line every now and then where it is kept.
pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines {
        /// When the last line was written.
        last: Instant,
    },
}

impl Progress {
    pub(crate) fn begin(moving: usize) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines { last: Instant::now() };
        }
        let style = ProgressStyle::with_template(TEMPLATE).expect("braces and names, all of them known");
        Self::Bar(ProgressBar::new(moving as u64).with_style(style.progress_chars("=> ")))
    }

    pub(crate) fn show(&mut self, warmed: &Warmed) {
        let done = done(warmed);
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!("{} bytes", warmed.bytes));
                bar.set_position(done as u64);
            }
            Self::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                // That nobody reads it is no reason to stop.
                let _ = writeln!(io::stderr(), "{done} of {} keys, {} bytes", warmed.moving, warmed.bytes);
            }
            Self::Lines { .. } => {}
        }
    }

    /// Leaves the bar as it stands.
    pub(crate) fn end(self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }
}

/// The keys for which all is done that can be done.
pub(crate) fn done(warmed: &Warmed) -> usize {
    warmed.copied + warmed.there + warmed.missing + warmed.failed
}

const TEMPLATE: &str = "[{bar:40}] {pos} of {len} keys, {msg}, {eta} left";
const LINE_EVERY: Duration = Duration::from_secs(1);
