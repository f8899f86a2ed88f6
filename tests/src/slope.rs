//! How fast a figure grows, and how well a run can tell.

/// A straight line through samples, by least squares.
///
/// Neighbouring samples of memory say the same: a buffer that fills and empties is no noise that
/// evens out. So the line goes through the means of equal blocks of time, and the uncertainty
/// comes from how far those lie from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// What is added an hour.
    pub per_hour: f64,
    /// The true slope lies this far away at most, at 95 %.
    pub uncertainty: f64,
}

/// What a run can say about a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// It grows more slowly than the bound.
    Holds,
    /// It grows faster.
    Exceeds,
    /// The run was too short, or too uneven, to tell.
    Unknown,
}

impl Slope {
    /// The slope of samples in the order of their times, each a time in seconds and the figure;
    /// `None` where a block has none.
    #[must_use]
    pub fn of(samples: &[(f64, f64)]) -> Option<Self> {
        let points = blocks(samples)?;
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
        let spread = sum(&|point| (point.0 - x).powi(2));
        let slope = sum(&|point| (point.0 - x) * (point.1 - y)) / spread;
        let off = sum(&|point| (point.1 - y - slope * (point.0 - x)).powi(2));
        let error = (off / (count - 2.0) / spread).sqrt();
        Some(Self { per_hour: slope * HOUR_S, uncertainty: STUDENT * error * HOUR_S })
    }

    /// Whether it is beyond the bound, where that can be told.
    #[must_use]
    pub fn trend(&self, most_per_hour: f64) -> Trend {
        if self.per_hour - self.uncertainty > most_per_hour {
            Trend::Exceeds
        } else if self.per_hour + self.uncertainty <= most_per_hour {
            Trend::Holds
        } else {
            Trend::Unknown
        }
    }
}

/// The mean time and figure of each block.
fn blocks(samples: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
    let (first, last) = (samples.first()?.0, samples.last()?.0);
    let mut sums = [(0.0, 0.0, 0.0); BLOCKS];
    for (time, figure) in samples {
        let block = (time - first) / (last - first) * BLOCKS as f64;
        let sum = sums.get_mut((block as usize).min(BLOCKS - 1))?;
        *sum = (sum.0 + time, sum.1 + figure, sum.2 + 1.0);
    }
    let mean = |(time, figure, count): &(f64, f64, f64)| {
        (*count > 0.0).then(|| (time / count, figure / count))
    };
    sums.iter().map(mean).collect()
}

const BLOCKS: usize = 12;
/// Student's t, 95 % on both sides, for two degrees of freedom less than there are blocks.
const STUDENT: f64 = 2.228;
const HOUR_S: f64 = 3_600.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// An hour of memory, KiB: a buffer that fills and empties, noise, and so much growth an hour.
    fn hour(growth: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut random = Random(seed);
        let phase = random.below(40) as f64;
        let samples = (0..3_600).map(f64::from).map(|time| {
            let buffer = (time + phase) % 37.0 * 400.0;
            (time, 80_000.0 + buffer + random.below(2_000) as f64 + growth * time / HOUR_S)
        });
        samples.collect()
    }

    #[test]
    fn a_line_is_found_exactly() {
        let line: Vec<_> = (0..600).map(f64::from).map(|at| (at, 7.0 + at * 2.0)).collect();
        let slope = Slope::of(&line).unwrap();
        assert!((slope.per_hour - 7_200.0).abs() < 1e-6, "{slope:?}");
        assert!(slope.uncertainty < 1e-6, "{slope:?}");
    }

    /// Nineteen times of twenty the truth is within the uncertainty.
    #[test]
    fn the_uncertainty_is_honest() {
        let within = (0..400).filter(|seed| {
            let slope = Slope::of(&hour(3_000.0, *seed)).unwrap();
            (slope.per_hour - 3_000.0).abs() <= slope.uncertainty
        });
        let within = within.count();
        assert!((360..=399).contains(&within), "{within} of 400");
    }

    #[test]
    fn a_leak_is_told_from_none_where_the_run_is_long_enough() {
        let trend = |samples: &[(f64, f64)]| Slope::of(samples).unwrap().trend(1_024.0);
        for seed in 0..20 {
            assert_eq!(trend(&hour(0.0, seed)), Trend::Holds, "seed {seed}");
            assert_eq!(trend(&hour(2_500.0, seed)), Trend::Exceeds, "seed {seed}");
        }
        assert_eq!(trend(&hour(0.0, 1)[..60]), Trend::Unknown);
    }

    #[test]
    fn too_few_samples_say_nothing() {
        assert_eq!(Slope::of(&[]), None);
        assert_eq!(Slope::of(&[(1.0, 5.0)]), None);
        assert_eq!(Slope::of(&hour(0.0, 1)[..11]), None);
    }
}
