//! What carries its version: the values and keys of `__consumer_offsets`, and what clients put into the fields of
//! groups.

use millstream_protocol::message::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use millstream_protocol::message::data::Data;
use millstream_protocol::primitive::Writer;
use millstream_protocol::record::offsets::*;

use crate::{every_datum, memory};

/// Reads the bytes as each of the types, and as a record's key.
pub fn data(bytes: &[u8]) {
    macro_rules! each {
        ($($name:ident)*) => {
            $(
                let (open, used) = memory::measure(|| $name::decode_open(bytes));
                assert!(used <= COST * bytes.len(), "{}: {used} bytes of memory", stringify!($name));
                if let Ok(message) = $name::decode(bytes) {
                    assert!(open.is_ok(), "who reads later versions reads these");
                    let written = encoded(&message, bytes);
                    let again = $name::decode(&written).expect("what was written can be read");
                    assert_eq!(encoded(&again, bytes), written, "{}", stringify!($name));
                }
            )*
        };
    }
    every_datum!(each);
    let (record, used) = memory::measure(|| OffsetsRecord::decode(bytes, None));
    assert_eq!(used, 0, "a key takes no memory");
    if let Ok(Some(record)) = record {
        let mut w = Writer::new();
        record.encode_key(&mut w).expect("what was read can be written");
        assert_eq!(OffsetsRecord::decode(w.bytes(), None), Ok(Some(record)));
    }
}

/// In the version that the bytes begin with.
fn encoded<'a>(message: &impl Data<'a>, bytes: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    message
        .encode(&mut w, i16::from_be_bytes([bytes[0], bytes[1]]))
        .expect("what was read can be written");
    w.into_parts().0
}

/// Bytes of memory for each byte that is read.
const COST: usize = 20;
