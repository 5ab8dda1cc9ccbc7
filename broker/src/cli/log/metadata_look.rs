//! The cluster's metadata as a start would read it, and what is not as it should be in it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use millstream_log::layout;
use millstream_machine::cluster::image::ClusterImage;
use millstream_storage::boot::{Finding, Means};

use crate::cli::{Exit, Failure};
use crate::controller::metadata_log::{METADATA, MetadataLog, MetadataLogError};
use crate::startup::metadata;

/// What was found.
pub struct LookedMetadata {
    /// `None` where it does not read.
    pub image: Option<Arc<ClusterImage>>,
    torn: Option<Finding>,
}

/// Reads the metadata of a data directory and changes nothing. `each` hears what is not as it should be.
pub fn look(data_dir: &Path, each: &mut dyn FnMut(Finding)) -> Result<LookedMetadata, Failure> {
    let is_begun = data_dir.join(layout::IDENTITY).exists();
    let directory = &data_dir.join(METADATA);
    tell_foreign(directory, each);
    let (image, torn) = match MetadataLog::look(directory) {
        // A directory whose first start was interrupted.
        Err(_) if !is_begun => (None, None),
        Err(MetadataLogError::Damaged { path, at, what }) => {
            each(finding(&path, Some(at), what.to_owned(), Means::Refused));
            (None, None)
        }
        Err(MetadataLogError::Io { path, error }) if error.kind() == io::ErrorKind::NotFound => {
            each(finding(&path, None, "it is missing".to_owned(), Means::Refused));
            (None, None)
        }
        Err(error) => return Err(Failure::new(Exit::Unseen, error.to_string())),
        Ok(contents) => {
            let torn = (contents.torn_bytes > 0).then(|| {
                let what = format!("the last entry cannot be read ({} bytes)", contents.torn_bytes);
                finding(&contents.log, Some(contents.end), what, Means::Refused)
            });
            let log = contents.log.clone();
            match metadata::replay(contents) {
                Ok(image) => (Some(image), torn),
                Err(error) => {
                    each(finding(&log, None, error.to_string(), Means::Refused));
                    (None, torn)
                }
            }
        }
    };
    Ok(LookedMetadata { image, torn })
}

impl LookedMetadata {
    /// What is torn at its end: how the directory was closed tells what that means.
    pub fn into_torn(self, clean: bool) -> Option<Finding> {
        let means = if clean { Means::Refused } else { Means::Cut };
        self.torn.map(|torn| Finding { means, ..torn })
    }
}

fn tell_foreign(directory: &Path, each: &mut dyn FnMut(Finding)) {
    let names = fs::read_dir(directory).into_iter().flatten();
    for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if !MetadataLog::is_name(&name) {
            let what = "this is none of Millstream's files".to_owned();
            each(finding(&directory.join(name), None, what, Means::Ignored));
        }
    }
}

fn finding(file: &Path, at: Option<u64>, what: String, means: Means) -> Finding {
    Finding {
        file: below(file),
        at,
        partition: None,
        offsets: None,
        what,
        means,
    }
}

/// A path in the metadata's directory, as seen from the data directory.
fn below(path: &Path) -> String {
    match path.file_name() {
        Some(name) if name != METADATA => format!("{METADATA}/{}", name.to_string_lossy()),
        _ => METADATA.to_owned(),
    }
}
