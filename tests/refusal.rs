//! The launcher that refuses io_uring refuses it, and nothing else.

use std::process::{Command, Output};

use tapedeck_tests::{root, skip};

// io_uring_setup without room for its parameters: it never makes a ring. Prints the error of each
// call, and of one (getppid) that must go on working.
const PROBE: &str = "
import ctypes, errno
call = ctypes.CDLL(None, use_errno=True).syscall
for number in (425, 426, 427, 110):
    ctypes.set_errno(0)
    failed = call(ctypes.c_long(number), *[ctypes.c_long(0)] * 6) < 0
    print(errno.errorcode[ctypes.get_errno()] if failed else 'fine')
";

#[test]
fn every_call_of_io_uring_is_refused() {
    if !cfg!(target_arch = "x86_64") {
        return skip("refusal::every_call_of_io_uring_is_refused", "the filter is for x86-64");
    }
    // Two errors, so that one of them is not what the machine itself answers.
    for error in ["EPERM", "ENOSYS"] {
        let output = refused(&[error, "python3", "-c", PROBE]);
        let expected = format!("{error}\n{error}\n{error}\nfine\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
}

#[test]
fn the_command_keeps_its_arguments_and_its_code() {
    let output = refused(&["EPERM", "sh", "-c", "echo \"$0 $1\"; exit 7", "a b", "c"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a b c\n");
}

#[test]
fn wrong_words_are_refused() {
    for words in [&["EPERM"][..], &["EACCES", "true"], &["EPERM", "no-such-command"]] {
        let output = refused(words);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}

fn refused(words: &[&str]) -> Output {
    let launcher = root().join("tests/parts/refuse_io_uring.py");
    Command::new(launcher).args(words).output().expect("python3 runs")
}
