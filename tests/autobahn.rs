//! Autobahn's fuzzing server, other people's idea of RFC 6455, against our websocket client.
//!
//! The client is as the recorder has it, without a socket; here it stands on a blocking one and
//! echoes every message, which is what the suite asks of a client.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tapedeck::websocket::{Client, Event, Limits, Request, WebsocketError};
use tapedeck_tests::{Running, free_port, heavy, root, say, skip};

#[test]
fn no_case_fails() {
    const NAME: &str = "autobahn::no_case_fails";
    if !heavy("autobahn", NAME) {
        return;
    }
    let Some(suite) = suite() else {
        return skip(NAME, "no Autobahn: run tests/run --install autobahn, as root");
    };
    if !rustix::process::geteuid().is_root() {
        return skip(NAME, "only root can chroot, and Autobahn needs the Python of Debian 11");
    }
    let server = Server::start(&suite);
    let cases = server.cases();
    for case in 1..=cases {
        server.talk(&format!("/runCase?case={case}&agent={AGENT}"), case);
    }
    server.talk(&format!("/updateReports?agent={AGENT}"), 0);
    let report = Report::parse(&server.report());
    say(&report.summary());
    assert_eq!(report.cases.len() as u64, cases, "cases in the report");
    assert!(cases >= CASES_MIN, "the suite has only {cases} cases");
    let faults = report.faults();
    assert!(faults.is_empty(), "{} cases\n{}", faults.len(), faults.join("\n"));
}

/// The folder in which Autobahn has been installed, itself a root.
fn suite() -> Option<PathBuf> {
    let folder = root().join("tests/.parts/autobahn");
    // Without the list of what is installed the installation did not come to its end.
    folder.join("autobahn.txt").is_file().then(|| folder.join("root"))
}

/// Autobahn's fuzzing server at work, and the folder of its report.
struct Server {
    port: u16,
    folder: tempfile::TempDir,
    _running: Running,
}

impl Server {
    fn start(suite: &Path) -> Self {
        let folder = tempfile::tempdir_in(suite.join("tmp")).unwrap();
        // What the server calls this folder.
        let inside = format!("/tmp/{}", folder.path().file_name().unwrap().display());
        let port = free_port();
        let spec = serde_json::json!({
            "url": format!("ws://127.0.0.1:{port}"),
            "outdir": format!("{inside}/reports"),
            "cases": ["*"],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        fs::write(folder.path().join("spec.json"), spec.to_string()).unwrap();
        let mut command = Command::new("chroot");
        command
            .arg(suite)
            .args(["/usr/bin/env", "-i", "PYTHONPATH=/suite", "/usr/bin/python2.7", "-u", "-c"])
            .args([LOOPBACK, "--mode=fuzzingserver", "--webport=0"])
            .arg(format!("--spec={inside}/spec.json"));
        let mut running = Running::start(&mut command);
        let _ = running.wait_for("listening on loopback", PATIENCE);
        Self { port, folder, _running: running }
    }

    fn cases(&self) -> u64 {
        let texts = self.talk("/getCaseCount", 0);
        let [count] = texts.as_slice() else { panic!("a count, not {texts:?}") };
        count.parse().unwrap()
    }

    fn report(&self) -> String {
        fs::read_to_string(self.folder.path().join("reports/index.json")).unwrap()
    }

    /// Opens a websocket and echoes until it ends, in whatever way the case wants. The answer is
    /// the text of a conversation that is not a case.
    fn talk(&self, target: &str, seed: u64) -> Vec<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let request = Request::new(&format!("127.0.0.1:{}", self.port), target).unwrap();
        let client = Client::new(&request, Limits::default(), seed);
        let is_case = target.starts_with("/runCase");
        let mut line = Line { stream, client, is_case, texts: Vec::new() };
        line.run().unwrap_or_else(|error| panic!("{target}: {error}"));
        line.texts
    }
}

/// Our client on a blocking socket.
struct Line {
    stream: TcpStream,
    client: Client,
    /// Whether to echo messages, else texts are kept.
    is_case: bool,
    texts: Vec<String>,
}

impl Line {
    /// Until the server hangs up: it is the server that ends the connection (section 7.1.1),
    /// after a close frame of either side too.
    fn run(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut chunk = vec![0; 1 << 16];
        let mut over = false;
        loop {
            if let Err(error) = self.stream.write_all(self.client.output())
                && !is_hang_up(&error)
            {
                return Err(error);
            }
            self.client.output().clear();
            let bytes = match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Err(error) if is_hang_up(&error) => return Ok(()),
                read => read?,
            };
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // After a fault, or the server's close frame, what comes is nobody's.
            if !over {
                self.client.input().extend_from_slice(&chunk[..bytes]);
                over = self.advance();
            }
        }
    }

