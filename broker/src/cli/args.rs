//! Arguments that several commands share.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};

/// Where to read the configuration from.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file [default: ./millstream.toml, then /etc/millstream/millstream.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "MILLSTREAM_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Help in the colours of cargo's, which most readers know.
pub const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());
