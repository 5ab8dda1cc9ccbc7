//! Connections that only sit there and ask for the broker's versions now and then, as clients that have nothing to do.

use std::sync::Arc;
use std::time::Instant;

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::ApiVersionsRequest;

use crate::client::connection::Request;
use crate::client::driver::Workload;
use crate::recorder::Work;
use crate::wire;

/// Sends one request over and over: the smallest that every broker answers, with or without authentication.
#[derive(Debug)]
pub struct IdleWorkload {
    body: Arc<[u8]>,
}

impl IdleWorkload {
    pub fn new() -> Self {
        let body = wire::body(&ApiVersionsRequest::default(), API_VERSIONS_VERSION)
            .expect("a request of our own fits the protocol");
        IdleWorkload { body: body.into() }
    }
}

impl Default for IdleWorkload {
    fn default() -> Self {
        Self::new()
    }
}

impl Workload for IdleWorkload {
    fn next(&mut self, _: usize, _: Instant) -> Option<Request> {
        Some(Request {
            api_key: ApiKey::ApiVersions.code(),
            api_version: API_VERSIONS_VERSION,
            body: self.body.clone(),
        })
    }

    /// No records.
    fn answer(&mut self, _: usize, payload: &[u8]) -> Result<Work, String> {
        let answer = wire::answer::<ApiVersionsRequest<'_>>(payload, API_VERSIONS_VERSION)
            .map_err(|error| error.to_string())?;
        wire::check_code("ApiVersions", -1, answer.error_code)?;
        Ok(Work::default())
    }
}

const API_VERSIONS_VERSION: i16 = 0;
