//! Decisions about quotas of clients, and what there is of them.
//!
//! Place: as [`super::controller`]. Refusals are those of Kafka's controller.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::controller::{Controller, Refusal, refuse};
use super::image::ClusterImage;
use super::record::MetadataRecord;
use crate::quota::entity::{CLIENT_ID, IP, Name, QuotaEntity, USER};
use crate::quota::{Quotas, Rate};

/// One entity of a request, as on the wire.
#[derive(Clone, Debug)]
pub struct AlterQuotas<'a> {
    /// Types and names; no name is the default.
    pub entity: Vec<(&'a str, Option<&'a str>)>,
    /// Keys and values; no value takes it back.
    pub changes: Vec<(&'a str, Option<f64>)>,
}

/// One part of what is looked for, as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct QuotaFilter<'a> {
    pub entity_type: &'a str,
    /// 0: this name; 1: the default; 2: any name.
    pub match_type: i8,
    pub name: Option<&'a str>,
}

/// An entity with all quotas of it.
pub type FoundQuotas<'i> = (&'i QuotaEntity, Vec<(&'i str, Rate)>);

impl Controller<'_> {
    /// Decides on one entity; the changes are records, to be committed together.
    pub fn alter_client_quotas(&self, asked: &AlterQuotas<'_>) -> Result<Vec<MetadataRecord>, Refusal> {
        let entity = entity_of(&asked.entity)?;
        let mut after = self.image.quotas().clone();
        let mut records = Vec::new();
        for (key, value) in &asked.changes {
            let value = check_value(&entity, key, *value)?;
            if after.get(&entity, key) != value {
                after.set(&entity, key, value);
                records.push(MetadataRecord::ClientQuotaChanged {
                    entity: entity.clone(),
                    key: (*key).to_string(),
                    value,
                });
            }
        }
        let before = self.image.quotas().metadata_bytes();
        self.check_metadata_bytes(before, after.metadata_bytes())?;
        Ok(records)
    }
}

/// Finds the quotas of the entities that have each part that is looked for; `strict`: and no other.
pub fn describe_client_quotas<'i>(
    image: &'i ClusterImage,
    filters: &[QuotaFilter<'_>],
    strict: bool,
) -> Result<Vec<FoundQuotas<'i>>, Refusal> {
    check_filters(filters)?;
    let fits = |entity: &QuotaEntity| {
        let all = filters.iter().all(|filter| {
            let mut parts = entity.parts();
            let part = parts.find(|(kind, _)| *kind == filter.entity_type);
            part.is_some_and(|(_, name)| match filter.match_type {
                EXACT => name.text().is_some() && name.text() == filter.name,
                DEFAULT => *name == Name::Default,
                _ => true,
            })
        });
        all && (!strict || entity.parts().count() == filters.len())
    };
    let found = Quotas::iter(image.quotas()).filter(|(entity, _)| fits(entity));
    let found = found.map(|(entity, values)| {
        let values = values.map(|(key, value)| (key.as_ref(), *value));
        (entity, values.collect())
    });
    Ok(found.collect())
}

fn check_filters(filters: &[QuotaFilter<'_>]) -> Result<(), Refusal> {
    for (at, filter) in filters.iter().enumerate() {
        let QuotaFilter {
            entity_type,
            match_type,
            name,
        } = *filter;
        if entity_type.is_empty() {
            return Err(invalid("An entity type is empty."));
        }
        if filters[..at].iter().any(|other| other.entity_type == entity_type) {
            return Err(invalid(format!("The entity type {entity_type} is there twice.")));
        }
        if ![USER, CLIENT_ID, IP].contains(&entity_type) {
            let message = format!("There is no entity type {entity_type}.");
            return Err(refuse(ErrorCode::UnsupportedVersion, message));
        }
        let right = match match_type {
            EXACT => name.is_some(),
            DEFAULT | ANY => name.is_none(),
            _ => false,
        };
        if !right {
            return Err(invalid(format!(
                "What is looked for of {entity_type} makes no sense."
            )));
        }
    }
    let has = |kind| filters.iter().any(|filter| filter.entity_type == kind);
    match has(IP) && filters.len() > 1 {
        true => Err(invalid(
            "An address is looked for alone, without user and client.",
        )),
        false => Ok(()),
    }
}

fn entity_of(parts: &[(&str, Option<&str>)]) -> Result<QuotaEntity, Refusal> {
    if parts.is_empty() {
        return Err(invalid("Whom the quota is for is empty."));
    }
    let mut entity = QuotaEntity::default();
    for (kind, name) in parts {
        let part = entity
            .part_mut(kind)
            .ok_or_else(|| invalid(format!("There is no entity type {kind}.")))?;
        if *name == Some("") {
            return Err(invalid(format!("The name of {kind} is empty.")));
        }
        if part.replace(Name::from_wire(*name)).is_some() {
            return Err(invalid(format!("The entity type {kind} is there twice.")));
        }
    }
    if entity.ip.is_some() && parts.len() > 1 {
        return Err(invalid("A quota for an address is for no user or client."));
    }
    Ok(entity)
}

fn check_value(entity: &QuotaEntity, key: &str, value: Option<f64>) -> Result<Option<Rate>, Refusal> {
    let (keys, whole): (&[&str], &[&str]) = match entity.ip {
        Some(_) => (&["connection_creation_rate"], &["connection_creation_rate"]),
        None => (
            &[
                "producer_byte_rate",
                "consumer_byte_rate",
                "request_percentage",
                "controller_mutation_rate",
            ],
            &["producer_byte_rate", "consumer_byte_rate"],
        ),
    };
    if !keys.contains(&key) {
        return Err(invalid(format!("There is no quota {key} here.")));
    }
    let Some(value) = value else { return Ok(None) };
    let too_little = match entity.ip {
        Some(_) => value < 0.0,
        None => value <= 0.0,
    };
    if too_little || value.is_nan() {
        return Err(invalid(format!("The quota {key} is too small.")));
    }
    let rest = value % 1.0;
    if whole.contains(&key) && (value > i64::MAX as f64 || rest > 1e-6 && rest < 1.0 - 1e-6) {
        return Err(invalid(format!("The quota {key} is a whole number.")));
    }
    Ok(Some(Rate::new(value)))
}

fn invalid(message: impl Into<String>) -> Refusal {
    refuse(ErrorCode::InvalidRequest, message)
}

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;
