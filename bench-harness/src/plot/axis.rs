//! Where a value stands on an axis, and which values get a mark.

/// One direction of a plot.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Unit or meaning, below the axis.
    pub label: &'static str,
    scale: Scale,
    text: fn(f64) -> String,
}

/// How values are spread over an axis. The ends are finite and not the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    Linear {
        min: f64,
        max: f64,
    },
    /// Both ends above zero.
    Log {
        min: f64,
        max: f64,
    },
}

impl Axis {
    /// `text` says a value.
    pub fn new(label: &'static str, scale: Scale, text: fn(f64) -> String) -> Self {
        Axis { label, scale, text }
    }

    /// From 0 to 1; what is beyond an end stands at that end.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear { min, max } => (value - min) / (max - min),
            Scale::Log { min, max } => (value.max(min) / min).ln() / (max / min).ln(),
        };
        place.clamp(0.0, 1.0)
    }

    /// Values to mark, in order, at most nine.
    pub fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear { min, max } => {
                let step = round_step((max - min) / TICKS_WANTED);
                let first = (min / step).ceil() as i64;
                let last = (max / step * (1.0 + 1e-9)).floor() as i64;
                (first..=last).take(TICKS_MAX).map(|n| n as f64 * step).collect()
            }
            Scale::Log { min, max } => {
                let decades = (max / min).log10();
                let within: &[f64] = match decades {
                    decades if decades < 1.5 => &[1.0, 2.0, 5.0],
                    decades if decades < 3.0 => &[1.0, 3.0],
                    _ => &[1.0],
                };
                let exponents = min.log10().floor() as i32..=max.log10().ceil() as i32;
                let values =
                    exponents.flat_map(|exponent| within.iter().map(move |n| n * 10f64.powi(exponent)));
                let inside = |value: &f64| (min * (1.0 - 1e-9)..=max * (1.0 + 1e-9)).contains(value);
                let values: Vec<f64> = values.filter(inside).collect();
                let skip = values.len().div_ceil(TICKS_MAX).max(1);
                values.into_iter().step_by(skip).collect()
            }
        }
    }

    pub fn text(&self, value: f64) -> String {
        (self.text)(value)
    }
}

impl Scale {
    pub fn linear(min: f64, max: f64) -> Self {
        let max = if max > min { max } else { min + 1.0 };
        Scale::Linear { min, max }
    }

    /// From zero to a little above the highest value.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        Scale::linear(0.0, values.fold(0.0, f64::max) * 1.05)
    }

    pub fn log(min: f64, max: f64) -> Self {
        let min = if min > 0.0 { min } else { 1.0 };
        let max = if max > min { max } else { min * 10.0 };
        Scale::Log { min, max }
    }

    /// Around all values: logarithmic where they are far apart, else linear from zero.
    pub fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.clone().filter(|&value| value > 0.0);
        let (min, max) = positive.fold((f64::INFINITY, 0.0), |(min, max): (f64, f64), value| {
            (min.min(value), max.max(value))
        });
        if min.is_finite() && max / min >= FAR_APART {
            Scale::log(min / 1.15, max * 1.15)
        } else {
            Scale::from_zero(values)
        }
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    round
        .into_iter()
        .find(|&round| round >= step * (1.0 - 1e-9))
        .unwrap_or(step)
}

const TICKS_WANTED: f64 = 5.0;
const TICKS_MAX: usize = 9;

/// Ratio of the highest to the lowest value from which a linear axis would press the lower ones to the ground.
const FAR_APART: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis::new("", scale, |value| value.to_string())
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(
            axis(Scale::linear(0.0, 10.0)).ticks(),
            [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        );
        assert_eq!(axis(Scale::linear(0.0, 3.1e6)).ticks(), [0.0, 1e6, 2e6, 3e6]);
        assert_eq!(
            axis(Scale::linear(0.0, 0.0)).ticks().len(),
            6,
            "an empty axis is still one"
        );
    }

    #[test]
    fn log_ticks_are_decades_or_finer() {
        assert_eq!(axis(Scale::log(1.0, 1e4)).ticks(), [1.0, 10.0, 100.0, 1e3, 1e4]);
        assert_eq!(
            axis(Scale::log(90.0, 1200.0)).ticks(),
            [100.0, 200.0, 500.0, 1000.0]
        );
        assert!(axis(Scale::log(1.0, 1e30)).ticks().len() <= TICKS_MAX);
    }

    #[test]
    fn places_are_shares_of_the_axis() {
        let log = axis(Scale::log(1.0, 100.0));
        assert_eq!(
            (log.place(1.0), log.place(10.0), log.place(100.0)),
            (0.0, 0.5, 1.0)
        );
        assert_eq!((log.place(0.0), log.place(1e9)), (0.0, 1.0));
        assert_eq!(axis(Scale::linear(10.0, 20.0)).place(12.5), 0.25);
    }

    #[test]
    fn values_far_apart_get_a_log_axis() {
        let far = [100.0, 5000.0];
        assert!(
            matches!(Scale::around(far.into_iter()), Scale::Log { min, max } if min < 100.0 && max > 5000.0)
        );
        assert!(matches!(
            Scale::around([4.0, 6.0].into_iter()),
            Scale::Linear { min: 0.0, .. }
        ));
        assert!(matches!(Scale::around(std::iter::empty()), Scale::Linear { .. }));
    }
}
