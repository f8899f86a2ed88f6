//! Shards spread over processes, managed by one lifecycle: nothing is lost and nothing stored twice
//! when instruments go from process to process, and whoever dies is waited for.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tapedeck_tests::Running;
use tapedeck_tests::tape::Tape;
use tapedeck_tests::truth::{Difference, Sent, Truth, is_of_options};

use crate::control::client::{TOKEN, exchange, json as parse, names, request, until};
use crate::market::{Market, PATIENCE, UNDER_WAY_US, assert_each_once, ended, tapedeck};

/// Two recorders and a lifecycle, each with a folder of its own.
struct Fleet {
    market: Market,
    /// The recorders' ports, and the lifecycle's.
    ports: [u16; 3],
    running: [Option<Running>; 3],
}

const LIFECYCLE: usize = 2;
const SHARDS: [&str; 2] = [
    "btc-options-0,btc-options-1,eth-options-0,eth-options-1,perpetuals",
    "btc-options-2,eth-options-2,eth-options-3",
];

impl Fleet {
    /// An exchange; nobody else runs yet.
    fn new(flags: &[&str]) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ports = [free(), free(), free()];
        Self { market: Market::start(flags), ports, running: [None, None, None] }
    }

    fn data(&self, who: usize) -> PathBuf {
        self.market.folder.path().join(["a", "b", "lifecycle"][who])
    }

    fn command(&self, who: usize) -> Command {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut command = match who {
            LIFECYCLE => {
                let mut command = tapedeck(&["lifecycle", "--control"]);
                for port in &self.ports[..LIFECYCLE] {
                    command.args(["--recorder", &url(*port)]);
                }
                command
            }
            recorder => tapedeck(&["record", "--shards", SHARDS[recorder]]),
        };
        command
            .args(["--exchange-url", &self.market.url, "--data"])
            .arg(self.data(who))
            .env("TAPEDECK_CONTROL__PORT", self.ports[who].to_string())
            .env("TAPEDECK_CONTROL__SHARD_PORT", "0")
            .env("TAPEDECK_CONTROL_TOKEN", TOKEN);
        command
    }

    fn start(&mut self, who: usize) {
        self.running[who] = Some(Running::start(&mut self.command(who)));
    }

    fn kill(&mut self, who: usize) {
        drop(self.running[who].take());
    }

    fn address(&self, who: usize) -> String {
        format!("127.0.0.1:{}", self.ports[who])
    }

    fn get(&self, who: usize, path: &str) -> Option<(u16, Value)> {
        std::net::TcpStream::connect(self.address(who)).ok()?;
        Some(parse(exchange(&self.address(who), &request("GET", path, &[], ""))))
    }

    fn wait_until_well(&self, who: usize) {
        for path in ["/ready", "/health"] {
            until(|| self.get(who, path).filter(|(code, _)| *code == 200));
        }
    }

    /// The options with a shard.
    fn instruments(&self, shard: &str) -> Vec<String> {
        let plan = self.get(LIFECYCLE, "/api/v1/plan").expect("the lifecycle answers").1;
        let shards = plan["shards"].as_array().expect("a list");
        let shard = shards.iter().find(|it| it["name"] == shard).expect("the shard");
        let channels = names(&shard["channels"]);
        let own = channels.iter().filter_map(|it| it.strip_prefix("ticker.")?.split('.').next());
        own.map(String::from).collect()
    }

    fn relocate(&self, shard: &str, names: &[String]) -> (u16, Value) {
        parse(exchange(&self.address(LIFECYCLE), &wish(shard, names)))
    }

    /// Until nothing is on its way, and these are with that shard alone.
    fn wait_until_there(&self, shard: &str, names: &[String]) {
        self.wait_until_well(LIFECYCLE);
        let (code, answer) = until(|| {
            let (code, answer) = self.relocate(shard, names);
            (code == 200).then_some((code, answer))
        });
        assert_eq!((code, &answer["success"]), (200, &Value::Bool(true)), "{answer}");
    }

    /// Ends everybody in order: what the exchange sent, over each connection too, and what is
    /// stored.
    fn end(mut self) -> (Truth, Vec<Truth>, Tape) {
        for who in [LIFECYCLE, 0, 1] {
            let mut running = self.running[who].take().expect("it runs");
            running.terminate();
            let status = running.wait(PATIENCE);
            assert!(status.success(), "{status}\n{}", running.output());
        }
        let truth = self.market.truth();
        let each = Truth::read_each(&self.market.log());
        let mut tape = Tape::default();
        for who in [0, 1, LIFECYCLE] {
            let part = Tape::read(&self.data(who));
            tape.keys.extend(part.keys);
            tape.received.extend(part.received);
            tape.gaps.extend(part.gaps);
            tape.newest_received = tape.newest_received.max(part.newest_received);
        }
        (truth, each, tape)
    }
}

