//! The program `tallystick-faults`: `tallystick` with faults on demand compiled in, for tests only.
//! Owns nothing; see `faults`.

#![forbid(unsafe_code)]

#[path = "main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
