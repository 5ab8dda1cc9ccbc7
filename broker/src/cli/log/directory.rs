//! A data directory as the next start would have it, read by the start's own reading, and what is not as it should be
//! in it. Damage ends nothing here.

use std::path::{Path, PathBuf};

use millstream_log::{Identity, Recovered, RecoveredPartition};
use millstream_machine::cluster::image::ClusterImage;
use millstream_protocol::types::TopicId;
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_storage::OpenError;
use millstream_storage::boot::{self, Finding, Looked};

use super::metadata_file::Metadata;
use super::metadata_look;
use crate::cli::{Exit, Failure};
use crate::controller::metadata_log::METADATA;
use crate::startup::metadata::TopicsOf;

pub struct DataDirectory {
    pub path: PathBuf,
    /// `None` where it does not read.
    pub identity: Option<Identity>,
    /// Empty where it does not read.
    pub metadata: Metadata,
    pub image: ClusterImage,
    pub recovered: Recovered,
    /// What is damaged besides partitions.
    pub damage: Vec<Finding>,
}

impl DataDirectory {
    pub fn open(path: &Path) -> Result<DataDirectory, Failure> {
        if !path.is_dir() {
            let path = path.display().to_string();
            return Err(unseen(OpenError::NotADirectory { path }));
        }
        let mut damage = Vec::new();
        let mut each = |finding: Finding| damage.extend(finding.means.is_damage().then_some(finding));
        let looked_metadata = metadata_look::look(path, &mut each)?;
        let metadata = match Metadata::read(&path.join(METADATA)) {
            // It was told of above.
            Err(failure) if failure.exit == Exit::Damaged => Metadata::default(),
            read => read?,
        };
        let image = match &looked_metadata.image {
            Some(image) => ClusterImage::clone(image),
            None => metadata.image(),
        };
        let looked = boot::look(&mut ring()?, path, &TopicsOf::new(&image), &mut each);
        let Looked {
            identity, recovered, ..
        } = looked.map_err(unseen)?;
        let clean = recovered.clean && !recovered.journals.is_empty();
        looked_metadata.into_torn(clean).into_iter().for_each(each);
        Ok(DataDirectory {
            path: path.to_owned(),
            identity,
            metadata,
            image,
            recovered,
            damage,
        })
    }

    /// The topic's name; its id where the metadata does not know it.
    pub fn topic_name(&self, id: TopicId) -> String {
        let deleted = || self.image.deleted_topics().find(|(deleted, _)| *deleted == id);
        match self.image.topic(id) {
            Some(topic) => topic.name.to_string(),
            None => match deleted() {
                Some((_, name)) => format!("{name} (deleted)"),
                None => String::from_utf8_lossy(&id.to_base64()).into_owned(),
            },
        }
    }

    /// In order of name and partition; those of one topic and one partition, where they are wanted.
    pub fn partitions(
        &self,
        topic: Option<&str>,
        partition: Option<i32>,
    ) -> Vec<(String, &RecoveredPartition)> {
        let named = self
            .recovered
            .partitions
            .iter()
            .map(|found| (self.topic_name(found.state.key().topic), found));
        let wanted = named.filter(|(name, found)| {
            topic.is_none_or(|topic| topic == name)
                && partition.is_none_or(|partition| partition == found.state.key().partition.get())
        });
        let mut partitions: Vec<_> = wanted.collect();
        partitions.sort_by(|a, b| (&a.0, a.1.state.key()).cmp(&(&b.0, b.1.state.key())));
        partitions
    }
}

/// A ring for a tool that reads a directory.
pub fn ring() -> Result<UringRing, Failure> {
    UringRing::new(UringOptions::default())
        .map_err(|error| Failure::new(Exit::Failed, format!("io_uring cannot be used: {error}")))
}

fn unseen(error: OpenError) -> Failure {
    let exit = match error {
        OpenError::NotADirectory { .. } => Exit::NotFound,
        OpenError::NewerFormat { .. } => Exit::Unseen,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