/// A request that lets instruments go to a shard.
fn wish(shard: &str, names: &[String]) -> Vec<u8> {
    let body = json!({ "shard": shard, "instruments": names }).to_string();
    let token = format!("Authorization: Bearer {TOKEN}");
    request("POST", "/api/v1/plan", &[&token], &body)
}

#[test]
fn instruments_go_from_process_to_process() {
    swap("identical");
}

#[test]
fn instruments_go_between_connections_of_another_phase() {
    swap("shifted");
}

fn swap(frames: &str) {
    let mut fleet = Fleet::new(&["--options", "400", "--rate", "1000", "--frames", frames]);
    [0, 1, LIFECYCLE].iter().for_each(|who| fleet.start(*who));
    fleet.wait_until_well(LIFECYCLE);
    for _ in 0..3 {
        let (here, there) =
            (fleet.instruments("btc-options-0"), fleet.instruments("btc-options-2"));
        std::thread::scope(|scope| {
            for (to, names) in [("btc-options-2", &here), ("btc-options-0", &there)] {
                let fleet = &fleet;
                scope.spawn(move || {
                    let (code, answer) = fleet.relocate(to, &names[..40]);
                    assert_eq!((code, &answer["success"]), (200, &Value::Bool(true)), "{answer}");
                });
            }
        });
        let after = fleet.instruments("btc-options-2");
        assert!(here[..40].iter().all(|name| after.contains(name)), "they have changed places");
    }
    std::thread::sleep(Duration::from_secs(1));
    let (truth, each, tape) = fleet.end();
    assert_each_once(&truth, &each, &tape);
    let rows = tape.keys.iter().filter(|key| is_of_options(key)).count();
    println!("{frames}: {rows} rows of options stored by two processes");
}

/// A lifecycle that waits, that is killed, that finds everything as it was; recorders that are
/// killed while instruments come and go: each time all converges, nothing is stored twice, and what
/// is missing has a name.
#[test]
fn whoever_dies_is_waited_for() {
    let mut fleet = Fleet::new(&["--options", "240", "--rate", "600"]);
    fleet.start(LIFECYCLE);
    let waits = "it is waited for";
    let lifecycle = fleet.running[LIFECYCLE].as_mut().unwrap();
    let _ = lifecycle.wait_for(waits, PATIENCE);
    fleet.start(0);
    fleet.start(1);
    fleet.wait_until_well(LIFECYCLE);
    let output = fleet.running[LIFECYCLE].as_ref().unwrap().output();
    assert!(output.matches(waits).count() <= 2, "said once of each: {output}");

    let moved = fleet.instruments("btc-options-0")[..25].to_vec();
    for (to, dies) in [
        ("btc-options-2", LIFECYCLE),
        ("btc-options-0", 0),
        ("btc-options-2", 1),
        ("btc-options-0", 1),
    ] {
        move_while_it_dies(&mut fleet, to, &moved, dies);
        fleet.wait_until_there(to, &moved);
    }
    // Who starts while nobody says what it records goes on with what it had.
    fleet.kill(LIFECYCLE);
    fleet.kill(0);
    fleet.start(0);
    fleet.wait_until_well(0);
    let rows = || {
        let shards = fleet.get(0, "/api/v1/shards").expect("it answers").1;
        let shards = shards.as_array().expect("a list").iter();
        shards.map(|shard| shard["rows"].as_u64().expect("a number")).sum::<u64>()
    };
    until(|| (rows() > 200).then_some(()));
    fleet.start(LIFECYCLE);
    fleet.wait_until_there("btc-options-0", &moved);
    std::thread::sleep(Duration::from_secs(1));

    assert_named_or_stored_once(fleet);
}

