//! `millstream topic delete`.

use crate::cli::args::ClientArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{confirm, tell};

/// Delete topics with all their records
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DeleteArgs {
    /// The topics
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// It is no error if a topic does not exist
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
    let question = format!("Delete {} and all records in it?", args.names.join(", "));
    if !args.yes && !confirm(&question)? {
        return Err(Failure::new(Exit::Failed, "nothing was deleted"));
    }
    for name in &args.names {
        match cluster.delete_topic(name).map_err(Failure::from) {
            Err(failure) if failure.exit == Exit::NotFound && args.if_exists => {}
            Err(failure) if failure.exit == Exit::NotFound => {
                let message =
                    format!("there is no topic `{name}`; `millstream topic list` shows what there is");
                return Err(Failure::new(Exit::NotFound, message));
            }
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
  millstream topic delete orders
  millstream topic delete orders payments --yes
  millstream topic delete orders --if-exists --yes";
