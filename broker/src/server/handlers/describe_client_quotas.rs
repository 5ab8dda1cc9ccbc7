//! DescribeClientQuotas: how much clients may ask for.

use millstream_machine::cluster::alter_client_quotas::{FoundQuotas, QuotaFilter, describe_client_quotas};
use millstream_protocol::error::DecodeError;
use millstream_protocol::message::describe_client_quotas::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};
use millstream_protocol::message::{Decode, Float64};
use millstream_protocol::primitive::Reader;

use super::admin;
use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeClientQuotasRequest::decode(reader, request.to.version)?;
    let filters = body.components.iter().map(|component| QuotaFilter {
        entity_type: component.entity_type,
        match_type: component.match_type,
        name: component.r#match,
    });
    let filters: Vec<_> = filters.collect();
    let image = shard.image.clone();
    match describe_client_quotas(&image, &filters, body.strict) {
        Ok(found) => {
            let answer = DescribeClientQuotasResponse {
                entries: Some(found.iter().map(entry).collect()),
                ..DescribeClientQuotasResponse::default()
            };
            shard.reply(request.to, &answer);
        }
        Err(refusal) => {
            let answer = DescribeClientQuotasResponse {
                error_code: refusal.code as i16,
                error_message: admin::message(&refusal),
                entries: None,
                ..DescribeClientQuotasResponse::default()
            };
            shard.reply(request.to, &answer);
        }
    }
    Ok(())
}

fn entry<'a>((entity, values): &FoundQuotas<'a>) -> EntryData<'a> {
    let parts = entity.parts().map(|(entity_type, name)| EntityData {
        entity_type,
        entity_name: name.text(),
    });
    let values = values.iter().map(|(key, value)| ValueData {
        key,
        value: Float64::new(value.get()),
    });
    EntryData {
        entity: parts.collect(),
        values: values.collect(),
    }
}
