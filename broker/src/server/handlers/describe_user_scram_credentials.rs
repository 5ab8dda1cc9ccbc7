//! DescribeUserScramCredentials: nobody has credentials yet, as nobody is asked for any.

use std::collections::BTreeMap;

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeUserScramCredentialsRequest::decode(reader, request.to.version)?;
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for user in body.users.iter().flatten() {
        *asked.entry(user.name).or_default() += 1;
    }
    let answer = DescribeUserScramCredentialsResponse {
        error_message: Some(""),
        results: asked.into_iter().map(result).collect(),
        ..DescribeUserScramCredentialsResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

fn result((user, times): (&str, usize)) -> DescribeUserScramCredentialsResult<'_> {
    let (error, message) = match times {
        1 => (ErrorCode::ResourceNotFound, "The user has no credentials."),
        _ => (
            ErrorCode::DuplicateResource,
            "The user is asked for more than once.",
        ),
    };
    DescribeUserScramCredentialsResult {
        user,
        error_code: error as i16,
        error_message: Some(message),
        credential_infos: Vec::new(),
    }
}
