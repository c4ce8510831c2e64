//! The `wasmill` program: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = wasmill::wasm::compile::child_main(std::env::args_os()) {
        return code;
    }
    ExitCode::SUCCESS
}
