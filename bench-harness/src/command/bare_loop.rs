//! `millstream-bench bare-loop`: the process that `roofline` and `suite` measure against.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::bare::ring_server;
use crate::bare::server::{Durability, Space, serve};
use crate::bare::stream::{CHUNK_BYTES, send_forever};
use crate::limits::BARE_FILE_BYTES;
use crate::target::BareMode;
use crate::wire::Noise;

/// Serve as a bare loop: no broker, no log. Prints its address, ends when its standard input ends.
#[derive(Args, Debug)]
pub struct BareLoopArgs {
    #[arg(long, value_enum, default_value = "inline")]
    pub mode: BareMode,
    /// Directory of the pre-written file.
    #[arg(long, default_value = "/tmp")]
    pub scratch: PathBuf,
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

pub fn run(args: &BareLoopArgs) -> Result<(), Box<dyn Error>> {
    let path = args
        .scratch
        .join(format!("millstream-bare-{}", std::process::id()));
    let space = Space {
        path,
        bytes: BARE_FILE_BYTES,
    };
    end_with_standard_input()?;
    if args.mode == BareMode::Ring {
        return Ok(ring_server::serve(args.listen, &space, announce)?);
    }
    let listener = TcpListener::bind(args.listen)?;
    let address = listener.local_addr()?;
    let durability = match args.mode {
        BareMode::Network => Durability::None,
        BareMode::Inline => Durability::Inline(space),
        BareMode::Overlapped => Durability::Overlapped(space),
        BareMode::Stream | BareMode::Ring => {
            announce(address)?;
            return Ok(send_forever(&listener, stream_source())?);
        }
    };
    Ok(serve(listener, durability, || announce(address))?)
}

/// The one line of standard output, which the parent waits for.
fn announce(address: SocketAddr) -> io::Result<()> {
    println!("{address}");
    io::stdout().flush()
}

/// As much as the fetch that it is compared with, so that neither side is served by the processor's cache.
fn stream_source() -> Arc<[u8]> {
    let mut source = vec![0; 256 * CHUNK_BYTES];
    Noise::new(1).fill(&mut source);
    source.into()
}

fn end_with_standard_input() -> io::Result<()> {
    std::thread::Builder::new().name("parent".into()).spawn(move || {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|n| n > 0) {}
        std::process::exit(0);
    })?;
    Ok(())
}
