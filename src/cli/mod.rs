//! The `rendez` command: one file a subcommand, and what they share.

mod attach;
mod call;
mod cookie;
mod discover;
mod epmd;
mod epmd_flags;
mod hosts;
mod log_writer;
mod logging;
mod names;
mod output;
mod peer;
mod ping;
mod port;
mod term_json;
mod tls;
mod via;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use logging::{Format, LogArgs};
use output::{Failure, Output};

/// Finds the nodes of a BEAM cluster and joins them.
#[derive(Debug, Parser)]
#[command(
    name = "rendez",
    version,
    propagate_version = true,
    after_help = "\
Exit status: 0 done; 1 it failed, and one line on standard error says why and what to do; 2 invalid command line or configuration.
With --json a failure is also one JSON object on standard output: {\"error\":{\"reason\":...,\"message\":...}}.

Every option, and how to give it in a file or by the environment: docs/options.md"
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Discover(discover::Discover),
    Attach(attach::Attach),
    Names(names::Names),
    Hosts(hosts::Hosts),
    Ping(ping::Ping),
    Call(call::Call),
    Epmd(epmd::Epmd),
}

impl Command {
    /// Whether results and failures are to be JSON.
    fn json(&self) -> bool {
        match self {
            Self::Discover(command) => command.json,
            Self::Names(command) => command.json,
            Self::Hosts(command) => command.json,
            Self::Ping(command) => command.json,
            Self::Call(command) => command.json,
            Self::Attach(_) | Self::Epmd(_) => false,
        }
    }

    /// What is logged unless the user says otherwise: a command that stays says what it does.
    fn log_level(&self) -> &'static str {
        match self {
            Self::Attach(_) | Self::Epmd(_) => "info",
            _ => "warn",
        }
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if epmd_flags::is_invoked_as_epmd(words.next().as_ref()) {
        let words: Vec<String> = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        return epmd_flags::main(&words);
    }
    // Long lines are hard to read on wide terminals.
    let command = Cli::command().max_term_width(110);
    let cli = command
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => match error.kind() {
            // Help is an "error" too.
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                return show(&error, &Output::new(false, Format::Text));
            }
            _ => {
                let json = std::env::args_os().any(|word| word == "--json");
                let log = logging::format_of(std::env::args_os());
                return Output::new(json, log)
                    .end(Err(Failure::words(one_line(&error.render().to_string()))));
            }
        },
    };
    let log = cli.log.format().unwrap_or(Format::Text);
    let output = Output::new(cli.command.json(), log);
    let result =
        logging::start(&cli.log, cli.command.log_level()).and_then(|()| run(cli.command, &output));
    output.end(result)
}

/// Shows the help or the version. A command line that says nothing gets the help as well, with status 2.
fn show(help: &clap::Error, output: &Output) -> ExitCode {
    let printed = help.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Ok(()) => u8::try_from(help.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => output.end(Err(error.into())),
    }
}

/// What clap says over several lines: the error and the tip, without the usage, which `--help` shows.
fn one_line(rendered: &str) -> String {
    let before_usage = rendered.split("\nUsage:").next().unwrap_or(rendered);
    let lines = before_usage
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line));
    let mut text = String::new();
    for line in lines {
        match text.chars().last() {
            None => {}
            // What follows is what it announces.
            Some(':') => text.push(' '),
            Some(_) => text.push_str("; "),
        }
        text.push_str(line);
    }
    format!("{text}; see --help")
}

fn run(command: Command, output: &Output) -> Result<(), Failure> {
    // Everything here waits far more than it works, so one thread does.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        match command {
            Command::Discover(command) => command.run(output).await,
            Command::Attach(command) => command.run().await,
            Command::Names(command) => command.run(output).await,
            Command::Hosts(command) => command.run(output).await,
            Command::Ping(command) => command.run(output).await,
            Command::Call(command) => command.run(output).await,
            Command::Epmd(command) => command.run().await,
        }
    });
    // A lookup in the operating system cannot be cancelled, and is not worth waiting for.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
