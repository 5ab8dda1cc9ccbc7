//! AlterClientQuotas: sets how much users, clients and addresses may ask of the brokers (KIP-546).

use alloc::vec::Vec;

use super::schema::{exchange, message};
use super::value::Float64;

exchange!(AlterClientQuotas: AlterClientQuotasRequest<'a>, AlterClientQuotasResponse<'r>);

message! {
    pub struct AlterClientQuotasRequest<'a> {
        entries: Vec<EntryData<'a>> [0..],
        validate_only: bool [0..],
    }
}

message! {
    pub struct EntryData<'a> {
        entity: Vec<EntityData<'a>> [0..],
        ops: Vec<OpData<'a>> [0..],
    }
}

message! {
    pub struct EntityData<'a> {
        /// `user`, `client-id` or `ip`.
        entity_type: &'a str [0..],
        /// Null for the default.
        entity_name: Option<&'a str> [0..],
    }
}

message! {
    pub struct OpData<'a> {
        /// `producer_byte_rate`, `consumer_byte_rate`, `request_percentage`, …
        key: &'a str [0..],
        /// Without meaning where it is removed.
        value: Float64 [0..],
        remove: bool [0..],
    }
}

message! {
    pub struct AlterClientQuotasResponse<'a> {
        throttle_time_ms: i32 [0..],
        entries: Vec<EntryResult<'a>> [0..],
    }
}

message! {
    pub struct EntryResult<'a> {
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        entity: Vec<EntityData<'a>> [0..],
    }
}
