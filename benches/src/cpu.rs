//! CPU time, as the kernel counts it.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread, s; with what the kernel did for it.
#[must_use]
pub fn of_thread() -> f64 {
    of(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process, s; with what the kernel did for them.
#[must_use]
pub fn of_process() -> f64 {
    of(ClockId::ProcessCPUTime)
}

fn of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU time of a process and all its children, s: of those that have ended as well.
///
/// # Panics
/// Where there is no /proc.
#[must_use]
pub fn of_family(parent: u32) -> f64 {
    let mut seconds = 0.0;
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name));
        // A process may end while we look.
        let (Ok(stat), Ok(run)) = (read("stat"), read("schedstat")) else { continue };
        let Some((front, fields)) = stat.rsplit_once(')') else { continue };
        // After the name in brackets: the state is the first, then the parent's id; cutime and
        // cstime of children that have ended are the 14th and 15th.
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |text: &str| text.parse::<f64>().expect("a number");
        // What it has run itself, to the nanosecond.
        let own = number(run.split_whitespace().next().expect("a time")) / 1e9;
        if front.split_whitespace().next() == Some(&parent.to_string()) {
            seconds += own + (number(fields[13]) + number(fields[14])) / TICKS_PER_SECOND;
        } else if fields[1] == parent.to_string() {
            seconds += own;
        }
    }
    seconds
}

/// What a process holds in memory now, MiB; `None` when it has ended.
#[must_use]
pub fn resident_mib(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1_024.0)
}

/// Linux's USER_HZ, which /proc counts in, is 100 on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;
