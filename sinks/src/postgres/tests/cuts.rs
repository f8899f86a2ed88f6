//! A connection that is cut: in the middle of a COPY, and between COMMIT and its answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Cluster, Options, sink, stored};
use crate::contract::rows;
use crate::sample::Sample;
use crate::{Position, Sink, SinkErrorKind};

/// A way to the server that can be cut.
struct Wire {
    port: u16,
    cut: Arc<Cut>,
}

/// When the next connection is cut.
#[derive(Debug, Default)]
struct Cut {
    /// After so many bytes to the server; 0 is never.
    after_bytes: AtomicUsize,
    /// Once the server has been sent COMMIT and has answered: the answer is kept back.
    after_commit: AtomicBool,
    /// Before the server is sent COMMIT.
    before_commit: AtomicBool,
}

impl Wire {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), cut: Arc::default() };
        let cut = Arc::clone(&wire.cut);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, cut) = (client.unwrap(), Arc::clone(&cut));
                thread::spawn(move || carry(client, port, &cut));
            }
        });
        wire
    }
}

/// Carries bytes until one side ends or it is time to cut.
fn carry(mut client: TcpStream, port: u16, cut: &Cut) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let silent = Arc::new(AtomicBool::new(false));
    let mute = Arc::clone(&silent);
    let back = thread::spawn(move || {
        let mut bytes = [0; 1 << 14];
        while let Ok(length @ 1..) = answers.read(&mut bytes) {
            if mute.load(Ordering::SeqCst) || to_client.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut bytes, mut sent) = ([0; 1 << 14], 0);
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let commit = bytes[..length].windows(7).any(|word| word == b"COMMIT\0");
        let after = cut.after_bytes.load(Ordering::SeqCst);
        // Counted from when it was asked for.
        sent = if after == 0 { 0 } else { sent + length };
        let over = after > 0 && sent >= after;
        if over || commit && cut.before_commit.swap(false, Ordering::SeqCst) {
            cut.after_bytes.store(0, Ordering::SeqCst);
            break;
        }
        if commit && cut.after_commit.swap(false, Ordering::SeqCst) {
            silent.store(true, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
}

#[test]
fn a_cut_connection_neither_loses_nor_doubles() {
    let name = "postgres::tests::cuts::a_cut_connection_neither_loses_nor_doubles";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("cut");
    let wire = Wire::to(cluster.port());
    let options = Options { age_max: Duration::ZERO, ..Options::default() };
    let mut sink = sink(&cluster.url_through(wire.port, database), options);
    let mut sample = Sample::tame(11);
    // Tables of a currency that is new are made outside of our transactions: that is not cut.
    let mut batches = sample.every_table(60);
    let _ = sink.open("j").unwrap();
    sink.write(&batches).unwrap();
    let _ = sink.close().unwrap();
    let mut seen = [0; 2];
    for round in 0..12 {
        let before = sink.open("j").unwrap();
        assert_eq!(before, Position(batches.len() as u64));
        let new = sample.every_table(60);
        match round % 3 {
            0 => wire.cut.after_bytes.store(60_000 + 8_000 * round, Ordering::SeqCst),
            1 => wire.cut.before_commit.store(true, Ordering::SeqCst),
            _ => wire.cut.after_commit.store(true, Ordering::SeqCst),
        }
        sink.write(&new).unwrap();
        let error = sink.close().unwrap_err();
        assert_eq!(error.kind, SinkErrorKind::Retry, "{error}");
        // What was committed and not acknowledged is there, whatever else is not.
        let position = sink.open("j").unwrap();
        let whole = Position(before.0 + new.len() as u64);
        assert_eq!(position, if round % 3 == 2 { whole } else { before }, "round {round}");
        seen[usize::from(position == whole)] += 1;
        if position == before {
            sink.write(&new).unwrap();
            assert_eq!(sink.close().unwrap(), whole);
        }
        batches.extend(new);
    }
    assert_eq!(seen, [8, 4]);
    assert!(stored(&cluster, database) == rows(&batches), "rows were lost, doubled or changed");
}

/// While one transaction is under way the next is gathered: neither outlives the other's end.
#[test]
fn a_transaction_waits_for_the_end_of_the_last() {
    let name = "postgres::tests::cuts::a_transaction_waits_for_the_end_of_the_last";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("overlapped");
    let wire = Wire::to(cluster.port());
    let url = cluster.url_through(wire.port, database);
    // Each record is a transaction.
    let mut sink = sink(&url, Options { bytes_max: 1, ..Options::default() });
    let mut sample = Sample::tame(12);
    let batches: Vec<_> = (0..8).flat_map(|_| sample.every_table(40)).collect();
    let mut position = sink.open("j").unwrap().0 as usize;
    for round in 0.. {
        let before = position;
        match round % 3 {
            0 => wire.cut.before_commit.store(true, Ordering::SeqCst),
            1 => wire.cut.after_commit.store(true, Ordering::SeqCst),
            _ => wire.cut.after_bytes.store(100_000, Ordering::SeqCst),
        }
        let written = sink.write(&batches[position..]).map(drop);
        let done = written.and_then(|()| sink.close().map(drop));
        if done.is_ok() {
            assert!(round > 2, "every way to be cut was taken");
            break;
        }
        position = sink.open("j").unwrap().0 as usize;
        assert!(position >= before, "nothing that was stored is gone");
    }
    assert!(stored(&cluster, database) == rows(&batches), "rows were lost, doubled or changed");
}
