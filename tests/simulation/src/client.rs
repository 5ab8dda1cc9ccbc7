//! A client's end of a connection: frames out, frames in, in the real wire format.

use millstream_protocol::api::ApiKey;
use millstream_protocol::header::{RequestHeader, decode_response_header};
use millstream_protocol::message::{Decode, Request};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::types::CorrelationId;
use millstream_ring::simulated::SimConn;

/// One connection. Requests are answered in their order.
pub struct Connection {
    conn: SimConn,
    /// Bytes that the socket has not taken yet.
    output: Vec<u8>,
    input: Vec<u8>,
    /// The other side has closed, or broken it.
    pub ended: bool,
    sent: i32,
}

impl Connection {
    pub fn new(conn: SimConn) -> Connection {
        Connection {
            conn,
            output: Vec::new(),
            input: Vec::new(),
            ended: false,
            sent: 0,
        }
    }

    /// Puts a request behind the others; its correlation id comes back.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.sent += 1;
        let mut w = Writer::new();
        let mark = w.begin_frame();
        let header = RequestHeader {
            api_key: R::API.code(),
            api_version: version,
            correlation_id: CorrelationId::new(self.sent),
            client_id: Some("sim"),
        };
        header.encode(&mut w, R::API.spec()).expect("a header");
        request.encode(&mut w, version).expect("a request");
        w.end_frame(mark).expect("a frame");
        self.output.extend(w.into_parts().0);
        self.sent
    }

    /// Moves bytes both ways; the next whole frame, if there is one.
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        if !self.output.is_empty() {
            match self.conn.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(_) => self.ended = true,
            }
        }
        match self.conn.read() {
            Ok(Some(bytes)) if bytes.is_empty() => self.ended = true,
            Ok(Some(bytes)) => self.input.extend(bytes),
            Ok(None) => {}
            Err(_) => self.ended = true,
        }
        let length = u32::from_be_bytes(*self.input.first_chunk::<4>()?) as usize;
        if self.input.len() < 4 + length {
            return None;
        }
        let rest = self.input.split_off(4 + length);
        let mut frame = std::mem::replace(&mut self.input, rest);
        frame.drain(..4);
        Some(frame)
    }
}

/// Takes a response apart: its correlation id and its body.
pub fn open<'a, T: Decode<'a>>(frame: &'a [u8], api: ApiKey, version: i16) -> Result<(i32, T), String> {
    let mut r = Reader::new(frame);
    let bad = |what| format!("a response to {api:?} does not decode: {what:?}");
    let correlation = decode_response_header(&mut r, api.spec(), version).map_err(bad)?;
    let body = T::decode(&mut r, version).map_err(bad)?;
    r.finish().map_err(bad)?;
    Ok((correlation.get(), body))
}
