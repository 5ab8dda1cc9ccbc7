//! A target's first corpus, and the one that is kept:
//! `fuzz-seeds requests|responses|batches|formats|boot FOLDER` writes the golden bytes and the kept inputs into FOLDER;
//! `fuzz-seeds --keep TARGET FOLDER` keeps what is there.

use std::path::Path;
use std::{env, fs, io};

use millstream_fuzz::corpus;
use millstream_fuzz::golden::{self, Golden};
use millstream_fuzz::messages::Direction;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--keep", target, folder] => keep(target, Path::new(folder)),
        [target, folder] => write(target, Path::new(folder)),
        _ => panic!("usage: fuzz-seeds [--keep] TARGET FOLDER"),
    }
}

fn write(target: &str, folder: &Path) -> io::Result<()> {
    let golden: Vec<Vec<u8>> = match target {
        "requests" => messages(Direction::Request),
        "responses" => messages(Direction::Response),
        "batches" => golden::batches().into_iter().map(|batch| batch.bytes).collect(),
        "formats" => millstream_fuzz::format_seeds(),
        // Its inputs say only what is done to which file.
        "boot" => Vec::new(),
        other => panic!("no target is called {other}"),
    };
    for (kind, inputs) in [("golden", golden), ("kept", corpus::load(target)?)] {
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("{kind}-{number}")), input)?;
        }
    }
    Ok(())
}

fn keep(target: &str, folder: &Path) -> io::Result<()> {
    let inputs: io::Result<Vec<Vec<u8>>> = fs::read_dir(folder)?
        .map(|entry| fs::read(entry?.path()))
        .collect();
    corpus::store(target, inputs?)
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