/// Lets instruments go to a shard, and kills one of the three in the middle of it.
fn move_while_it_dies(fleet: &mut Fleet, to: &str, moved: &[String], dies: usize) {
    std::thread::scope(|scope| {
        let address = fleet.address(LIFECYCLE);
        scope.spawn(move || {
            // Whoever is asked may be the one who dies.
            let _ = std::net::TcpStream::connect(address).and_then(|mut socket| {
                std::io::Write::write_all(&mut socket, &wish(to, moved))?;
                std::io::Read::read_to_string(&mut socket, &mut String::new())
            });
        });
        std::thread::sleep(Duration::from_millis(250));
        fleet.kill(dies);
        std::thread::sleep(Duration::from_millis(600));
        fleet.start(dies);
    });
}

fn assert_named_or_stored_once(fleet: Fleet) {
    let (truth, each, tape) = fleet.end();
    let Difference { missing, surplus } = truth.compare_each(&each, &tape);
    assert!(surplus.is_empty(), "{} rows too many, {:?}", surplus.len(), surplus.first());
    let end = Truth::read_until(&each, &tape).min(tape.newest_received - UNDER_WAY_US);
    let named = |sent: &Sent| {
        let (table, instrument) = sent.subject();
        let covers = |start: i64, end: Option<i64>| {
            start - UNDER_WAY_US <= sent.at && end.is_none_or(|end| sent.at <= end + UNDER_WAY_US)
        };
        let mut gaps = tape.gaps.iter().filter(|gap| gap.concerns(table, instrument));
        gaps.any(|gap| covers(gap.start, gap.end))
    };
    let lost: Vec<_> = missing.iter().filter(|sent| sent.at < end && !named(sent)).collect();
    let all = missing.len();
    assert!(
        lost.is_empty(),
        "{} of {all} missing rows are in no gap, {:?} …; gaps {:?}",
        lost.len(),
        lost.first(),
        tape.gaps
    );
    println!(
        "{} rows stored, {all} missing and named by {} gaps",
        tape.keys.len(),
        tape.gaps.len()
    );
}

#[test]
fn what_cannot_be_managed_is_said() {
    let mut fleet = Fleet::new(&["--options", "60", "--rate", "100"]);
    let mut no_token = fleet.command(0);
    no_token.env_remove("TAPEDECK_CONTROL_TOKEN");
    assert!(ended(&mut no_token, 2).contains("TAPEDECK_CONTROL_TOKEN is not set"));
    let mut no_token = fleet.command(LIFECYCLE);
    no_token.env_remove("TAPEDECK_CONTROL_TOKEN");
    assert!(ended(&mut no_token, 2).contains("TAPEDECK_CONTROL_TOKEN is not set"));
    let mut unknown = fleet.command(0);
    unknown.args(["--shards", "btc-options-9"]);
    let output = ended(&mut unknown, 2);
    assert!(output.contains("there is no shard \"btc-options-9\""), "{output}");
    let mut shards = fleet.command(LIFECYCLE);
    shards.args(["--shards", "btc-options-0"]);
    assert!(ended(&mut shards, 2).contains("a lifecycle has no shards of its own"));
    let mut twice = fleet.command(LIFECYCLE);
    twice.args(["--recorder", &format!("http://{}/", fleet.address(0))]);
    assert!(ended(&mut twice, 2).contains("is named twice"));

    [0, 1, LIFECYCLE].iter().for_each(|who| fleet.start(*who));
    fleet.wait_until_well(LIFECYCLE);
    let post = |who: usize, token: &str, path: &str, body: &str| {
        let token = format!("Authorization: Bearer {token}");
        parse(exchange(&fleet.address(who), &request("POST", path, &[&token], body)))
    };
    let brief = json!({
        "manager": "another", "run": 1, "number": 1, "to": null, "asks": true, "goals": [],
        "passages": [], "names": null, "answers": [],
        "seen": { "boards": {}, "words": 0, "wishes": 0 }
    });
    for (who, token, body, status, said) in [
        (0, "0000000000000000", brief.to_string(), 401, "the token is not the right one"),
        (0, TOKEN, brief.to_string(), 409, "another lifecycle manages this recorder"),
        (0, TOKEN, "{}".to_owned(), 400, "the brief is not understood"),
        (LIFECYCLE, TOKEN, brief.to_string(), 404, "no lifecycle manages this recorder"),
    ] {
        let (code, answer) = post(who, token, "/api/v1/fleet", &body);
        assert_eq!(code, status, "{answer}");
        assert!(answer.to_string().contains(said), "{answer}");
    }
    let _ = fleet.end();
}

