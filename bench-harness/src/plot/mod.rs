//! Line plots as SVG, to stand in a page: no script, no font and no library besides what a browser has.
//! Place: `axis` maps values to places, `line` draws one series, this file puts them together with their legend.
//! Colours and dashes are classes (`c0`.., `d0`..) whose look is the page's style sheet's matter.

pub mod axis;
pub mod line;

use std::fmt::Write;

use crate::plot::axis::Axis;
use crate::plot::line::Line;

/// One plot.
#[derive(Debug)]
pub struct Plot {
    pub title: String,
    /// What to make of it, one sentence; may be empty.
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// Where lines may be drawn, in the drawing's own units, y downwards.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Plot {
    /// A `figure` element. Every line has its label in the legend.
    pub fn render(&self) -> String {
        let title = escape(&self.title);
        let mut svg = format!(
            "<figure>\n<figcaption>{title}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}\">\n"
        );
        self.grid(&mut svg);
        for line in &self.lines {
            line.draw(FRAME, &self.x, &self.y, &mut svg);
        }
        svg.push_str("</svg>\n<ul class=\"legend\">\n");
        for line in &self.lines {
            let _ = writeln!(
                svg,
                "<li><svg class=\"swatch\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><path class=\"line {}\" \
                 d=\"M0 5H28\"/></svg>{}</li>",
                line.classes(),
                escape(&line.label)
            );
        }
        svg.push_str("</ul>\n");
        if !self.note.is_empty() {
            let _ = writeln!(svg, "<p class=\"note\">{}</p>", escape(&self.note));
        }
        svg.push_str("</figure>\n");
        svg
    }

    fn grid(&self, svg: &mut String) {
        let Frame {
            left,
            right,
            top,
            bottom,
        } = FRAME;
        for tick in self.y.ticks() {
            let y = FRAME.y(&self.y, tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                left - 7.0,
                y + 4.0,
                escape(&self.y.text(tick))
            );
        }
        for tick in self.x.ticks() {
            let x = FRAME.x(&self.x, tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                escape(&self.x.text(tick))
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{left} {top}V{bottom}H{right}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{}</text>",
            (left + right) / 2.0,
            HEIGHT - 6.0,
            escape(self.x.label)
        );
    }
}

impl Frame {
    pub fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    pub fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }
}

/// Text as it may stand in markup and in an attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Control characters cannot stand in markup at all.
            control if control.is_control() && !matches!(control, '\n' | '\t') => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 284.0;
const FRAME: Frame = Frame {
    left: 66.0,
    right: 466.0,
    top: 12.0,
    bottom: 240.0,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::axis::Scale;

    #[test]
    fn a_plot_is_well_formed_and_names_its_lines() {
        let plot = Plot {
            title: "a & <b>".into(),
            note: "\"why\" \u{1}".into(),
            x: Axis::new("s", Scale::linear(0.0, 10.0), |value| format!("{value:.0}")),
            y: Axis::new("", Scale::linear(0.0, 5.0), |value| format!("<{value:.0}>")),
            lines: vec![Line::new(
                "one & two".into(),
                0,
                0,
                vec![(0.0, Some(1.0)), (5.0, Some(2.0))],
            )],
        };
        let markup = plot.render();
        let parsed = roxmltree::Document::parse(&markup).unwrap();
        let legend = parsed.descendants().find(|node| node.has_tag_name("li")).unwrap();
        assert_eq!(
            legend.text().or_else(|| legend.last_child()?.text()),
            Some("one & two")
        );
        let lines = parsed
            .descendants()
            .filter(|node| node.attribute("class") == Some("line c0 d0"));
        assert_eq!(lines.count(), 2, "the line and its swatch");
    }

    #[test]
    fn the_frame_holds_the_ends_of_both_axes() {
        let axis = Axis::new("", Scale::linear(0.0, 10.0), |value| format!("{value}"));
        assert_eq!(
            (FRAME.x(&axis, 0.0), FRAME.x(&axis, 10.0)),
            (FRAME.left, FRAME.right)
        );
        assert_eq!(
            (FRAME.y(&axis, 0.0), FRAME.y(&axis, 10.0)),
            (FRAME.bottom, FRAME.top)
        );
        assert_eq!(FRAME.x(&axis, 99.0), FRAME.right, "nothing leaves the frame");
    }
}
