//! The real binary, started as a shell would.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod cluster;

use std::io::Write;
use std::process::{Command, Output, Stdio};

pub(crate) fn larder() -> Command {
    Command::new(env!("CARGO_BIN_EXE_larder"))
}

/// Runs `larder` with `arguments`, split at blanks, and `input` on standard input.
pub(crate) fn run(arguments: &str, input: &[u8]) -> Output {
    let mut child = larder()
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Runs `larder`, which has to succeed, and returns what it prints.
#[track_caller]
pub(crate) fn run_well(arguments: &str, input: &[u8]) -> String {
    let output = run(arguments, input);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `larder`, which has to fail with `code` and say `reason`.
#[track_caller]
pub(crate) fn check_failure(arguments: &str, code: i32, reason: &str) {
    let output = run(arguments, b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {stderr}");
    assert!(stderr.contains(reason), "{arguments}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
}
