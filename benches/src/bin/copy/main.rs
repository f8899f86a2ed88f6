//! Option quotes into PostgreSQL: our sink beside the server's own COPY and other clients.
//!
//! `cargo run --release -p tapedeck-benches --bin copy -- DATA [ROUNDS] [ROWS] [EACH]` takes the
//! quotes in the journal of a recorder, in the predecessor's 19 columns, and stores them in
//! transactions of EACH rows into a server of its own: every system in turn, each round. Peers
//! are measured in the first rounds only. With `UPDATE_EXPECT=1` the table goes into
//! `benches/README.md`.

use std::path::Path;

use tapedeck_benches::page::{median, publish};
use tapedeck_benches::{quotes, tape};

use bench::{Bench, Figure};
use peers::PEERS;

mod bench;
mod peers;

/// The recorder's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().expect("a whole number");
    let (data, numbers) = match texts[..] {
        [data, ref numbers @ ..] if numbers.len() <= 3 => (Path::new(data), numbers),
        _ => panic!("copy DATA [ROUNDS] [ROWS] [EACH]"),
    };
    let given = |at: usize, default| numbers.get(at).map_or(default, |text| number(text));
    let (rounds, rows, each) = (given(0, 9), given(1, 300_000), given(2, 10_000));
    let table = quotes::nineteen();
    let transactions = quotes::transactions(&tape::batches(data), table, rows, each);
    let bench = Bench::start(table, transactions);
    let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); OURS.len() + PEERS.len()];
    for round in 0..rounds {
        for (system, figures) in OURS.iter().zip(&mut figures) {
            figures.push(bench.measure(|bench| (system.run)(bench)));
        }
        for (peer, figures) in PEERS.iter().zip(&mut figures[OURS.len()..]) {
            if round < PEER_ROUNDS {
                figures.push(bench.measure_peer(peer));
            }
        }
    }
    let names = OURS.iter().map(|system| system.name).chain(PEERS.iter().map(|peer| peer.name));
    let lines: Vec<_> = names.zip(figures.iter().map(Vec::as_slice)).collect();
    publish("copy", &page(&lines, bench.rows(), each));
}

/// A system that runs in this process.
struct System {
    name: &'static str,
    run: fn(&Bench) -> Figure,
}

const OURS: [System; 4] = [
    System { name: "server-side COPY FROM, binary", run: |bench| bench.server_side("binary") },
    System { name: "tapedeck", run: |bench| bench.sink(true) },
    System { name: "tapedeck without its position", run: |bench| bench.sink(false) },
    System { name: "server-side COPY FROM, text", run: |bench| bench.server_side("text") },
];

fn page(lines: &[(&str, &[Figure])], rows: usize, each: usize) -> String {
    let of = |figures: &[Figure], what: fn(&Figure) -> f64| median(figures.iter().map(what));
    let millions = rows as f64 / 1e6;
    let best = of(lines[0].1, |figure| figure.wall);
    let mut text = format!(
        "{rows} rows of 19 columns, {each} a transaction; medians of {} rounds, peers of {}.\n\n\
         | system | rows/s | of server-side COPY | client CPU s a million rows | server CPU s a \
         million rows |\n|---|---|---|---|---|\n",
        lines[0].1.len(),
        lines.last().map_or(0, |line| line.1.len()),
    );
    for (name, figures) in lines.iter().filter(|line| !line.1.is_empty()) {
        let wall = of(figures, |figure| figure.wall);
        text += &format!(
            "| {name} | {:.0} | {:.0} % | {:.2} | {:.2} |\n",
            rows as f64 / wall,
            100.0 * best / wall,
            of(figures, |figure| figure.client) / millions,
            of(figures, |figure| figure.server) / millions,
        );
    }
    // In one round the two ran within seconds: what differs between rounds cancels out.
    let pairs = lines[1].1.iter().zip(lines[2].1);
    let cost = median(pairs.map(|(with, without)| with.cpu() / without.cpu() - 1.0));
    text + &format!("\nThe position costs {:.1} % of CPU time, client and server.\n", 100.0 * cost)
}

/// The slow ones cost a minute a round.
const PEER_ROUNDS: usize = 2;
