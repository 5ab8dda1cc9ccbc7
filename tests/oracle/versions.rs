//! What a broker says it speaks, and what it says to versions that it does not.

use millstream_protocol::api::{API_TABLE, ApiKey};
use millstream_protocol::message::api_versions::ApiVersionsRequest;
use millstream_tests::wire::produce;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    let named = |client_software_name, client_software_version| ApiVersionsRequest {
        client_software_name,
        client_software_version,
    };
    talk.ask_in_all("a client", &named("oracle", "1.0"));
    talk.ask("a name that is none", &named("", "1.0"), 3);
    talk.ask("a version that is none", &named("oracle", "a b"), 4);

    talk.raw(
        ApiKey::ApiVersions,
        "version 99",
        &frame(ApiKey::ApiVersions, 99, &[0]),
    );
    talk.raw(
        ApiKey::ApiVersions,
        "version -1",
        &frame(ApiKey::ApiVersions, -1, &[]),
    );
    talk.raw(ApiKey::Metadata, "version 99", &frame(ApiKey::Metadata, 99, &[0]));
    talk.raw(ApiKey::Fetch, "version 3", &frame(ApiKey::Fetch, 3, &[]));
    for spec in API_TABLE {
        for (case, version) in [
            ("the version below", spec.min - 1),
            ("the version above", spec.max + 1),
        ] {
            talk.raw(spec.key, case, &frame(spec.key, version, &[0]));
        }
    }
    talk.topic("versioned", 1, &[]);
    for version in 0..ApiKey::Produce.spec().min {
        talk.ask(
            "before versions that are served",
            &produce("versioned", 0, b"", 1),
            version,
        );
    }
    talk.raw(
        ApiKey::Metadata,
        "a body cut short",
        &frame(ApiKey::Metadata, 5, &[0, 0]),
    );
    talk.raw(
        ApiKey::Metadata,
        "a count beyond the bytes",
        &frame(ApiKey::Metadata, 5, &[0x7f; 8]),
    );
}

/// A request with its header, the client's id being null.
fn frame(api: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let key = api.code().to_be_bytes();
    let tags: &[u8] = if api.spec().is_flexible(version) {
        &[0]
    } else {
        &[]
    };
    let content = [
        &key[..],
        &version.to_be_bytes(),
        &[0, 0, 0, 7, 0xff, 0xff],
        tags,
        body,
    ]
    .concat();
    [&(content.len() as u32).to_be_bytes()[..], &content].concat()
}
