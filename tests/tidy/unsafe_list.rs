//! The list of all unsafe code with its proofs, `docs/unsafe.md`: made from the sources, and held to them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::source::{File, Tree};

#[test]
fn the_list_of_unsafe_code_is_as_the_sources_are() {
    let page = page(&Tree::load());
    if std::env::var_os("WRITE_UNSAFE_LIST").is_some() {
        std::fs::write(path(), &page).expect("the page is written");
    }
    let written = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(written == page, "docs/unsafe.md is old: `{COMMAND}` writes it");
}

#[test]
fn a_block_more_changes_the_list() {
    let tree = Tree::load();
    let block = "fn planted() {\n    // SAFETY: none at all.\n    unsafe { g() }\n}\n";
    let page = page(&tree.with("storage/ring/src/planted.rs", block));
    assert!(
        page.contains("| `src/planted.rs` | `planted` | none at all. |"),
        "{page}"
    );
}

/// One piece of unsafe code.
struct Piece {
    file: String,
    /// The function, or what is implemented.
    name: String,
    proof: String,
}

fn page(tree: &Tree) -> String {
    let mut rooms: BTreeMap<&str, Vec<Piece>> = BTreeMap::new();
    for (path, file) in tree.sources() {
        let Some((room, within)) = split(path) else {
            continue;
        };
        rooms.entry(room).or_default().extend(pieces(within, file));
    }
    rooms.retain(|_, pieces| !pieces.is_empty());
    let mut page = HEAD.to_owned();
    for (room, pieces) in &rooms {
        let _ = writeln!(page, "| `{room}` | {} |", pieces.len());
    }
    for (room, pieces) in &rooms {
        let _ = write!(
            page,
            "\n## `{room}`\n\n| file | where | why it holds |\n|---|---|---|\n"
        );
        for Piece { file, name, proof } in pieces {
            let _ = writeln!(page, "| `{file}` | `{name}` | {proof} |");
        }
    }
    page
}

/// The room of a source, and its path in there.
fn split(path: &str) -> Option<(&str, &str)> {
    let at = ["/src/", "/tests/", "/benches/"]
        .iter()
        .filter_map(|part| path.find(part))
        .min()?;
    Some((&path[..at], &path[at + 1..]))
}

fn pieces(path: &str, file: &File) -> Vec<Piece> {
    let text: Vec<&str> = file.text.lines().collect();
    let mut pieces = Vec::new();
    let mut function = "";
    for (at, line) in file.code.lines().enumerate() {
        if let Some(name) = name_after(line, "fn ") {
            function = name;
        }
        let is_impl = line.trim_start().starts_with("unsafe impl");
        let promise = line.contains("unsafe fn");
        if !(line.contains("unsafe {") || is_impl || promise && has_section(&text[..at])) {
            continue;
        }
        let name = match is_impl {
            true => line
                .trim()
                .trim_start_matches("unsafe ")
                .trim_end_matches(['{', '}', ' ']),
            false => function,
        };
        let proof = if promise {
            section(&text[..at])
        } else {
            proof(&text[..at])
        };
        pieces.push(Piece {
            file: path.to_owned(),
            name: name.to_owned(),
            proof,
        });
    }
    pieces
}

fn name_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(word)?;
    let is_word = before.is_empty() || before.ends_with(' ');
    is_word.then(|| after.split(['(', '<']).next().unwrap_or_default())
}

/// The words of the comment above that begins with `SAFETY:`.
fn proof(above: &[&str]) -> String {
    let start = above
        .iter()
        .rposition(|line| line.contains("SAFETY:"))
        .unwrap_or(above.len());
    let lines = above[start..]
        .iter()
        .take_while(|line| line.trim_start().starts_with("//"));
    let words: Vec<&str> = lines
        .map(|line| line.trim_start().trim_start_matches(['/', ' ']))
        .collect();
    words
        .join(" ")
        .trim_start_matches("SAFETY:")
        .trim()
        .replace('|', "\\|")
}

fn has_section(above: &[&str]) -> bool {
    documentation(above).any(|line| line.contains("# Safety"))
}

/// What the caller of an unsafe function promises.
fn section(above: &[&str]) -> String {
    let mut words: Vec<&str> = documentation(above)
        .take_while(|line| !line.contains("# Safety"))
        .map(|line| line.trim_start_matches(['/', ' ']))
        .collect();
    words.reverse();
    format!("The caller: {}", words.join(" ").trim()).replace('|', "\\|")
}

fn documentation<'a>(above: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let lines = above.iter().rev().map(|line| line.trim_start());
    lines.take_while(|line| line.starts_with("//") || line.starts_with('#'))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/unsafe.md")
}

const COMMAND: &str = "WRITE_UNSAFE_LIST=1 cargo test -p millstream-tests --test tidy unsafe_list";
const HEAD: &str = "# Unsafe code, room by room

Made from the sources by `WRITE_UNSAFE_LIST=1 cargo test -p millstream-tests --test tidy unsafe_list`; a test holds it
to them. Rooms that are not named have none. Beside the proofs: `.ci/sanitize` runs the ring's tests under
AddressSanitizer, and what its threads share under loom.

| room | pieces |
|---|---:|
";
