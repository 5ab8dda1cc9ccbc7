//! What may happen to files while nobody looks, drawn from an input's bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_ring::simulated::DiskImage;

use super::host::DIR;
use crate::seal;

/// The files of a broker that does not run.
#[derive(Clone)]
pub struct Files {
    pub image: DiskImage,
    /// The metadata log's, by name.
    pub metadata: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Data(PathBuf),
    Metadata(String),
}

/// A read input.
pub struct Plan<'a> {
    pub history: usize,
    pub shards: usize,
    /// Of the second start.
    pub shards_after: usize,
    /// The first start's process is killed; else the power goes.
    pub is_killed: bool,
    /// Some damage comes with right checksums.
    pub is_sealed: bool,
    pub seed: u64,
    steps: &'a [[u8; STEP]],
}

impl<'a> Plan<'a> {
    /// `None` where the input does nothing.
    pub fn read(input: &'a [u8], histories: usize) -> Option<Plan<'a>> {
        let ([history, options], steps) = input.split_first_chunk()?;
        let (steps, _) = steps.as_chunks();
        let steps = &steps[..steps.len().min(STEPS_MAX)];
        if steps.is_empty() {
            return None;
        }
        Some(Plan {
            history: usize::from(*history) % histories,
            shards: 1 + usize::from(options & 1),
            shards_after: 1 + usize::from(options >> 1 & 1),
            is_killed: options & 4 != 0,
            is_sealed: steps.iter().any(|step| step[0] & SEALED != 0),
            seed: u64::from(options >> 3),
            steps,
        })
    }

    #[cfg(test)]
    /// One input for each history, kind of damage and some of the files.
    pub fn examples(histories: usize) -> Vec<Vec<u8>> {
        let mut inputs = Vec::new();
        for history in 0..histories as u8 {
            for kind in 0..KINDS {
                for sealed in [0, SEALED] {
                    let file = history * 7 + kind * 5 + sealed / 16;
                    inputs.push(vec![
                        history,
                        kind,
                        kind | sealed,
                        file,
                        1,
                        40,
                        0,
                        3,
                        file + 1,
                        0x81,
                    ]);
                }
            }
        }
        inputs
    }

    /// For each block of a history that is not empty an input that flips a bit in it.
    #[cfg(test)]
    pub fn flips(history: u8, files: &Files) -> Vec<Vec<u8>> {
        let mut inputs = Vec::new();
        for (file, name) in files.names().iter().enumerate() {
            for (block, bytes) in files.get(name).chunks(BLOCK).enumerate() {
                if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                    let [low, high] = (last as u16 / 2).to_le_bytes();
                    inputs.push(vec![history, 0, 0, file as u8, block as u8, low, high, 3, 0, 0]);
                }
            }
        }
        inputs
    }

    pub fn damage(&self, files: &mut Files, earlier: &Files) {
        for step in self.steps {
            let names = files.names();
            if names.is_empty() {
                return;
            }
            let pick = |byte: u8| names[usize::from(byte) % names.len()].clone();
            let [kind, file, block, low, high, a, b, c] = *step;
            let harm = Harm {
                name: pick(file),
                other: pick(b),
                block: usize::from(block),
                within: usize::from(u16::from_le_bytes([low, high])) % BLOCK,
                bytes: [a, b, c],
            };
            harm.apply(kind & !SEALED, files, earlier);
            if kind & SEALED != 0 {
                files.seal(&harm.name);
            }
        }
    }
}

/// One step.
struct Harm {
    name: Name,
    other: Name,
    block: usize,
    within: usize,
    bytes: [u8; 3],
}

