//! The way in: arguments to exit status.

use std::process::ExitCode;

/// A run makes and frees hundreds of small values, on several threads: a sixth of its time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    juggernaut::cli::main_with(std::env::args_os())
}
