//! `millstream group delete`.

use super::{failure, unknown};
use crate::cli::args::ClientArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{confirm, tell};

/// Delete groups with their offsets
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DeleteArgs {
    /// The groups; nobody may be in them
    #[arg(required = true, value_name = "GROUP")]
    names: Vec<String>,

    /// It is no error if a group does not exist
    #[arg(long)]
    if_exists: bool,

    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub fn run(args: &DeleteArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let question = format!("Delete {} and all offsets of it?", args.names.join(", "));
    if !args.yes && !confirm(&question)? {
        return Err(Failure::new(Exit::Failed, "nothing was deleted"));
    }
    for name in &args.names {
        match cluster.delete_group(name).map_err(|error| failure(name, error)) {
            Err(failure) if failure.exit == Exit::NotFound && args.if_exists => {}
            Err(failure) if failure.exit == Exit::NotFound => return Err(unknown(name)),
            done => {
                done?;
                tell(&format!("{name} was deleted."));
            }
        }
    }
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  millstream group delete billing
  millstream group delete billing shipping --yes
  millstream group delete billing --if-exists --yes";
