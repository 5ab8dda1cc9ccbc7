//! What commands print: tables for people, JSON for programs, colour only on a terminal.

use std::io::{self, IsTerminal, Write};

use anstyle::Style;
use serde::Serialize;

use super::Failure;
use super::exit::output_failed;
use crate::telemetry::logging::use_colour;

/// Collects what a command has to say, and prints it in one go.
#[derive(Debug)]
pub struct Page {
    text: String,
    colour: bool,
}

impl Page {
    pub fn new() -> Page {
        Page {
            text: String::new(),
            colour: use_colour(io::stdout().is_terminal()),
        }
    }

    /// A line of its own.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A heading, set off from what stands before it.
    pub fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let bold = self.style(Style::new().bold());
        self.line(&format!("{bold}{text}{bold:#}"));
    }

    /// Columns as wide as their widest cell; those that hold only numbers stand to the right.
    pub fn table<const N: usize>(&mut self, heads: [&str; N], rows: &[[String; N]]) {
        let numeric: [bool; N] =
            std::array::from_fn(|column| !rows.is_empty() && rows.iter().all(|row| is_number(&row[column])));
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| width(&row[column]));
            cells.chain([heads[column].len()]).max().unwrap_or(0)
        });
        let dim = self.style(Style::new().dimmed());
        let head = layout(&heads.map(str::to_owned), &widths, &numeric);
        self.line(&format!("{dim}{head}{dim:#}"));
        for row in rows {
            let row = row.each_ref().map(|cell| clean(cell));
            self.line(&layout(&row, &widths, &numeric));
        }
    }

    pub fn print(self) -> Result<(), Failure> {
        io::stdout()
            .write_all(self.text.as_bytes())
            .map_err(|error| output_failed(&error))
    }

    fn style(&self, style: Style) -> Style {
        if self.colour { style } else { Style::new() }
    }
}

/// One JSON document, with a line end.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).expect("our own types serialise");
    text.push('\n');
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| output_failed(&error))
}

/// Asks on the terminal; where nobody sits at one, the command line was the answer.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let fail = |error: io::Error| Failure::io("the question cannot be asked", &error);
    write!(io::stderr(), "{question} [y/N] ").map_err(fail)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(fail)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Says on the terminal what was done; a script has the exit code.
pub fn tell(text: &str) {
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// `1 record`, `2 records`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn layout<const N: usize>(cells: &[String; N], widths: &[usize; N], numeric: &[bool; N]) -> String {
    let mut line = String::new();
    for column in 0..N {
        let padding = " ".repeat(widths[column].saturating_sub(width(&cells[column])));
        if numeric[column] {
            line.push_str(&padding);
        }
        line.push_str(&cells[column]);
        if column + 1 < N {
            if !numeric[column] {
                line.push_str(&padding);
            }
            line.push_str("  ");
        }
    }
    line.trim_end().to_owned()
}

fn is_number(cell: &str) -> bool {
    cell == "-" || cell.parse::<i64>().is_ok()
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// A name that somebody else chose must not steer the terminal.
fn clean(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let mut page = Page {
            text: String::new(),
            colour: false,
        };
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        page.heading("Topics");
        page.table(
            ["TOPIC", "N"],
            &[row("a", "100"), row("long-name", "2"), row("b\x1b[2J", "-")],
        );
        let expected = "Topics\nTOPIC        N\na          100\nlong-name    2\nb\u{FFFD}[2J        -\n";
        assert_eq!(page.text, expected);
    }

    #[test]
    fn headings_are_set_apart_and_coloured_only_where_wanted() {
        let mut page = Page {
            text: String::new(),
            colour: true,
        };
        page.heading("A");
        page.heading("B");
        assert_eq!(page.text, "\x1b[1mA\x1b[0m\n\n\x1b[1mB\x1b[0m\n");
    }

    #[test]
    fn counting() {
        assert_eq!(
            (count(1, "record").as_str(), count(0, "topic").as_str()),
            ("1 record", "0 topics")
        );
    }
}
