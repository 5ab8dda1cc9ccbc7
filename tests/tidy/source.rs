//! The source tree as data: every Rust file and manifest of the repository, and a view of each file with
//! comments and the insides of strings blanked, so that a rule about code is not fooled by prose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

#[derive(Clone)]
pub struct File {
    pub text: String,
    /// The text with comments and string contents replaced by spaces; line breaks kept.
    pub code: String,
}

pub struct Violation {
    pub path: String,
    pub what: String,
}

impl Tree {
    /// Reads the repository that this test was built from.
    pub fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("tests/ lies in the repository")
            .to_path_buf();
        let mut files = BTreeMap::new();
        for room in ROOMS {
            collect(&root, &root.join(room), &mut files);
        }
        assert!(files.len() > 20, "the tree was not found at {}", root.display());
        Self { files }
    }

    /// The same tree with text appended to one file (made when it is not there).
    pub fn with(&self, path: &str, text: &str) -> Self {
        let mut tree = self.clone();
        let before = tree
            .files
            .get(path)
            .map(|file| file.text.clone())
            .unwrap_or_default();
        tree.files
            .insert(path.to_owned(), File::new(format!("{before}{text}")));
        tree
    }

    /// Rust sources and their paths, in path order.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, file)| (path.as_str(), file))
    }

    /// The paths of manifests.
    pub fn manifests(&self) -> impl Iterator<Item = &str> {
        self.files
            .keys()
            .map(String::as_str)
            .filter(|path| path.ends_with("Cargo.toml"))
    }

    /// Sources below any of the given folders.
    pub fn below<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.sources()
            .filter(|(path, _)| folders.iter().any(|folder| path.starts_with(folder)))
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }
}

impl File {
    fn new(text: String) -> Self {
        let code = blank_prose(&text);
        Self { text, code }
    }

    /// The code before the unit tests at the foot of the file.
    pub fn product_code(&self) -> &str {
        match self.code.find("#[cfg(test)]\nmod ") {
            Some(tests) => &self.code[..tests],
            None => &self.code,
        }
    }
}

/// Where `banned` words stand in product code below `folders`.
pub fn words(tree: &Tree, folders: &[&str], banned: &[&str]) -> Vec<Violation> {
    behind_doors(tree, folders, &[], banned)
}

/// As [`words`], but for the paths that begin with one of the `doors`.
pub fn behind_doors(tree: &Tree, folders: &[&str], doors: &[&str], banned: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.below(folders) {
        if doors.iter().any(|door| path.starts_with(door)) {
            continue;
        }
        for word in banned {
            if file.product_code().contains(word) {
                found.push(violation(path, format!("`{word}`")));
            }
        }
    }
    found
}

pub fn violation(path: &str, what: String) -> Violation {
    Violation {
        path: path.to_owned(),
        what,
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, File>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .expect("a named entry")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(root, &path, files);
            }
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            let key = path
                .strip_prefix(root)
                .expect("below the root")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            files.insert(key, File::new(text));
        }
    }
}

/// Blanks comments, string and character contents. Knows raw strings and nested block comments, which is all that the
/// rules need of Rust's grammar.
fn blank_prose(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if raw_hashes(bytes, at).is_some() => raw_string_end(bytes, at),
            b'\'' => char_end(bytes, at),
            _ => at + 1,
        };
        if end > at + 1 {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters were replaced by spaces")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let starts_word =
        at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') || bytes[at - 1] == b'b';
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    (starts_word && bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = raw_hashes(bytes, start).expect("checked by the caller");
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = start + 2 + hashes;
    bytes[body..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(bytes.len(), |n| body + n + close.len())
}

/// A character literal's end, or the next byte when the quote opens a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        return bytes[start + 3..]
            .iter()
            .position(|byte| *byte == b'\'')
            .map_or(bytes.len(), |n| start + 4 + n);
    }
    let limit = bytes.len().min(start + 6);
    match bytes[start + 1..limit]
        .iter()
        .skip(1)
        .position(|byte| *byte == b'\'')
    {
        Some(n) if n == 0 || bytes[start + 1] >= 0x80 => start + n + 3,
        _ => start + 1,
    }
}

const ROOMS: &[&str] = &[
    "protocol",
    "storage",
    "broker",
    "bench-harness",
    "tuning",
    "tests",
];

#[test]
fn prose_is_blanked_and_code_is_kept() {
    let check = |input: &str, expect: &str| assert_eq!(blank_prose(input), expect, "{input}");
    check("a // b\nc", "a     \nc");
    check("a /* b /* c */ d */ e", "a                   e");
    check("f(\"x\\\"y\") g", "f(      ) g");
    check("r#\"a\"b\"# c", "         c");
    check("&'a str", "&'a str");
    check("('x', '\\n', 'é')", "(   ,     ,     )");
}
