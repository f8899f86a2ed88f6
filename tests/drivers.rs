//! Where io_uring is refused, the recorder runs on epoll and says so.

use std::process::Command;

use tapedeck_tests::{Running, root};

use crate::market::{Market, PATIENCE};

/// Records below `wrapper`, which keeps io_uring away, and checks that nothing else changed.
#[track_caller]
fn check(mut wrapper: Command) {
    let mut market = Market::start(&["--options", "60", "--rate", "600"]);
    let recorder = market.recorder(&["--for", "3s"]);
    wrapper.arg(recorder.get_program()).args(recorder.get_args());
    let mut running = Running::start(&mut wrapper);
    let status = running.wait(PATIENCE);
    let output = running.output();
    assert!(status.success(), "{output}");
    let line = output.lines().find(|line| line.contains("driver=epoll"));
    let line = line.unwrap_or_else(|| panic!("it does not say that it runs on epoll: {output}"));
    assert!(line.contains("reason="), "it says why: {line}");
    market.assert_complete();
}

#[test]
fn it_records_where_seccomp_refuses_io_uring() {
    for error in ["EPERM", "ENOSYS"] {
        let mut wrapper = Command::new("python3");
        wrapper.arg(root().join("tests/parts/refuse_io_uring.py")).arg(error);
        check(wrapper);
    }
}

/// A ring needs locked memory, except for who has CAP_IPC_LOCK: root gives it up here.
#[test]
fn it_records_where_no_memory_may_be_locked() {
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -l 16 && exec \"$@\"", "bash"]);
    if rustix::process::geteuid().is_root() {
        shell.args(["setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"]);
    }
    check(shell);
}
