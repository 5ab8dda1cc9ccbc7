//! DescribeClientQuotas: how much users, clients and addresses may ask of the brokers (KIP-546).

use alloc::vec::Vec;

use super::schema::{exchange, message};
use super::value::Float64;

exchange!(DescribeClientQuotas: DescribeClientQuotasRequest<'a>, DescribeClientQuotasResponse<'r>);

message! {
    pub struct DescribeClientQuotasRequest<'a> {
        components: Vec<ComponentData<'a>> [0..],
        /// Whether entities that have other parts as well are left out.
        strict: bool [0..],
    }
}

message! {
    pub struct ComponentData<'a> {
        /// `user`, `client-id` or `ip`.
        entity_type: &'a str [0..],
        /// 0: this name; 1: the default; 2: any name.
        match_type: i8 [0..],
        /// Null unless it is a name.
        r#match: Option<&'a str> [0..],
    }
}

message! {
    pub struct DescribeClientQuotasResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        /// Null after an error.
        entries: Option<Vec<EntryData<'a>>> [0..],
    }
}

message! {
    pub struct EntryData<'a> {
        entity: Vec<EntityData<'a>> [0..],
        values: Vec<ValueData<'a>> [0..],
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
    pub struct ValueData<'a> {
        /// `producer_byte_rate`, `consumer_byte_rate`, `request_percentage`, …
        key: &'a str [0..],
        value: Float64 [0..],
    }
}
