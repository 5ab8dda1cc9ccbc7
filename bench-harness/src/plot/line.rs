//! One series of a plot: a line with breaks where nothing was measured, and a word on hovering its points.

use std::fmt::Write;

use crate::plot::axis::Axis;
use crate::plot::{Frame, escape};

/// A named series.
#[derive(Clone, Debug)]
pub struct Line {
    pub label: String,
    colour: usize,
    dash: usize,
    /// In order of x; `None` breaks the line.
    points: Vec<(f64, Option<f64>)>,
}

impl Line {
    /// Colours and dashes are counted from 0 and begin again after the last.
    pub fn new(label: String, colour: usize, dash: usize, points: Vec<(f64, Option<f64>)>) -> Self {
        Line {
            label,
            colour: colour % COLOURS,
            dash: dash % DASHES,
            points,
        }
    }

    /// Values that are not missing.
    pub fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.points.iter().filter_map(|point| point.1)
    }

    pub fn classes(&self) -> String {
        format!("c{} d{}", self.colour, self.dash)
    }

    pub fn draw(&self, frame: Frame, x: &Axis, y: &Axis, svg: &mut String) {
        let mut path = String::new();
        let mut pen_down = false;
        for &(at, value) in &self.points {
            if let Some(value) = value {
                let pen = if pen_down { 'L' } else { 'M' };
                let _ = write!(path, "{pen}{:.1} {:.1}", frame.x(x, at), frame.y(y, value));
            }
            pen_down = value.is_some();
        }
        if !path.is_empty() {
            let _ = writeln!(svg, "<path class=\"line {}\" d=\"{path}\"/>", self.classes());
        }
        self.dots(frame, x, y, svg);
    }

    /// Few points are seen as dots, many only felt: a browser says what a point is when it is pointed at.
    fn dots(&self, frame: Frame, x: &Axis, y: &Axis, svg: &mut String) {
        let seen = self.points.len() <= DOTS_SEEN_MAX;
        let (radius, class) = if seen { (2.6, "dot") } else { (5.0, "dot unseen") };
        let step = self.points.len().div_ceil(DOTS_MAX).max(1);
        for &(at, value) in self.points.iter().step_by(step) {
            if let Some(value) = value {
                let _ = writeln!(
                    svg,
                    "<circle class=\"{class} c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}: {} at {} \
                     {}</title></circle>",
                    self.colour,
                    frame.x(x, at),
                    frame.y(y, value),
                    escape(&self.label),
                    escape(&y.text(value)),
                    escape(&x.text(at)),
                    escape(x.label),
                );
            }
        }
    }
}

/// Colours and dashes that the style sheet has.
const COLOURS: usize = 8;
const DASHES: usize = 4;

const DOTS_SEEN_MAX: usize = 30;

/// A page with many rounds stays small.
const DOTS_MAX: usize = 150;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::axis::Scale;

    fn drawn(points: Vec<(f64, Option<f64>)>) -> String {
        let frame = Frame {
            left: 0.0,
            right: 100.0,
            top: 0.0,
            bottom: 100.0,
        };
        let axis = Axis::new("s", Scale::linear(0.0, 10.0), |value| format!("{value:.0}"));
        let mut svg = String::new();
        Line::new("name".into(), 9, 5, points).draw(frame, &axis, &axis, &mut svg);
        svg
    }

    #[test]
    fn a_missing_value_breaks_the_line() {
        let svg = drawn(vec![
            (0.0, Some(0.0)),
            (1.0, Some(10.0)),
            (2.0, None),
            (3.0, Some(5.0)),
            (4.0, Some(5.0)),
        ]);
        let path = "d=\"M0.0 100.0L10.0 0.0M30.0 50.0L40.0 50.0\"";
        assert!(svg.contains(path), "{svg}");
        assert!(
            svg.contains("line c1 d1"),
            "colours and dashes begin again: {svg}"
        );
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("<title>name: 10 at 1 s</title>"), "{svg}");
    }

    #[test]
    fn a_long_line_has_a_bounded_number_of_dots() {
        let svg = drawn((0..10_000).map(|n| (f64::from(n) / 1000.0, Some(1.0))).collect());
        assert!(svg.matches("<circle").count() <= DOTS_MAX);
    }
}
