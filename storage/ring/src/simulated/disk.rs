//! The simulated disk: names, files, space; what of them is durable; and what a power cut leaves.
//!
//! Names change by absolute assignments (`directory, name → file or nothing`). Each change is volatile until a sync
//! of one of its directories; at a power cut every change that is left survives or not on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Component, Path};
use std::sync::Arc;

use super::inode::{Inode, OpNumber, PAGE, Page, SECTOR};
use super::options::Lie;
use super::prng::Prng;
use crate::error::IoError;
use crate::op::{DiskSpace, Entry};

pub(super) type Ino = u64;

#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<Ino, Inode>,
    /// Directories as they are seen, by their own number.
    dirs: BTreeMap<Ino, Directory>,
    /// Changes of names that no sync has made durable yet, in order.
    changes: Vec<Vec<Assignment>>,
    next: Ino,
    pub(super) capacity: u64,
    /// Open descriptors of each file.
    opened: BTreeMap<Ino, u32>,
    /// Files that lost a name: the only ones whose space may come back before a crash.
    unnamed: BTreeSet<Ino>,
    /// Pages of files that are gone: what recycled space may still hold.
    graveyard: Vec<Page>,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    seen: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(Ino),
    Dir(Ino),
}

#[derive(Clone, Debug)]
struct Assignment {
    dir: Ino,
    name: String,
    node: Option<Node>,
}