    /// Answers what has arrived; whether the websocket has ended.
    fn advance(&mut self) -> bool {
        loop {
            let (text, payload) = match self.client.next() {
                Ok(None) => return false,
                Ok(Some(Event::Closed { .. })) | Err(_) => return true,
                Ok(Some(Event::Open | Event::Ping(_) | Event::Pong(_))) => continue,
                Ok(Some(Event::Text(payload))) => (true, payload.to_vec()),
                Ok(Some(Event::Binary(payload))) => (false, payload.to_vec()),
            };
            if !self.is_case {
                self.texts.push(String::from_utf8(payload).expect("text is checked"));
                continue;
            }
            let sent = if text {
                self.client.send_text(&payload)
            } else {
                self.client.send_binary(&payload)
            };
            assert!(!matches!(sent, Err(WebsocketError::OutputFull { .. })), "no room to echo");
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// What Autobahn says of each case.
struct Report {
    cases: BTreeMap<Case, Verdict>,
}

/// The number of a case, as "12.1.18", which sorts as a number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case(Vec<u32>);

/// Its judgement of the messages and of the end.
struct Verdict {
    behavior: String,
    close: String,
}

impl Report {
    fn parse(index: &str) -> Self {
        let index: Value = serde_json::from_str(index).unwrap();
        let cases = index[AGENT].as_object().expect("a report of our client");
        let word = |case: &Value, key: &str| case[key].as_str().expect("a judgement").to_owned();
        let cases = cases.iter().map(|(name, case)| {
            let verdict =
                Verdict { behavior: word(case, "behavior"), close: word(case, "behaviorClose") };
            (Case(name.split('.').map(|part| part.parse().unwrap()).collect()), verdict)
        });
        Self { cases: cases.collect() }
    }

    /// The rows of the table in docs/websocket.md, and each case that is not simply good.
    fn summary(&self) -> String {
        let mut rows: BTreeMap<(u32, &str, &str), usize> = BTreeMap::new();
        let mut others = Vec::new();
        for (case, Verdict { behavior, close }) in &self.cases {
            *rows.entry((case.0[0], behavior, close)).or_default() += 1;
            if (behavior != "OK" || close != "OK") && !case.is_compression() {
                others.push(format!("{}: {behavior}, close {close}", case.name()));
            }
        }
        let rows = rows.iter().map(|((section, behavior, close), cases)| {
            format!("| {section} | {behavior} | {close} | {cases} |")
        });
        rows.chain(others).collect::<Vec<_>>().join("\n")
    }

    /// The cases that may not be so.
    fn faults(&self) -> Vec<String> {
        let faulty = |(case, verdict): &(&Case, &Verdict)| !verdict.is_allowed(case);
        let name = |(case, verdict): (&Case, &Verdict)| {
            format!("{}: {}, close {}", case.name(), verdict.behavior, verdict.close)
        };
        self.cases.iter().filter(faulty).map(name).collect()
    }
}

impl Case {
    fn name(&self) -> String {
        self.0.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    /// permessage-deflate, which our client never offers.
    fn is_compression(&self) -> bool {
        matches!(self.0[0], 12 | 13)
    }
}

impl Verdict {
    fn is_allowed(&self, case: &Case) -> bool {
        let behavior = match self.behavior.as_str() {
            "OK" | "NON-STRICT" | "INFORMATIONAL" => true,
            "UNIMPLEMENTED" => case.is_compression(),
            _ => false,
        };
        behavior && matches!(self.close.as_str(), "OK" | "INFORMATIONAL")
    }
}

/// In the report it is the client's name.
const AGENT: &str = "tapedeck";
/// Autobahn 25.10 has 517.
const CASES_MIN: u64 = 500;
/// The longest that the start, a case or the report may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Autobahn would listen on every interface.
const LOOPBACK: &str = "
from autobahntestsuite import wstest
from twisted.internet import reactor
listen = reactor.listenTCP
def listen_on_loopback(port, factory, backlog, interface):
    listen(port, factory, backlog, '127.0.0.1')
    print 'listening on loopback'
reactor.listenTCP = listen_on_loopback
wstest.run()
";

#[test]
fn verdicts_are_judged() {
    let faults = |case: &str, behavior: &str, close: &str| {
        let verdict = serde_json::json!({ "behavior": behavior, "behaviorClose": close });
        let index = serde_json::json!({ AGENT: { case: verdict } });
        Report::parse(&index.to_string()).faults()
    };
    let none: [String; 0] = [];
    assert_eq!(faults("1.1.1", "OK", "OK"), none);
    assert_eq!(faults("6.4.1", "NON-STRICT", "OK"), none);
    assert_eq!(faults("7.1.6", "INFORMATIONAL", "INFORMATIONAL"), none);
    assert_eq!(faults("12.1.18", "UNIMPLEMENTED", "OK"), none);
    for behavior in ["FAILED", "UNIMPLEMENTED", "NO CLOSE", "UNCLEAN"] {
        assert_eq!(faults("9.1.1", behavior, "OK"), [format!("9.1.1: {behavior}, close OK")]);
    }
    for close in ["FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"] {
        assert_eq!(faults("1.1.1", "OK", close), [format!("1.1.1: OK, close {close}")]);
    }
    assert_eq!(faults("13.1.1", "FAILED", "OK"), ["13.1.1: FAILED, close OK"]);
}
