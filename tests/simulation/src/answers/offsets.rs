//! Where logs start and end, what lies at a time, and where records were deleted.

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::{DeleteRecordsResponse, ListOffsetsResponse};

use super::Answer;
use crate::swarm::Trouble;
use crate::workload::*;

impl Workload {
    pub(super) fn list_offsets_answered(
        &mut self,
        answer: Answer<'_>,
        of: PartitionAsked,
        earliest: bool,
        bound: i64,
    ) -> Result<(), String> {
        let PartitionAsked {
            topic,
            version,
            partition,
        } = of;
        let answer: ListOffsetsResponse<'_> = answer.open(ApiKey::ListOffsets, LIST_OFFSETS)?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let data = partitions
            .next()
            .ok_or("a ListOffsets answer without its partition")?;
        if self.model.topics[topic].version != version || self.model.hurt {
            return Ok(());
        }
        if data.error_code != 0 && self.model.may_refuse(topic, partition) {
            return Ok(());
        }
        let retains = self.model.topics[topic].retained_min.is_some();
        let known = &mut self.model.topics[topic].partitions[partition];
        let right = match earliest {
            true => data.offset >= bound && (retains || data.offset <= known.start_asked),
            false => data.offset >= bound,
        };
        if data.error_code != 0 || !right {
            let (offset, error) = (data.offset, data.error_code);
            let what = if earliest { "start" } else { "end" };
            return Err(format!(
                "topic {topic}-{partition}: its {what} is {offset}, not {bound}: {error}"
            ));
        }
        match earliest {
            true => known.start_told = known.start_told.max(data.offset),
            false => known.end_min = known.end_min.max(data.offset),
        }
        Ok(())
    }

    /// The first record of a time or a later one. Of records that came while it was looked for nobody knows.
    pub(super) fn found_by_time(
        &mut self,
        answer: Answer<'_>,
        asked: PartitionAsked,
        at: i64,
        end_min: i64,
    ) -> Result<(), String> {
        let PartitionAsked {
            topic,
            version,
            partition,
        } = asked;
        let answer: ListOffsetsResponse<'_> = answer.open(ApiKey::ListOffsets, LIST_OFFSETS)?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let data = partitions
            .next()
            .ok_or("a ListOffsets answer without its partition")?;
        let of = &self.model.topics[topic];
        if of.version != version || self.model.hurt {
            return Ok(());
        }
        let name = &of.name;
        let (offset, time) = (data.offset, data.timestamp);
        if data.error_code != 0 {
            let may_refuse =
                self.model.may_refuse(topic, partition) || self.swarm.trouble == Trouble::Shortage;
            return match may_refuse {
                true => Ok(()),
                false => Err(format!(
                    "{name}-{partition}: time {at} is not looked up: {}",
                    data.error_code
                )),
            };
        }
        if offset >= 0 && time < at {
            return Err(format!(
                "{name}-{partition}: time {at} is found at {offset}, of {time}"
            ));
        }
        let known = &of.partitions[partition];
        // Where nothing was found, what was there when it was asked for counts, otherwise what lies before.
        let before = if offset < 0 { end_min } else { offset };
        for (base, number) in &known.placed {
            let batch = &self.model.batches[*number as usize];
            if of.stamps && batch.seen_in.get() != of.incarnation {
                // Nobody knows what time it has.
                continue;
            }
            let records = (*base..).zip(batch.times_seen());
            for (place, its) in records {
                if place == offset && its != time {
                    return Err(format!(
                        "{name}-{partition}: time {at} is found at {offset}, of {time}, which has {its}"
                    ));
                }
                let is_there = place >= known.start_asked && of.retained_min.is_none();
                let is_missed = its >= at && place < before && is_there;
                if is_missed && !self.model.may_refuse(topic, partition) {
                    return Err(format!(
                        "{name}-{partition}: time {at} is found at {offset}, {place} has {its}"
                    ));
                }
            }
        }
        if offset >= 0 {
            self.eyes.mark("record found by its time");
        }
        Ok(())
    }

    pub(super) fn delete_records_answered(
        &mut self,
        answer: Answer<'_>,
        of: PartitionAsked,
        before: i64,
    ) -> Result<(), String> {
        let PartitionAsked {
            topic,
            version,
            partition,
        } = of;
        let answer: DeleteRecordsResponse<'_> = answer.open(ApiKey::DeleteRecords, DELETE_RECORDS)?;
        self.model.topics[topic].trims -= 1;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let data = partitions
            .next()
            .ok_or("a DeleteRecords answer without its partition")?;
        if self.model.topics[topic].version != version {
            return Ok(());
        }
        if data.error_code != 0 {
            return match self.excused_at(data.error_code, topic, partition) {
                true => Ok(()),
                false => Err(format!(
                    "topic {topic}-{partition}: DeleteRecords before {before}: {}",
                    data.error_code
                )),
            };
        }
        if data.low_watermark < before {
            return Err(format!(
                "records before {before} are deleted, the log starts at {}",
                data.low_watermark
            ));
        }
        self.eyes.mark("records deleted");
        let known = &mut self.model.topics[topic].partitions[partition];
        known.start_durable = known.start_durable.max(before);
        Ok(())
    }
}
