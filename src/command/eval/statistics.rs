//! Owns the statistics of all evaluations: medians, and how far a share in a few tasks can be from the
//! share in all. Pure.

use serde::Serialize;

/// Standard deviations that hold 95 % of a normal distribution.
const Z: f64 = 1.959_964;

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Share {
    pub hits: usize,
    pub of: usize,
    /// Between 0 and 1; 0 of none.
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

impl Share {
    /// Wilson's score interval (E. B. Wilson 1927, JASA 22), which is right for few tasks and for shares
    /// near 0 and 1 as well.
    pub fn new(hits: usize, of: usize) -> Share {
        if of == 0 {
            return Share { high: 1.0, ..Share::default() };
        }
        let (n, share) = (of as f64, hits as f64 / of as f64);
        let scale = 1.0 + Z * Z / n;
        let centre = (share + Z * Z / (2.0 * n)) / scale;
        let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
        Share { hits, of, share, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }

    /// In percent, such as `30.0 [15, 52]`.
    pub fn in_percent(&self) -> String {
        format!("{:.1} [{:.0}, {:.0}]", 100.0 * self.share, 100.0 * self.low, 100.0 * self.high)
    }
}

/// The middle value, or the mean of the two; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        let check = |hits, of, low: f64, high: f64| {
            let share = Share::new(hits, of);
            assert!((share.low - low).abs() < 5e-4 && (share.high - high).abs() < 5e-4, "{share:?}");
        };
        // From statsmodels 0.14, proportion_confint(hits, of, method="wilson").
        check(6, 20, 0.1455, 0.5190);
        check(0, 10, 0.0, 0.2775);
        check(10, 10, 0.7225, 1.0);
        check(1, 2, 0.0945, 0.9055);
        check(0, 0, 0.0, 1.0);
        assert_eq!(Share::new(6, 20).in_percent(), "30.0 [15, 52]");
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(median(vec![3.0, 1.0, 8.0]), 3.0);
        assert_eq!(median(vec![]), 0.0);
    }
}
