//! What a damaged data directory does: for every kind of file, what a start says, what is still served, and what
//! `millstream log verify` says of it.
//!
//! [`TABLE`] is the document. For each row a broker's directory is copied, the file damaged by hand, looked at with
//! `log verify` (which must change nothing), and the broker started on it. Then every partition is read: those that the
//! row does not name as lost must be there with all their bytes; of those that it names, what is served must be right,
//! and the rest must be refused and not silently missing.

mod directory;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_tests::process::{Broker, free_address, millstream, refused, scratch_folder};
use millstream_tests::wire::Connection;

use directory::{State, Template, Templates};
use table::{Act, Row, Start, TABLE};

#[test]
fn every_kind_of_damage_to_every_kind_of_file() {
    let templates = Templates::make();
    for state in [State::Ended, State::Killed] {
        let (code, said) = verify(&templates.of(state).data);
        assert_eq!(
            (code, said.contains("note")),
            (Some(0), false),
            "{state:?}: {said}"
        );
    }
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(row) = TABLE.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = check(&templates, row) {
                        failures
                            .lock()
                            .expect("nobody panics with it")
                            .push(format!("{row}\n    {why}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    let all = failures.join("\n\n");
    assert!(failures.is_empty(), "{} rows differ:\n\n{all}", failures.len());
}

#[test]
fn what_cannot_be_looked_at_has_an_exit_code_of_its_own() {
    let mut broker = Broker::start(&["--cores", "1"]);
    let (code, said) = verify(&broker.data_dir());
    assert_eq!(code, Some(7), "{said}");
    assert!(
        said.contains("another process uses this data directory"),
        "{said}"
    );
    assert!(broker.terminate().0);
    assert_eq!(verify(&broker.data_dir()).0, Some(0));
    let identity = broker.data_dir().join("identity");
    rewrite(&identity, |bytes| bytes[FORMAT_VERSION_AT] += 1);
    let (code, said) = verify(&broker.data_dir());
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("start the newer version"), "{said}");
    assert_eq!(verify(Path::new("/proc/nowhere")).0, Some(7));
    let empty = scratch_folder();
    assert_eq!(verify(&empty).0, Some(7));
    fs::remove_dir_all(empty).expect("an empty folder");
}

fn check(templates: &Templates, row: &Row) -> Result<(), String> {
    let template = templates.of(row.state);
    let folder = scratch_folder();
    let data = folder.join("data");
    directory::copy(&template.data, &data);
    damage(templates, template, row, &data);
    let before = listing(&data);
    let (code, said) = verify(&data);
    let dumped = log(&data, &["dump"]);
    let repaired = log(&data, &["repair"]);
    let changed = listing(&data) != before;
    let outcome = start(&folder, &data, template, row);
    let mut wrong = Vec::new();
    if changed {
        wrong.push("verify, dump or repair changed the directory".to_owned());
    }
    if code != Some(row.verify.0) || !said.contains(row.verify.1) {
        wrong.push(format!("verify ended with {code:?} and said:\n{said}"));
    }
    wrong.extend(check_dump(template, row, &dumped).err());
    wrong.extend(check_repair(row, &repaired).err());
    wrong.extend(outcome.err());
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n    ")),
    }
}

/// Whatever is damaged, `log dump` shows the rest; and where no broker starts, it says that something is damaged.
fn check_dump(template: &Template, row: &Row, (code, said): &(Option<i32>, String)) -> Result<(), String> {
    let is_right = match row.start {
        Start::Refused(_) => *code == Some(6),
        _ => matches!(code, Some(0 | 6)),
    };
    // What the lost checkpoint alone told of cannot be shown; the other journal has partitions, too.
    let segments = template.segments.values().flatten().count();
    let shown = said.matches("Dumping ").count();
    match is_right && shown > 0 && shown <= segments && !said.contains("panicked") {
        true => Ok(()),
        false => Err(format!(
            "dump ended with {code:?}, shows {shown} segments and said:\n{said:.2000}"
        )),
    }
}

/// `log repair` calls nothing sound that no broker starts with.
fn check_repair(row: &Row, (code, said): &(Option<i32>, String)) -> Result<(), String> {
    let is_right = match row.start {
        Start::Refused(_) => *code == Some(6) && !said.contains("No partition is damaged"),
        _ => matches!(code, Some(0 | 6)),
    };
    match is_right && !said.contains("panicked") {
        true => Ok(()),
        false => Err(format!("repair ended with {code:?} and said:\n{said:.2000}")),
    }
}

/// Starts a broker on the directory and reads everything.
fn start(folder: &Path, data: &Path, template: &Template, row: &Row) -> Result<(), String> {
    if let Start::Refused(part) = row.start {
        let mut command = millstream();
        command.args(["start", "--cores", "2", "--data-dir"]).arg(data);
        command.args(["--listen", &free_address().to_string()]);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| refused(command)));
        let _ = fs::remove_dir_all(folder);
        let (code, said) = outcome.map_err(|_| "it starts".to_owned())?;
        return match code == Some(1) && said.contains(part) && !said.contains("panicked") {
            true => Ok(()),
            false => Err(format!("the start ended with {code:?} and said: {said}")),
        };
    }
    let folder = folder.to_owned();
    let broker = std::panic::catch_unwind(move || Broker::start_in(folder, &["--cores", "2"]));
    let mut broker = broker.map_err(|_| "it does not start".to_owned())?;
    let read = read_all(&broker, template, row);
    let log = broker.log();
    let told = match row.start {
        Start::Says(part) => log.contains(part) && (log.contains(" WARN ") || log.contains(" ERROR ")),
        _ => !log.contains(" WARN ") && !log.contains(" ERROR "),
    };
    let ended = broker.terminate().0;
    let mut wrong = Vec::new();
    wrong.extend(read.err());
    if !told {
        wrong.push(format!("the broker said:\n{log}"));
    }
    if !ended {
        wrong.push("it did not end in good order".to_owned());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n    ")),
    }
}

