//! Writes a target's first corpus: `fuzz-seeds requests|responses|batches|formats FOLDER`.

use std::path::Path;
use std::{env, fs};

use millstream_fuzz::golden::{self, Golden};
use millstream_fuzz::messages::Direction;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [target, folder] = &arguments[..] else {
        panic!("usage: fuzz-seeds TARGET FOLDER")
    };
    let seeds: Vec<Vec<u8>> = match target.as_str() {
        "requests" => messages(Direction::Request),
        "responses" => messages(Direction::Response),
        "batches" => golden::batches().into_iter().map(|batch| batch.bytes).collect(),
        "formats" => millstream_fuzz::format_seeds(),
        other => panic!("no target is called {other}"),
    };
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(Path::new(folder).join(format!("golden-{number}")), seed).expect("a seed is written");
    }
}

fn messages(direction: Direction) -> Vec<Vec<u8>> {
    let wanted = golden::load()
        .into_iter()
        .filter(|golden| golden.direction == direction);
    wanted
        .map(
            |Golden {
                 spec, version, bytes, ..
             }| millstream_fuzz::input(spec, version, &bytes),
        )
        .collect()
}
