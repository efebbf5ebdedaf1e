//! The `stemson` binary: parse, choose, run, exit code.

mod check;
mod check_settings;
mod demo;
mod deploy;
mod event_loop;
mod failure;
mod generate;
mod hot_swap;
mod inputs;
mod inspect;
mod jsonb_index;
mod mcp;
mod memory_split;
mod model_file;
mod mojo_artifact;
mod output_file;
mod reload;
mod review;
mod rules;
mod score;
mod serve;
mod settings;
mod skill;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::failure::Verdict;

/// Serves and scores H2O MOJO models without a JVM.
#[derive(Debug, Parser)]
#[command(name = "stemson", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done and good; 1 the work ran and the verdict is bad (rows refused, findings); \
2 wrong usage or unreadable input; 3 something outside failed.";

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Demo(demo::Arguments),
    Abort(deploy::AbortArguments),
    Canary(deploy::CanaryArguments),
    Deploy(deploy::DeployArguments),
    Explain(rules::Explain),
    Inspect(inspect::Arguments),
    Mcp(mcp::Arguments),
    Models(deploy::ModelsArguments),
    Review(review::Arguments),
    Promote(deploy::PromoteArguments),
    Rollback(deploy::RollbackArguments),
    BenchmarkJsonbIndex(jsonb_index::Arguments),
    CalculateMemorySplit(memory_split::Arguments),
    Rules(rules::List),
    #[command(hide = true)]
    Generate(generate::Arguments),
    Score(score::Arguments),
    Serve(serve::Arguments),
    Skill(skill::Arguments),
    TestHotSwap(hot_swap::Arguments),
    ValidateEventLoop(event_loop::Arguments),
    ValidateMojoArtifact(mojo_artifact::Arguments),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Abort(arguments) => deploy::abort(&arguments),
        Command::Canary(arguments) => deploy::canary(&arguments),
        Command::Deploy(arguments) => deploy::deploy(&arguments),
        Command::Models(arguments) => deploy::models(&arguments),
        Command::Promote(arguments) => deploy::promote(&arguments),
        Command::Rollback(arguments) => deploy::rollback(&arguments),
        Command::Explain(arguments) => rules::explain(&arguments),
        Command::BenchmarkJsonbIndex(arguments) => jsonb_index::run(&arguments),
        Command::CalculateMemorySplit(arguments) => memory_split::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Mcp(arguments) => mcp::run(&arguments),
        Command::Review(arguments) => review::run(&arguments),
        Command::Rules(arguments) => rules::list(&arguments),
        Command::Generate(arguments) => generate::run(&arguments, Arguments::command()),
        Command::Score(arguments) => score::run(arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Skill(arguments) => skill::run(&arguments),
        Command::TestHotSwap(arguments) => hot_swap::run(&arguments),
        Command::ValidateEventLoop(arguments) => event_loop::run(&arguments),
        Command::ValidateMojoArtifact(arguments) => mojo_artifact::run(arguments),
    };
    match ended {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(failure) => failure.report(),
    }
}