impl Harm {
    fn apply(&self, kind: u8, files: &mut Files, earlier: &Files) {
        let mut bytes = files.get(&self.name);
        let at = self.at(&bytes);
        let [a, _, c] = self.bytes;
        match kind % KINDS {
            0 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << (a % 8)),
            1 => bytes
                .iter_mut()
                .skip(at)
                .zip(self.bytes)
                .for_each(|(byte, new)| *byte = new),
            2 => {
                let len = SECTOR << (a % 6);
                bytes
                    .iter_mut()
                    .skip(at / SECTOR * SECTOR)
                    .take(len)
                    .for_each(|byte| *byte = 0);
            }
            3 => bytes.truncate(at),
            4 => bytes.resize(bytes.len() + usize::from(a) * 64, c),
            // Two files change places.
            5 => {
                let other = files.get(&self.other);
                files.put(&self.other, &bytes);
                bytes = other;
            }
            6 => return files.remove(&self.name),
            // A block is where another one should be.
            7 => {
                let from = files.get(&self.other);
                let source = usize::from(c) % from.len().div_ceil(BLOCK).max(1) * BLOCK;
                copy_block(&from, source, &mut bytes, at / BLOCK * BLOCK);
            }
            // Writes that never came to the medium: a block, or the whole file, is as it was.
            8 => {
                let from = earlier.get(&self.name);
                let at = at / BLOCK * BLOCK;
                copy_block(&from, at, &mut bytes, at);
            }
            9 => bytes = earlier.get(&self.name),
            10 => bytes = files.get(&self.other),
            _ => return files.spoil(&self.name, at / SECTOR * SECTOR),
        }
        files.put(&self.name, &bytes);
    }

    /// A place in the file, at most its length.
    fn at(&self, bytes: &[u8]) -> usize {
        let blocks = bytes.len().div_ceil(BLOCK).max(1);
        (self.block % blocks * BLOCK + self.within).min(bytes.len())
    }
}

fn copy_block(from: &[u8], source: usize, to: &mut [u8], at: usize) {
    let to = to.iter_mut().skip(at).take(BLOCK);
    to.zip(from.iter().skip(source))
        .for_each(|(to, from)| *to = *from);
}

impl Files {
    /// All bytes there are.
    pub fn bytes(&self) -> u64 {
        self.names().iter().map(|name| self.get(name).len() as u64).sum()
    }

    fn names(&self) -> Vec<Name> {
        let data = self.image.paths().into_iter().map(Name::Data);
        let metadata = self.metadata.keys().cloned().map(Name::Metadata);
        data.chain(metadata).collect()
    }

    /// Nothing where there is no such file, or it cannot be read.
    fn get(&self, name: &Name) -> Vec<u8> {
        match name {
            Name::Data(path) => self
                .image
                .paths()
                .contains(path)
                .then(|| self.image.read(path))
                .flatten(),
            Name::Metadata(name) => self.metadata.get(name).cloned(),
        }
        .unwrap_or_default()
    }

    fn put(&mut self, name: &Name, bytes: &[u8]) {
        match name {
            Name::Data(path) => self.image.put(path, bytes),
            Name::Metadata(name) => drop(self.metadata.insert(name.clone(), bytes.to_vec())),
        }
    }

    fn remove(&mut self, name: &Name) {
        match name {
            Name::Data(path) => self.image.remove(path),
            Name::Metadata(name) => drop(self.metadata.remove(name)),
        }
    }

    /// A sector that cannot be read; of the metadata log, which is read by the system's own means, nothing.
    fn spoil(&mut self, name: &Name, at: usize) {
        if let Name::Data(path) = name {
            self.image.spoil(path, at as u64);
        }
    }

    fn seal(&mut self, name: &Name) {
        let mut bytes = self.get(name);
        match name {
            Name::Metadata(name) if name.starts_with("log") => seal::metadata_log(&mut bytes),
            Name::Metadata(_) => seal::metadata_snapshot(&mut bytes),
            Name::Data(path) => seal_data(path, &mut bytes),
        }
        if !bytes.is_empty() {
            self.put(name, &bytes);
        }
    }
}

fn seal_data(path: &Path, bytes: &mut [u8]) {
    let name = path
        .strip_prefix(DIR)
        .ok()
        .and_then(Path::to_str)
        .unwrap_or_default();
    match name {
        "identity" => seal::block(bytes),
        _ if name.starts_with("checkpoint-") => seal::checkpoint(bytes),
        _ if name.ends_with(".idx") => seal::sidecar(bytes),
        _ if name.ends_with(".seg") => seal::segment(bytes),
        _ => seal::rounds(bytes),
    }
}

/// Bytes of an input that are one step, and how many count.
const STEP: usize = 8;
const STEPS_MAX: usize = 12;
const KINDS: u8 = 12;
/// In a step's kind: checksums are put right after it.
const SEALED: u8 = 0x80;
const BLOCK: usize = 4096;
const SECTOR: usize = 512;
