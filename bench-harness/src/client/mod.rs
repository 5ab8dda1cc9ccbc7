//! A Kafka client that does one thing: keep prebuilt requests in flight and time their answers. `driver` is
//! the loop of one thread, `connection` one socket with its requests in order, `frame_buffer` what arrives,
//! `pace` when requests are due, `together` what loads share that run at the same time, `admin` the few blocking calls
//! around a run, `descriptors` what sockets take of this process.

pub mod admin;
pub mod connection;
pub mod descriptors;
pub mod driver;
pub mod frame_buffer;
pub mod pace;
pub mod together;
