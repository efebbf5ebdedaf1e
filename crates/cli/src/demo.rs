//! `stemson demo`: the main job on real models that come with the binary.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use stemson_validate::demo::{Demo, DemoError};

use crate::failure::{Failure, Verdict};
use crate::serve;
use crate::settings::address;

/// Serves a real H2O model, scores it, swaps it under load, rolls it back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson demo                      stays up at http://127.0.0.1:8080 until Ctrl-C
  stemson demo --once               takes free ports and ends by itself")]
pub(crate) struct Arguments {
    /// End after the last step, with exit code 0 if all went well
    #[arg(long)]
    once: bool,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    http: Option<SocketAddr>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (http, admin) = match arguments.http {
        Some(http) => (http, local(0)),
        None if arguments.once => (local(0), local(0)),
        None => (local(8080), local(8082)),
    };
    let demo = Demo { once: arguments.once, http, admin };
    match demo.run(&mut Stdout) {
        Ok(true) => Ok(Verdict::Good),
        Ok(false) => Ok(Verdict::Bad),
        Err(DemoError::Start(cause)) => Err(serve::not_started(&cause)),
        Err(cause) => Err(Failure::outside("the demo broke off").because(&cause)),
    }
}

/// Standard output, line by line: the demo takes seconds.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