fn read_all(broker: &Broker, template: &Template, row: &Row) -> Result<(), String> {
    let mut client = Connection::open(broker.address()).map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    let doubted = match row.lost.contains(&"@doubted") {
        true => template.in_journal(),
        false => BTreeSet::new(),
    };
    let mut damaged = BTreeSet::new();
    for (&(topic, partition), values) in &template.records {
        let (served, code) = directory::read(&mut client, topic, partition);
        let name = format!("{topic}-{partition}");
        if served.iter().zip(values).any(|(served, value)| served != value) || served.len() > values.len() {
            wrong.push(format!("{name} serves what was not written"));
        }
        if served.len() == values.len() && (code == 0 || doubted.contains(&name)) {
            continue;
        }
        if code == 0 {
            wrong.push(format!(
                "{name} ends silently at {} of {}",
                served.len(),
                values.len()
            ));
        }
        damaged.insert(name.clone());
    }
    let in_round = || {
        let (_, (topic, partition)) = template.batch_in_journal().expect("a batch in the journal");
        format!("{topic}-{partition}")
    };
    let named = row.lost.iter().filter(|name| **name != "@doubted");
    let expected: BTreeSet<String> = named
        .map(|name| {
            if *name == "@round" {
                in_round()
            } else {
                (*name).to_owned()
            }
        })
        .collect();
    if damaged != expected {
        wrong.push(format!("not whole: {damaged:?}"));
    }
    for &(topic, partition) in template.records.keys() {
        let name = format!("{topic}-{partition}");
        let is_whole = !damaged.contains(&name);
        let code = directory::append(&mut client, topic, partition);
        if is_whole != (code == 0) && !doubted.contains(&name) {
            wrong.push(format!("an append to {name} is answered with {code}"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n    ")),
    }
}

fn damage(templates: &Templates, template: &Template, row: &Row, data: &Path) {
    let path = data.join(row.file.path(template));
    let place = row.file.place(template);
    match row.act {
        Act::Flip => rewrite(&path, |bytes| bytes[place] ^= 4),
        Act::Zero => {
            let block = place / BLOCK * BLOCK;
            rewrite(&path, |bytes| {
                let end = bytes.len().min(block + BLOCK);
                bytes[block..end].fill(0);
            });
        }
        Act::Truncate => {
            let file = fs::File::options().write(true).open(&path).expect("a file");
            file.set_len(place as u64).expect("it can be cut");
        }
        Act::Delete => fs::remove_file(&path).expect("it can be deleted"),
        Act::Swap => {
            let other = row.file.other(templates, template, data);
            let (one, two) = (
                fs::read(&path).expect("a file"),
                fs::read(&other).expect("a file"),
            );
            write_sparsely(&path, &two);
            if other.starts_with(data) {
                write_sparsely(&other, &one);
            }
        }
    }
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    write_sparsely(path, &bytes);
}

/// Leaves out the blocks that are zero.
fn write_sparsely(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path).expect("a file");
    file.set_len(bytes.len() as u64).expect("a length");
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, (index * BLOCK) as u64).expect("a block");
        }
    }
}

/// Every file's length and time of change.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("an entry of a folder");
        found.insert(entry.path(), (about.len(), about.modified().expect("a time")));
        if about.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found
}

/// The exit code, and all that was printed.
fn verify(data: &Path) -> (Option<i32>, String) {
    log(data, &["verify"])
}

fn log(data: &Path, what: &[&str]) -> (Option<i32>, String) {
    let mut command = millstream();
    command.arg("log").args(what).arg("--data-dir").arg(data);
    let output = command.output().expect("a tool that runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

const WORKERS: usize = 3;
const BLOCK: usize = 4096;
/// Of the identity file's block (docs/formats.md).
const FORMAT_VERSION_AT: usize = 12;
