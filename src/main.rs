//! The `whence` command.

/// A record is allocated by one thread and freed by another; glibc's allocator has them wait for one
/// another there, and sealing takes twice the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    whence::cli::main(std::env::args_os())
}
