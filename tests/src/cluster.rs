//! A PostgreSQL server of a test's own, on a free port, gone with the test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Running;

/// A cluster with one superuser, `postgres`, whose password is [`PASSWORD`](Self::PASSWORD):
/// asked for over TCP, not over the socket. It forgets nothing when it is killed; a power cut is
/// another matter, since nothing is synced.
#[derive(Debug)]
pub struct Cluster {
    pub(super) programs: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) account: Option<(u32, u32)>,
    /// Where psql reaches it: the folder of its socket, or an address.
    pub(super) host: PathBuf,
    pub(super) port: u16,
    pub(super) server: Option<Child>,
    pub(super) settings: Vec<String>,
}

impl Cluster {
    /// What `postgres` identifies itself with.
    pub const PASSWORD: &'static str = "tape/deck?";

    /// Makes a cluster and starts its server; `None`, and a note that the test `name` is skipped,
    /// where there is no PostgreSQL.
    ///
    /// # Panics
    /// When PostgreSQL is there and does not do what it is asked to.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        Self::start_with(name, &["max_wal_size=256MB"])
    }

    /// The same with these settings of the server, each as `name=value`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(name: &str, settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            super::skip(name, "no PostgreSQL server: tests/run --install installs one");
            return None;
        };
        // A server refuses to run as root; Debian's package brings an account for it.
        let account = match is_root() {
            false => None,
            true => match account() {
                Some(account) => Some(account),
                None => {
                    super::skip(name, "root, and no account postgres to run a server as");
                    return None;
                }
            },
        };
        let folder = fresh_folder();
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|port| port.local_addr());
        let port = port.expect("a free port").port();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let host = folder.clone();
        let mut cluster = Self { programs, host, folder, account, port, server: None, settings };
        fs::write(cluster.folder.join("password"), Self::PASSWORD).expect("a temporary file");
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&cluster.folder, private).expect("our own folder");
        if let Some((user, group)) = cluster.account {
            chown(&cluster.folder, Some(user), Some(group)).expect("root gives folders away");
        }
        let data = cluster.folder.join("data");
        let password = format!("--pwfile={}", cluster.folder.join("password").display());
        let settings = ["-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth-local=trust"];
        let mut initdb = cluster.command("initdb");
        initdb.args(settings).args(["--auth-host=scram-sha-256", &password, "-D"]).arg(data);
        done(initdb.output().expect("initdb runs"));
        cluster.run();
        Some(cluster)
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Panics
    /// When it runs, or does not come up.
    pub fn run(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::File::options().create(true).append(true).open(self.log());
            let log = log.expect("the log can be written");
            let mut server = self.command("postgres");
            let data = self.folder.join("data");
            server.arg("-D").arg(data).args(["-p", &self.port.to_string()]);
            server.arg("-k").arg(&self.folder).args(["-h", "127.0.0.1"]);
            let always = ["fsync=off", "log_statement=none"].into_iter();
            for setting in always.chain(self.settings.iter().map(String::as_str)) {
                server.args(["-c", setting]);
            }
            server.stdin(Stdio::null()).stderr(Stdio::from(log)).stdout(Stdio::null());
            let mut child = server.spawn().expect("postgres runs");
            while child.try_wait().expect("our own child").is_none() {
                if self.answers() {
                    self.server = Some(child);
                    return;
                }
                assert!(Instant::now() < deadline, "the server is not up: {}", self.said());
                thread::sleep(POLL);
            }
            // The processes of a server that was killed need a moment to notice it.
            assert!(Instant::now() < deadline, "the server does not start: {}", self.said());
            thread::sleep(10 * POLL);
        }
    }

    /// Ends the server at once, as an administrator would who is in a hurry.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// kill -9 of the server's first process: the others end when they notice.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            let id = server.id().to_string();
            let _ = Command::new("kill").args(["-s", signal, &id]).status();
            let _ = server.wait();
        }
    }

    /// The server's first process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database, with the password in it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_through(self.port, database)
    }

    /// The same over a port that leads to the server's.
    #[must_use]
    pub fn url_through(&self, port: u16, database: &str) -> String {
        let password = Self::PASSWORD.replace('/', "%2F").replace('?', "%3F");
        format!("postgresql://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    /// Makes a database and gives its name back.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn database(&self, name: &'static str) -> &'static str {
        let _ = self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs SQL: the rows, one a line, cells separated by `|`, a null as `∅`.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = self.asked(database, sql).output().expect("psql runs");
        done(output).trim_end_matches('\n').to_owned()
    }

    /// Runs SQL in a transaction that stays open, with its locks, until the value is dropped.
    #[must_use]
    pub fn holding(&self, database: &str, sql: &str) -> Running {
        let noticed = "SET client_connection_check_interval = '100ms'";
        let sql = format!("BEGIN; {noticed}; {sql}; SELECT pg_sleep(600)");
        Running::start(&mut self.asked(database, &sql))
    }

    /// A program of PostgreSQL that is to work on a database, without its arguments; `None` where
    /// there is no such program.
    #[must_use]
    pub fn program(&self, name: &str, database: &str) -> Option<Command> {
        let mut program = self.command(name);
        program.arg("-h").arg(&self.host).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        program.args(["-d", database]);
        self.programs.join(name).is_file().then_some(program)
    }

    /// A folder that the server's account may write in, gone with the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn asked(&self, database: &str, sql: &str) -> Command {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-P", "null=∅", "-h"]);
        psql.arg(&self.host).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        psql.args(["-d", database, "-c", sql]).env("PGOPTIONS", "-c client_min_messages=warning");
        psql
    }

    fn answers(&self) -> bool {
        let asked = self.asked("postgres", "SELECT 1").output();
        asked.is_ok_and(|output| output.status.success())
    }

    /// A program of PostgreSQL, as the account that may run it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // Not the caller's folder, which the account may not be able to enter.
        command.current_dir("/");
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What the server has said.
    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end("QUIT");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn done(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).expect("the database speaks UTF-8")
}

/// The newest server's programs: Debian keeps those of each version apart.
pub(super) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(version).map(|v| v.join("bin"));
    let path = std::env::var_os("PATH")?;
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
    };
    newest.into_iter().chain(std::env::split_paths(&path)).find(has_all)
}

/// User and group of the account `postgres`.
fn account() -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let line = accounts.lines().find(|line| line.starts_with("postgres:"))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0)
}

/// A folder that no other cluster of this machine has.
pub(super) fn fresh_folder() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let name = format!("tapedeck-cluster-{}-{number}-{since}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).expect("a temporary folder");
    folder
}

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
