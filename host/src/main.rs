//! The way in: arguments to exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    juggernaut::cli::main_with(std::env::args_os())
}