/// What is wished at any recorder's port goes to the lifecycle, which alone plans: shards of other
/// recorders follow, the answer comes when the exchange has acknowledged it there, and it lasts.
#[test]
fn wishes_at_any_recorder_are_followed_by_the_shards_of_all() {
    let mut fleet = Fleet::new(&["--options", "60", "--rate", "100"]);
    fleet.start(0);
    let shard = fleet.running[0].as_mut().unwrap();
    let line = shard.wait_for("control of shard btc-options-0", PATIENCE);
    let shard = line.rsplit("http://").next().expect("an address").to_owned();
    let change = |what: &str, names: &[&str]| {
        let token = format!("Authorization: Bearer {TOKEN}");
        let body = json!({ "instruments": names }).to_string();
        parse(exchange(&shard, &request("POST", &format!("/api/{what}"), &[&token], &body)))
    };
    let (code, answer) = change("subscribe", &["BTC-PERPETUAL"]);
    assert_eq!(code, 422, "{answer}");
    assert!(answer.to_string().contains("no lifecycle speaks to this recorder now"), "{answer}");

    fleet.start(1);
    fleet.start(LIFECYCLE);
    fleet.wait_until_well(LIFECYCLE);
    let elsewhere = fleet.instruments("eth-options-2");
    let (first, second) = (&*elsewhere[0], &*elsewhere[1]);
    let records = |fleet: &Fleet, name: &str| {
        let shards = ["eth-options-0", "eth-options-1", "eth-options-2", "eth-options-3"];
        shards.iter().any(|it| fleet.instruments(it).iter().any(|it| it == name))
    };
    let (code, answer) = change("unsubscribe", &[first, second, "BTC-1JAN70-1-C"]);
    assert_eq!((code, &answer["unsubscribed"]), (200, &json!([first, second])), "{answer}");
    assert_eq!(answer["not_found"], json!(["BTC-1JAN70-1-C"]));
    assert!(!records(&fleet, first) && !records(&fleet, second), "nobody records them");
    let acknowledged = |fleet: &Fleet, who: usize| {
        let shards = fleet.get(who, "/api/v1/shards").expect("it answers").1;
        let shards = shards.as_array().expect("a list").iter();
        shards.map(|shard| shard["acknowledged"].as_u64().expect("a number")).sum::<u64>()
    };
    let before = acknowledged(&fleet, 1);
    let (code, answer) = change("subscribe", &[first, "BTC-1JAN70-1-C"]);
    assert_eq!((code, &answer["subscribed"]), (422, &json!([first])), "{answer}");
    assert!(answer.to_string().contains("the exchange lists no such instrument"), "{answer}");
    assert!(records(&fleet, first) && acknowledged(&fleet, 1) > before, "it is recorded again");

    fleet.kill(LIFECYCLE);
    fleet.start(LIFECYCLE);
    fleet.wait_until_well(LIFECYCLE);
    assert!(records(&fleet, first) && !records(&fleet, second), "it lasts");
    let from = fleet.instruments("btc-options-0")[0].clone();
    let request = wish("btc-options-2", std::slice::from_ref(&from));
    let (code, answer) = parse(exchange(&fleet.address(1), &request));
    assert_eq!((code, &answer["success"]), (200, &Value::Bool(true)), "{answer}");
    assert!(fleet.instruments("btc-options-2").contains(&from), "it is there");
    let (truth, each, tape) = fleet.end();
    assert_each_once(&truth, &each, &tape);
}
