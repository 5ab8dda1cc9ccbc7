//! Where a reply goes and how it is put on the wire, with how long its client has to wait before it is heard again.

use millstream_protocol::api::ApiSpec;
use millstream_protocol::error::EncodeError;
use millstream_protocol::header::encode_response_header;
use millstream_protocol::message::Encode;
use millstream_protocol::time::Duration;
use millstream_protocol::types::CorrelationId;
use millstream_ring::Slice;

use super::connection::pipeline::RequestSequence;
use super::connection::write::Encoded;
use super::throttle::{self, Throttled};
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// A request that will be answered: what a parked call needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct ReplyTo {
    pub connection: Key,
    pub request: RequestSequence,
    pub spec: &'static ApiSpec,
    pub version: i16,
    pub correlation: CorrelationId,
}

impl Shard {
    /// Answers a request.
    pub fn reply(&mut self, to: ReplyTo, body: &impl Encode) {
        let wait = std::mem::take(&mut self.controllers_wait).max(self.charge_request(to, Duration::ZERO));
        match self.mute(to.connection, wait) {
            0 => self.reply_as_it_is(to, body, Vec::new()),
            throttle_time_ms => {
                let body = Throttled {
                    body,
                    throttle_time_ms,
                    at: throttle::place(to.spec.key, to.version),
                };
                self.reply_as_it_is(to, &body, Vec::new());
            }
        }
    }

    /// Answers a request whose answer says itself how long to wait; `records` fill the body's splices in order.
    pub fn reply_as_it_is(&mut self, to: ReplyTo, body: &impl Encode, records: Vec<Slice>) {
        let Some(connection) = self.connections.get_mut(to.connection) else {
            return;
        };
        let mut encoded = Ok(());
        connection.answer(to.request, |out| encoded = encode(out, to, body, records));
        if let Err(error) = encoded {
            // Half a frame is in the buffer: the connection cannot go on.
            let peer = connection.peer;
            self.complain(format_args!(
                "closing {peer}: a {} response cannot be encoded: {error}",
                to.spec.name
            ));
            self.abort(to.connection);
        }
        self.answered(to.connection);
    }

    /// Ends a request that gets no answer; `close` where the connection must end after the earlier replies.
    pub fn finish_silently(&mut self, to: ReplyTo, close: bool) {
        let wait = self.charge_request(to, Duration::ZERO);
        self.mute(to.connection, wait);
        let Some(connection) = self.connections.get_mut(to.connection) else {
            return;
        };
        connection.finish(to.request, close);
        self.answered(to.connection);
    }

    fn answered(&mut self, connection: Key) {
        self.recharge(connection);
        self.mark_ready(connection);
        self.mark_dirty(connection);
    }
}

fn encode(
    out: &mut Encoded,
    to: ReplyTo,
    body: &impl Encode,
    records: Vec<Slice>,
) -> Result<(), EncodeError> {
    let frame = out.writer.begin_frame();
    encode_response_header(&mut out.writer, to.spec, to.version, to.correlation);
    body.encode(&mut out.writer, to.version)?;
    out.writer.end_frame(frame)?;
    out.records.extend(records);
    Ok(())
}
