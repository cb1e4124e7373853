//! Times that a share of all does not exceed.

use std::time::Duration;

/// The time that so many of a thousand `times`, which are sorted, do not exceed, in milliseconds; `None` without any.
pub(crate) fn percentile_ms(times: &[Duration], per_mille: usize) -> Option<f64> {
    let place = (times.len() * per_mille).div_ceil(1000).checked_sub(1)?;
    times.get(place).copied().map(millis)
}

/// In milliseconds, to microseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_time_that_is_enough() {
        let times: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        for (per_mille, expected) in [(1, 1.0), (500, 500.0), (990, 990.0), (999, 999.0), (1000, 1000.0)] {
            assert_eq!(percentile_ms(&times, per_mille), Some(expected));
        }
        assert_eq!(percentile_ms(&times[..3], 500), Some(2.0));
        assert_eq!(percentile_ms(&times[..1], 999), Some(1.0));
        assert_eq!(percentile_ms(&[], 500), None);
        assert_eq!(millis(Duration::from_nanos(1_234_567)), 1.234);
    }
}
