//! The golden bytes: what Kafka's own classes wrote, committed under `tests/wire/golden`.

use std::fs;
use std::path::Path;

use millstream_protocol::api::{API_TABLE, ApiSpec};

use crate::messages::Direction;

/// One line of a golden file.
#[derive(Clone, Debug)]
pub struct Golden {
    pub spec: &'static ApiSpec,
    pub direction: Direction,
    pub version: i16,
    /// `full`, `nulls`, `hollow` or `defaults`; the generator says what they are.
    pub shape: String,
    pub bytes: Vec<u8>,
    /// The message's fields in that version.
    pub json: String,
}

/// What carries its version: values and keys of records, and what clients put into fields.
#[derive(Clone, Debug)]
pub struct GoldenData {
    /// Kafka's name of the type.
    pub name: String,
    /// 0 for a key.
    pub version: i16,
    pub shape: String,
    pub bytes: Vec<u8>,
    pub json: String,
}

/// Those of [`GoldenData`].
const DATA: &str = "data";

/// The batches' file: `none`, `gzip` and so on with the bytes.
const BATCHES: &str = "record_batches";

/// API, version, request header, response header.
pub const HEADERS: &str = "headers";

/// Code, name, whether a client tries again.
pub const ERRORS: &str = "errors";

/// The files that hold no messages.
const TABLES: [&str; 4] = [BATCHES, HEADERS, ERRORS, DATA];

/// All lines of all APIs in the table. Panics where a file is not as the generator writes it.
pub fn load() -> Vec<Golden> {
    API_TABLE.iter().flat_map(load_api).collect()
}

/// What carries its version, all of it.
pub fn data() -> Vec<GoldenData> {
    let datum = |[name, version, shape, hex, json]: [String; 5]| GoldenData {
        name,
        version: version.parse().expect("a version"),
        shape,
        bytes: from_hex(&hex),
        json,
    };
    table(DATA).into_iter().map(datum).collect()
}

/// A batch of a hundred records in one of the compressions.
#[derive(Clone, Debug)]
pub struct GoldenBatch {
    /// As `compression.type` names it.
    pub codec: String,
    pub bytes: Vec<u8>,
}

/// One batch per compression, all of the same records.
pub fn batches() -> Vec<GoldenBatch> {
    let batch = |[codec, hex]: [String; 2]| GoldenBatch {
        codec,
        bytes: from_hex(&hex),
    };
    table(BATCHES).into_iter().map(batch).collect()
}

/// The words of a file's lines. Panics on a line that has not as many.
pub fn table<const N: usize>(name: &str) -> Vec<[String; N]> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    read(name)
        .lines()
        .map(|line| words(line).try_into().expect("as many words as asked for"))
        .collect()
}

/// The names of the APIs' golden files, without their ending.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the golden folder");
    let stem = |file: fs::DirEntry| file.path().file_stem()?.to_str().map(str::to_owned);
    let mut names: Vec<_> = files.filter_map(|file| stem(file.ok()?)).collect();
    names.retain(|name| !TABLES.contains(&&name[..]));
    names.sort();
    names
}

/// The name of an API's golden file: Kafka's name in small letters.
pub fn name_of(spec: &ApiSpec) -> String {
    let mut name = String::new();
    for character in spec.name.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

pub fn from_hex(text: &str) -> Vec<u8> {
    let digits = text
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("hexadecimal"));
    digits
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"))
        .collect()
}

fn load_api(spec: &'static ApiSpec) -> Vec<Golden> {
    read(&name_of(spec))
        .lines()
        .map(|line| parse(spec, line))
        .collect()
}

fn parse(spec: &'static ApiSpec, line: &str) -> Golden {
    let mut words = line.splitn(5, ' ');
    let mut word = || words.next().expect("five words");
    let direction = match word() {
        "request" => Direction::Request,
        "response" => Direction::Response,
        other => panic!("neither request nor response: {other}"),
    };
    Golden {
        spec,
        direction,
        version: word().parse().expect("a version"),
        shape: word().to_owned(),
        bytes: from_hex(word().trim_matches('-')),
        json: word().to_owned(),
    }
}

fn read(name: &str) -> String {
    let path = folder().join(name).with_extension("txt");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/golden"))
}
