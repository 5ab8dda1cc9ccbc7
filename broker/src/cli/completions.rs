//! `millstream completions SHELL`: the script that makes the shell complete our commands.

use clap::CommandFactory;
use clap_complete::Shell;

use super::exit::output_failed;
use super::{Cli, Failure};

/// Print a script that completes commands and flags in your shell
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CompletionsArgs {
    /// The shell to complete in
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "millstream", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(|error| output_failed(&error))
}

const AFTER_HELP: &str = "\
Examples:
  millstream completions bash > ~/.local/share/bash-completion/completions/millstream
  millstream completions zsh > ~/.zfunc/_millstream
  millstream completions fish > ~/.config/fish/completions/millstream.fish";