impl Disk {
    pub(super) fn new(capacity: u64) -> Disk {
        let dirs = BTreeMap::from([(ROOT, Directory::default())]);
        Disk {
            files: BTreeMap::new(),
            dirs,
            changes: Vec::new(),
            next: ROOT + 1,
            capacity,
            opened: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            graveyard: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, path: &Path, write: bool, create: bool, new: bool) -> Result<Ino, IoError> {
        let (dir, name) = self.locate(path)?;
        let ino = match self.dirs[&dir].seen.get(&name) {
            Some(_) if new => return Err(IoError::new(libc::EEXIST)),
            Some(Node::Dir(_)) if write || create => return Err(IoError::new(libc::EISDIR)),
            Some(Node::Dir(_)) => return Err(IoError::new(libc::EISDIR)),
            Some(Node::File(ino)) => *ino,
            None if !(create || new) => return Err(IoError::new(libc::ENOENT)),
            None => {
                let ino = self.number();
                self.files.insert(ino, Inode::default());
                self.change(vec![Assignment {
                    dir,
                    name,
                    node: Some(Node::File(ino)),
                }]);
                ino
            }
        };
        *self.opened.entry(ino).or_default() += 1;
        Ok(ino)
    }

    pub(super) fn close(&mut self, ino: Ino) {
        let count = self.opened.get_mut(&ino).expect("an open file");
        *count -= 1;
        if *count == 0 {
            self.opened.remove(&ino);
            if self.unnamed.contains(&ino) {
                self.bury_unnamed();
            }
        }
    }

    /// Writes into the cache as much as there is space for.
    pub(super) fn write(&mut self, op: OpNumber, ino: Ino, at: u64, bytes: &[u8]) -> Result<usize, IoError> {
        let mut len = bytes.len();
        // Summing the disk up is left to writes that take space.
        let takes_space = self.files[&ino].missing_pages(at, len as u64) > 0;
        let free = if takes_space { self.free() / PAGE as u64 } else { 0 };
        let file = self.files.get_mut(&ino).expect("an open file");
        while file.missing_pages(at, len as u64) > free {
            if len <= PAGE {
                return Err(IoError::new(libc::ENOSPC));
            }
            len = (len - 1) / PAGE * PAGE;
        }
        file.write(op, at, &bytes[..len]);
        Ok(len)
    }

    pub(super) fn allocate(&mut self, op: OpNumber, ino: Ino, at: u64, len: u64) -> Result<(), IoError> {
        let free = self.free();
        let file = self.files.get_mut(&ino).expect("an open file");
        if file.missing_pages(at, len) * PAGE as u64 > free {
            return Err(IoError::new(libc::ENOSPC));
        }
        file.allocate(op, at, len);
        Ok(())
    }

    pub(super) fn truncate(&mut self, op: OpNumber, ino: Ino, len: u64) {
        let gone = self.files.get_mut(&ino).expect("an open file").truncate(op, len);
        self.graveyard.extend(gone);
        self.bound_graveyard();
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), IoError> {
        let (dir, name) = self.locate(from)?;
        let (to_dir, to_name) = self.locate(to)?;
        let node = *self.dirs[&dir]
            .seen
            .get(&name)
            .ok_or(IoError::new(libc::ENOENT))?;
        match (node, self.dirs[&to_dir].seen.get(&to_name)) {
            (Node::File(_), Some(Node::Dir(_))) => return Err(IoError::new(libc::EISDIR)),
            (Node::Dir(_), Some(Node::File(_))) => return Err(IoError::new(libc::ENOTDIR)),
            (Node::Dir(_), Some(Node::Dir(old))) if !self.dirs[old].seen.is_empty() => {
                return Err(IoError::new(libc::ENOTEMPTY));
            }
            _ => {}
        }
        if (dir, &name) != (to_dir, &to_name) {
            let gone = Assignment {
                dir,
                name,
                node: None,
            };
            self.change(vec![
                gone,
                Assignment {
                    dir: to_dir,
                    name: to_name,
                    node: Some(node),
                },
            ]);
            self.bury_unnamed();
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> Result<(), IoError> {
        let (dir, name) = self.locate(path)?;
        match self.dirs[&dir].seen.get(&name) {
            None => return Err(IoError::new(libc::ENOENT)),
            Some(Node::Dir(_)) => return Err(IoError::new(libc::EISDIR)),
            Some(Node::File(_)) => {}
        }
        self.change(vec![Assignment {
            dir,
            name,
            node: None,
        }]);
        self.bury_unnamed();
        Ok(())
    }

    pub(super) fn make_dir(&mut self, path: &Path) -> Result<(), IoError> {
        let (dir, name) = self.locate(path)?;
        if self.dirs[&dir].seen.contains_key(&name) {
            return Err(IoError::new(libc::EEXIST));
        }
        let ino = self.number();
        self.dirs.insert(ino, Directory::default());
        self.change(vec![Assignment {
            dir,
            name,
            node: Some(Node::Dir(ino)),
        }]);
        Ok(())
    }

    /// Makes the changes of names durable that touch this directory.
    pub(super) fn sync_dir(&mut self, path: &Path) -> Result<(), IoError> {
        let dir = self.directory(path)?;
        let changes = std::mem::take(&mut self.changes);
        let (durable, open): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| change.iter().any(|assignment| assignment.dir == dir));
        self.changes = open;
        durable.iter().for_each(|change| self.make_durable(change));
        if !self.unnamed.is_empty() {
            self.bury_unnamed();
        }
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<Entry>, IoError> {
        let dir = self.directory(path)?;
        let entry = |(name, node): (&String, &Node)| match node {
            Node::Dir(_) => Entry {
                name: name.clone(),
                is_dir: true,
                size: 0,
            },
            Node::File(ino) => Entry {
                name: name.clone(),
                is_dir: false,
                size: self.files[ino].size,
            },
        };
        Ok(self.dirs[&dir].seen.iter().map(entry).collect())
    }

    pub(super) fn space(&self, path: &Path) -> Result<DiskSpace, IoError> {
        if path.components().any(|part| matches!(part, Component::Normal(_))) {
            let (dir, name) = self.locate(path)?;
            self.dirs[&dir]
                .seen
                .get(&name)
                .ok_or(IoError::new(libc::ENOENT))?;
        }
        Ok(DiskSpace {
            free: self.free(),
            total: self.capacity,
        })
    }

    /// The file that a path names as it is seen.
    pub(super) fn lookup(&self, path: &Path) -> Option<Ino> {
        let (dir, name) = self.locate(path).ok()?;
        match self.dirs[&dir].seen.get(&name)? {
            Node::File(ino) => Some(*ino),
            Node::Dir(_) => None,
        }
    }

    /// Paths of all files, sorted.
    pub(super) fn paths(&self) -> Vec<std::path::PathBuf> {
        let mut paths = Vec::new();
        let mut open = vec![(ROOT, std::path::PathBuf::from("/"))];
        while let Some((dir, at)) = open.pop() {
            for (name, node) in &self.dirs[&dir].seen {
                match node {
                    Node::File(_) => paths.push(at.join(name)),
                    Node::Dir(below) => open.push((*below, at.join(name))),
                }
            }
        }
        paths.sort();
        paths
    }

    /// Sectors that do not hold what they should.
    pub(super) fn lies(&self) -> Vec<Lie> {
        let mut lies = Vec::new();
        for path in self.paths() {
            let file = &self.files[&self.lookup(&path).expect("a path of this disk")];
            lies.extend(file.lies().map(|sector| Lie {
                path: path.clone(),
                at: sector * SECTOR as u64,
            }));
        }
        lies
    }

    /// A write for `ino` lands where `prng` leads it: elsewhere in the file, or in another one.
    pub(super) fn misdirect(&mut self, op: OpNumber, ino: Ino, at: u64, bytes: &[u8], prng: &mut Prng) {
        let files = self
            .files
            .iter()
            .filter(|(other, file)| **other != ino && file.size > 0);
        let others: Vec<Ino> = files.map(|(other, _)| *other).collect();
        let own_pages = self.files[&ino].size.div_ceil(PAGE as u64);
        let victim = match others.is_empty() || own_pages > 1 && prng.coin() {
            true => ino,
            false => others[prng.index(others.len())],
        };
        self.files.get_mut(&ino).expect("an open file").lose(at, bytes);
        let file = self.files.get_mut(&victim).expect("chosen above");
        let pages = file.size.div_ceil(PAGE as u64);
        let page = match victim == ino {
            true if pages < 2 => return,
            true => (at / PAGE as u64 + 1 + prng.below(pages - 1)) % pages,
            false => prng.below(pages),
        };
        let landed = page * PAGE as u64;
        let len = bytes.len().min((file.size - landed) as usize);
        file.corrupt(op, landed, &bytes[..len]);
    }

    /// What a power cut leaves: every name, size and sector that is not durable survives, or not, on its own.
    pub(super) fn crashed(&self, prng: &mut Prng) -> Disk {
        let mut disk = self.clone();
        let changes = std::mem::take(&mut disk.changes);
        // Some file systems keep the order of changes, some do not: each crash is one of both.
        let ordered = prng.coin();
        let prefix = prng.index(changes.len() + 1);
        for (number, change) in changes.iter().enumerate() {
            let survives = if ordered { number < prefix } else { prng.coin() };
            if survives {
                disk.make_durable(change);
            }
        }
        disk.opened.clear();
        disk.dirs
            .values_mut()
            .for_each(|dir| dir.seen = dir.durable.clone());
        let graveyard = disk.graveyard.clone();
        for file in disk.files.values_mut() {
            *file = file.crashed(prng, |prng| stale(&graveyard, prng));
        }
        disk.unnamed = disk.files.keys().copied().collect();
        disk.bury_unnamed();
        disk
    }

    /// As a process that ends leaves it to the next one: as it is seen, no more durable than it was, nothing open.
    pub(super) fn left(mut self, prng: &mut Prng) -> Disk {
        self.opened.clear();
        self.files.values_mut().for_each(|file| file.leave(prng));
        self.bury_unnamed();
        self
    }

    /// As it is seen, made durable, nothing open.
    pub(super) fn settled(&self) -> Disk {
        let mut disk = self.clone();
        disk.changes.clear();
        disk.opened.clear();
        disk.dirs
            .values_mut()
            .for_each(|dir| dir.durable = dir.seen.clone());
        disk.files
            .values_mut()
            .for_each(|file| file.flush(None, |_| true));
        disk.unnamed = disk.files.keys().copied().collect();
        disk.bury_unnamed();
        disk
    }

    fn free(&self) -> u64 {
        let used: u64 = self.files.values().map(Inode::space).sum();
        self.capacity.saturating_sub(used)
    }

    fn number(&mut self) -> Ino {
        self.next += 1;
        self.next - 1
    }

    fn change(&mut self, change: Vec<Assignment>) {
        for Assignment { dir, name, node } in &change {
            let seen = &mut self.dirs.get_mut(dir).expect("a directory").seen;
            let old = match node {
                Some(node) => seen.insert(name.clone(), *node),
                None => seen.remove(name),
            };
            if let Some(Node::File(ino)) = old {
                self.unnamed.insert(ino);
            }
        }
        self.changes.push(change);
    }

    fn make_durable(&mut self, change: &[Assignment]) {
        for Assignment { dir, name, node } in change {
            let durable = &mut self.dirs.get_mut(dir).expect("a directory").durable;
            match node {
                Some(node) => durable.insert(name.clone(), *node),
                None => durable.remove(name),
            };
        }
    }

    /// Gives back the space of files that no name, no change and no descriptor holds.
    fn bury_unnamed(&mut self) {
        let files = |node: &Node| match node {
            Node::File(ino) => Some(*ino),
            Node::Dir(_) => None,
        };
        let seen = self.dirs.values().flat_map(|dir| dir.seen.values());
        let seen: BTreeSet<Ino> = seen.filter_map(files).collect();
        let durable = self.dirs.values().flat_map(|dir| dir.durable.values());
        let changing = self
            .changes
            .iter()
            .flatten()
            .filter_map(|assignment| assignment.node.as_ref());
        self.unnamed.retain(|ino| !seen.contains(ino));
        let held: BTreeSet<Ino> = durable.chain(changing).filter_map(files).collect();
        let is_held = |ino: &Ino| held.contains(ino) || self.opened.contains_key(ino);
        let (kept, gone): (BTreeSet<_>, BTreeSet<_>) = self.unnamed.iter().partition(|ino| is_held(ino));
        self.unnamed = kept;
        for ino in gone {
            let file = self
                .files
                .remove(&ino)
                .expect("a file that nothing holds any more");
            self.graveyard.extend(file.pages.into_values());
        }
        self.bound_graveyard();
    }

    fn bound_graveyard(&mut self) {
        let excess = self.graveyard.len().saturating_sub(GRAVEYARD_MAX);
        self.graveyard.drain(..excess);
    }

    fn directory(&self, path: &Path) -> Result<Ino, IoError> {
        let mut dir = ROOT;
        for part in path.components() {
            match part {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => match self.dirs[&dir].seen.get(text(name)?) {
                    Some(Node::Dir(below)) => dir = *below,
                    Some(Node::File(_)) => return Err(IoError::new(libc::ENOTDIR)),
                    None => return Err(IoError::new(libc::ENOENT)),
                },
                // Nobody here walks upwards.
                Component::ParentDir | Component::Prefix(_) => return Err(IoError::new(libc::EINVAL)),
            }
        }
        Ok(dir)
    }

    /// The directory and the name in it.
    fn locate(&self, path: &Path) -> Result<(Ino, String), IoError> {
        let name = path.file_name().ok_or(IoError::new(libc::EINVAL))?;
        let dir = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        Ok((dir, text(name)?.to_owned()))
    }
}

fn text(name: &OsStr) -> Result<&str, IoError> {
    let name = name.to_str().ok_or(IoError::new(libc::EINVAL))?;
    if name.contains('\0') {
        Err(IoError::new(libc::EINVAL))
    } else {
        Ok(name)
    }
}

/// Content of space that never became durable: of a file that is gone, or noise.
fn stale(graveyard: &[Page], prng: &mut Prng) -> Page {
    if !graveyard.is_empty() && prng.coin() {
        return Arc::clone(&graveyard[prng.index(graveyard.len())]);
    }
    let mut page = [0; PAGE];
    page.chunks_mut(8)
        .for_each(|chunk| chunk.copy_from_slice(&prng.next().to_le_bytes()));
    Arc::new(page)
}

const ROOT: Ino = 1;
const GRAVEYARD_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn create(disk: &mut Disk, path: &str) -> Ino {
        disk.open(Path::new(path), true, true, true).unwrap()
    }

    fn outcomes(disk: &Disk) -> BTreeSet<Vec<String>> {
        let names = |seed| {
            let after = disk.crashed(&mut Prng::new(seed, 0));
            after
                .paths()
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        (0..200).map(names).collect()
    }

    #[test]
    fn names_are_volatile_until_the_directory_is_synced() {
        let mut disk = Disk::new(1 << 30);
        create(&mut disk, "/a");
        assert_eq!(outcomes(&disk), [vec![], vec!["/a".into()]].into());
        disk.sync_dir(Path::new("/")).unwrap();
        disk.rename(Path::new("/a"), Path::new("/b")).unwrap();
        assert_eq!(outcomes(&disk), [vec!["/a".into()], vec!["/b".into()]].into());
        disk.sync_dir(Path::new("/")).unwrap();
        assert_eq!(outcomes(&disk), [vec!["/b".into()]].into());
        disk.unlink(Path::new("/b")).unwrap();
        assert_eq!(outcomes(&disk), [vec![], vec!["/b".into()]].into());
    }

    #[test]
    fn a_file_in_a_lost_directory_is_lost() {
        let mut disk = Disk::new(1 << 30);
        disk.make_dir(Path::new("/d")).unwrap();
        create(&mut disk, "/d/a");
        disk.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(outcomes(&disk), [vec![], vec!["/d/a".into()]].into());
    }

    #[test]
    fn space_is_counted_and_comes_back() {
        let mut disk = Disk::new(4 * PAGE as u64);
        let ino = create(&mut disk, "/a");
        assert_eq!(
            disk.write(1, ino, 0, &[1; 6 * PAGE]),
            Ok(4 * PAGE),
            "a short write first"
        );
        assert_eq!(
            disk.write(2, ino, 4 * PAGE as u64, &[1; PAGE]).unwrap_err().errno,
            libc::ENOSPC
        );
        assert_eq!(
            disk.write(3, ino, 0, &[2; PAGE]),
            Ok(PAGE),
            "written space can be written"
        );
        disk.unlink(Path::new("/a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        assert_eq!(disk.free(), 0, "still open");
        disk.close(ino);
        assert_eq!(disk.free(), 4 * PAGE as u64);
        let other = create(&mut disk, "/b");
        assert_eq!(
            disk.allocate(4, other, 0, 5 * PAGE as u64).unwrap_err().errno,
            libc::ENOSPC
        );
        assert_eq!(disk.allocate(5, other, 0, 4 * PAGE as u64), Ok(()));
    }
}
