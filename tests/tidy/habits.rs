//! The habits: what every file has, and what none has.

use crate::source::{File, Tree, Violation, violation, words};

/// The proof stands right above the statement that the block is in, and is of that block alone.
pub fn unsafe_has_its_proof(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        let (code, text): (Vec<&str>, Vec<&str>) = (file.code.lines().collect(), file.text.lines().collect());
        for (at, line) in code.iter().enumerate() {
            let block = line.contains("unsafe {") || line.contains("unsafe impl");
            if block && !is_proven(&text[..at]) {
                found.push(violation(path, format!("line {}: no SAFETY comment", at + 1)));
            }
        }
    }
    found
}

fn is_proven(above: &[&str]) -> bool {
    let is_comment = |line: &&&str| line.trim_start().starts_with("//");
    let goes_on =
        |line: &&&str| !is_comment(line) && !line.trim().is_empty() && !line.trim_end().ends_with([';', '}']);
    let statement = above.iter().rev().take_while(goes_on).count();
    let mut proof = above[..above.len() - statement]
        .iter()
        .rev()
        .take_while(is_comment);
    statement <= STATEMENT_LINES_MAX && proof.any(|line| line.contains("SAFETY:"))
}

pub fn every_file_is_imported(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, _) in tree.sources() {
        let Some((folder, name)) = path.rsplit_once('/') else {
            continue;
        };
        let inside_src = path.contains("/src/");
        if !inside_src || matches!(name, "lib.rs" | "main.rs") || path.contains("/src/bin/") {
            continue;
        }
        let (home, module) = match name {
            "mod.rs" => folder.rsplit_once('/').expect("a module folder has a parent"),
            _ => (folder, name.trim_end_matches(".rs")),
        };
        let parents = [
            format!("{home}/lib.rs"),
            format!("{home}/main.rs"),
            format!("{home}/mod.rs"),
            format!("{home}.rs"),
        ];
        let declared = parents
            .iter()
            .filter_map(|parent| tree.get(parent))
            .any(|file| declares(file, module));
        if !declared {
            found.push(violation(path, "no `mod` line names it".into()));
        }
    }
    found
}

fn declares(file: &File, module: &str) -> bool {
    let line = format!("mod {module};");
    file.code.lines().any(|code| {
        let code = code.trim_start();
        code == line
            || code
                .strip_prefix("pub ")
                .or_else(|| code.strip_prefix("pub(crate) "))
                == Some(&line)
            || (code.ends_with(&format!(" {line}")) && code.starts_with("pub"))
    })
}

pub fn every_file_has_a_front_page(tree: &Tree) -> Vec<Violation> {
    tree.sources()
        .filter(|(_, file)| !file.text.trim_start().starts_with("//!"))
        .map(|(path, _)| violation(path, "does not open with `//!`".into()))
        .collect()
}

pub fn nothing_left_undone(tree: &Tree) -> Vec<Violation> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        for mark in marks {
            if file.text.contains(mark) {
                found.push(violation(path, format!("`{mark}`")));
            }
        }
    }
    found
}

pub fn no_ignored_tests(tree: &Tree) -> Vec<Violation> {
    words(tree, &[""], &["#[ignore"])
}

pub fn expect_not_allow(tree: &Tree) -> Vec<Violation> {
    words(tree, &[""], &["#[allow(", "#![allow("])
}

pub fn no_code_in_comments(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        for (number, line) in file.text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("// ") else {
                continue;
            };
            let starts = [
                "let ", "if ", "for ", "return ", "self.", "pub ", "fn ", "use ", "#[",
            ];
            let ends = comment.ends_with(';') || comment.ends_with('{') || comment.ends_with("()");
            if ends && starts.iter().any(|start| comment.starts_with(start)) {
                found.push(violation(path, format!("line {}: `{comment}`", number + 1)));
            }
        }
    }
    found
}

pub fn functions_are_short(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        let lines: Vec<&str> = file.code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if !is_function(line.trim_start())
                || line.trim_end().ends_with('}')
                || line.trim_end().ends_with(';')
            {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[start..]
                .iter()
                .position(|line| line.trim_end() == close)
                .unwrap_or(0);
            if length > FUNCTION_LINES_MAX {
                found.push(violation(
                    path,
                    format!("line {}: a function of {length} lines", start + 1),
                ));
            }
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let line = line
        .strip_prefix("pub ")
        .or_else(|| line.strip_prefix("pub(crate) "))
        .unwrap_or(line);
    let line = line.strip_prefix("pub(super) ").unwrap_or(line);
    ["fn ", "const fn ", "async fn ", "unsafe fn "]
        .iter()
        .any(|start| line.starts_with(start))
}

pub fn files_are_short(tree: &Tree) -> Vec<Violation> {
    longer_than(tree, FILE_LINES_MAX, |path| !is_test(path))
}

pub fn test_files_are_short(tree: &Tree) -> Vec<Violation> {
    longer_than(tree, TEST_FILE_LINES_MAX, is_test)
}

fn longer_than(tree: &Tree, lines_max: usize, counts: impl Fn(&str) -> bool) -> Vec<Violation> {
    tree.sources()
        .filter(|(path, _)| counts(path))
        .map(|(path, file)| (path, file.product_code().lines().count()))
        .filter(|(_, lines)| *lines > lines_max)
        .map(|(path, lines)| violation(path, format!("{lines} lines before its tests: split it")))
        .collect()
}

/// A file that only tests are built from.
fn is_test(path: &str) -> bool {
    let names = ["/tests/", "/tests.rs", "/recovery/world.rs"];
    path.starts_with("tests/") || names.iter().any(|name| path.contains(name))
}

pub fn lines_are_short(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        for (number, line) in file.text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !line.contains("http") {
                found.push(violation(
                    path,
                    format!("line {}: {} columns", number + 1, line.chars().count()),
                ));
            }
        }
    }
    found
}

const FUNCTION_LINES_MAX: usize = 100;
/// Without the unit tests at its foot.
const FILE_LINES_MAX: usize = 600;
const TEST_FILE_LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 120;
/// Between a proof and its block: the head of a statement that is broken over lines.
const STATEMENT_LINES_MAX: usize = 2;
