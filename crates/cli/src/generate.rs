//! `stemson generate`: the man page and shell completions, for those who package the binary.

use std::io::{self, Write as _};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use crate::failure::{Failure, Verdict};

/// Writes the man page or a shell's completions to standard output.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson generate man > /usr/local/share/man/man1/stemson.1
  stemson generate bash > /etc/bash_completion.d/stemson")]
pub(crate) struct Arguments {
    what: What,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Man,
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

pub(crate) fn run(arguments: &Arguments, mut command: Command) -> Result<Verdict, Failure> {
    let mut out = Vec::new();
    let shell = match arguments.what {
        What::Man => None,
        What::Bash => Some(Shell::Bash),
        What::Zsh => Some(Shell::Zsh),
        What::Fish => Some(Shell::Fish),
        What::Elvish => Some(Shell::Elvish),
        What::Powershell => Some(Shell::PowerShell),
    };
    let rendered = match shell {
        Some(shell) => {
            clap_complete::generate(shell, &mut command, "stemson", &mut out);
            Ok(())
        }
        None => man(command, &mut out),
    };
    let written = rendered.and_then(|()| io::stdout().lock().write_all(&out));
    written.map(|()| Verdict::Good).map_err(|cause| Failure::stdout(&cause))
}

/// One page: the command, then each of its commands.
fn man(command: Command, out: &mut Vec<u8>) -> io::Result<()> {
    let commands: Vec<Command> =
        command.get_subcommands().filter(|it| !it.is_hide_set()).cloned().collect();
    clap_mangen::Man::new(command).render(out)?;
    for command in commands {
        let name = format!("stemson-{}", command.get_name());
        let page = clap_mangen::Man::new(command.name(name));
        page.render_name_section(out)?;
        page.render_synopsis_section(out)?;
        page.render_description_section(out)?;
        page.render_options_section(out)?;
        page.render_extra_section(out)?;
    }
    Ok(())
}
