//! A child process that does not outlive its test.

use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

/// A child process. Its output, both kinds in one, goes to a file; when this value is dropped the
/// process is killed, by its own id, and waited for.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: NamedTempFile,
    what: String,
}

impl Running {
    /// Starts the command, without input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let output = NamedTempFile::new().expect("a temporary file");
        let handle = || Stdio::from(output.reopen().and_then(at_end).expect("a second handle"));
        let what = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .stdout(handle())
            .stderr(handle())
            .spawn()
            .unwrap_or_else(|e| panic!("starting {what}: {e}"));
        Self { child, output, what }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that was printed so far.
    ///
    /// # Panics
    /// When the file of the output has vanished.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = fs::read(self.output.path()).expect("the output stays while we do");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a whole line that contains `part` and returns it.
    ///
    /// # Panics
    /// When the process ends without it, or `timeout` passes; with all that was printed.
    #[must_use]
    pub fn wait_for(&mut self, part: &str, timeout: Duration) -> String {
        let deadline = Instant::now() + timeout;
        loop {
            // In this order: what a process printed before it ended is seen.
            let ended = self.child.try_wait().expect("our own child");
            let output = self.output();
            if let Some(line) = whole_lines(&output).find(|line| line.contains(part)) {
                return line.to_owned();
            }
            let what = &self.what;
            if let Some(status) = ended {
                panic!("{what} ended ({status}) without \"{part}\":\n{output}");
            }
            assert!(Instant::now() < deadline, "{what}: no \"{part}\" in {timeout:?}:\n{output}");
            thread::sleep(POLL);
        }
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When `timeout` passes before; with all that was printed.
    #[must_use]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            let (what, output) = (&self.what, || self.output());
            assert!(Instant::now() < deadline, "{what} runs on after {timeout:?}:\n{}", output());
            thread::sleep(POLL);
        }
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn is_at_work(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Asks for a graceful end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal, unless the process has ended.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub fn signal(&mut self, signal: Signal) {
        // A child that was waited for may have left its id to another process.
        if self.child.try_wait().expect("our own child").is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("our own child");
        }
    }

    /// Ends the process at once (kill -9) and waits for it.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// Two handles that both append, so that neither writes over the other.
fn at_end(file: File) -> io::Result<File> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags | rustix::fs::OFlags::APPEND)?;
    Ok(file)
}

fn whole_lines(output: &str) -> impl Iterator<Item = &str> {
    output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script]))
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn both_kinds_of_output_are_kept() {
        let mut child = shell("echo one; echo two >&2; echo three");
        assert!(child.wait(LONG).success());
        assert_eq!(child.output(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_line_is_waited_for() {
        let mut child = shell("echo starting; sleep 0.1; echo listening on 4; exec sleep 60");
        assert_eq!(child.wait_for("listening", LONG), "listening on 4");
    }

    #[test]
    #[should_panic(expected = "ended (exit status: 3) without \"listening\":\nno address")]
    fn an_early_end_is_told_with_the_output() {
        let _ = shell("echo no address; exit 3").wait_for("listening", LONG);
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let child = shell("exec sleep 60");
        let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        assert!(process.exists());
        drop(child);
        assert!(!process.exists());
    }

    #[test]
    fn a_process_can_end_gracefully() {
        let mut child =
            shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
        let _ = child.wait_for("up", LONG);
        child.terminate();
        assert!(child.wait(LONG).success());
        assert_eq!(child.output(), "up\nbye\n");
        child.terminate();
    }
}
