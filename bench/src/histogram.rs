//! Latencies, counted in steps of at most 0.8 %.

use std::time::Duration;

/// Counts of durations, from a nanosecond to half an hour, in 128 steps per doubling.
#[derive(Debug)]
pub(crate) struct Histogram {
    steps: Box<[u32]>,
    count: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { steps: vec![0; STEPS].into(), count: 0 }
    }

    /// Counts one `duration`; one that is longer than the scale counts as its end.
    #[inline]
    pub(crate) fn add(&mut self, duration: Duration) {
        self.steps[step_of(duration.as_nanos() as u64).min(STEPS - 1)] += 1;
        self.count += 1;
    }

    /// How many durations were counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The duration, in microseconds, that a `share` of all durations does not exceed; 0 where there are none.
    ///
    /// Inside a step, durations are taken to be spread evenly.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut before = 0;
        for (step, count) in self.steps.iter().map(|count| u64::from(*count)).enumerate() {
            if before + count >= wanted {
                let (start, width) = bounds_of(step);
                let into = (wanted - before) as f64 / count as f64;
                return (start as f64 + width as f64 * into) / 1000.0;
            }
            before += count;
        }
        0.0
    }
}

/// The first 128 steps are a nanosecond wide; from there on, each doubling has 128, twice as wide as the ones before.
fn step_of(nanos: u64) -> usize {
    let octave = (nanos | (PER_OCTAVE - 1)).ilog2() - (PER_OCTAVE - 1).ilog2();
    let in_octave = nanos >> octave.saturating_sub(1);
    if octave == 0 { nanos as usize } else { (u64::from(octave - 1) * PER_OCTAVE + in_octave) as usize }
}

/// Start and width of a step, in nanoseconds.
fn bounds_of(step: usize) -> (u64, u64) {
    let step = step as u64;
    let Some(octave) = (step / PER_OCTAVE).checked_sub(1) else { return (step, 1) };
    ((step % PER_OCTAVE + PER_OCTAVE) << octave, 1 << octave)
}

const PER_OCTAVE: u64 = 128;
/// Up to 2^41 ns, which is 37 minutes.
const STEPS: usize = 35 * PER_OCTAVE as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_a_step_that_holds_it_and_is_narrow() {
        for nanos in (0..5000).chain([99_999, 1 << 20, (1 << 20) - 1, 3_141_592_653, (1 << 41) - 1]) {
            let (start, width) = bounds_of(step_of(nanos));
            assert!((start..start + width).contains(&nanos), "{nanos} in {start} + {width}");
            assert!(width == 1 || width * 128 <= start, "{nanos}: {start} + {width}");
            assert!(step_of(nanos) < STEPS);
        }
    }

    #[test]
    fn a_quantile_is_the_duration_that_so_many_do_not_exceed() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|micros| histogram.add(Duration::from_micros(micros)));
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = histogram.quantile_us(share);
            assert!((found / micros - 1.0).abs() < 0.008, "{share}: {found}");
        }
    }

    #[test]
    fn nothing_counted_has_no_quantile_and_too_long_counts_as_longest() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_us(0.5), 0.0);
        histogram.add(Duration::from_secs(86_400));
        assert!(histogram.quantile_us(0.5) > 2e9);
    }
}
