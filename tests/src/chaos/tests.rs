//! The proxy between two sockets of this process.

use std::io::{ErrorKind, Read, Write};

use super::*;

/// A server that sends back what it gets, behind a proxy with this script; and a client of it.
fn begin(script: &str) -> (Chaos, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            thread::spawn(move || {
                let mut room = [0; 4096];
                while let Ok(bytes @ 1..) = socket.read(&mut room) {
                    let _ = socket.write_all(&room[..bytes]);
                }
            });
        }
    });
    let chaos = Chaos::start(to, Script::parse(script).unwrap(), 1).unwrap();
    // The script's first line is done before anybody connects.
    thread::sleep(POLL * 5);
    let client = TcpStream::connect(chaos.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (chaos, client)
}

fn echo(client: &mut TcpStream, bytes: usize) {
    let sent: Vec<u8> = (0..bytes).map(|index| index as u8).collect();
    let mut writing = client.try_clone().unwrap();
    let expected = sent.clone();
    let writer = thread::spawn(move || writing.write_all(&sent).unwrap());
    let mut got = vec![0; bytes];
    client.read_exact(&mut got).unwrap();
    assert!(got == expected, "what comes back is what was sent");
    writer.join().unwrap();
}

#[test]
fn nothing_is_lost_in_any_weather() {
    for script in
        ["", "0s latency 30ms jitter 20ms", "0s pieces 3", "0s rate 400000 pieces 900 latency 5ms"]
    {
        let (_chaos, mut client) = begin(script);
        echo(&mut client, 30_000);
    }
}

#[test]
fn latency_counts_both_ways() {
    let (_chaos, mut client) = begin("0s latency 150ms");
    let began = Instant::now();
    echo(&mut client, 1);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[test]
fn a_stall_holds_everything_back_until_it_is_over() {
    let (chaos, mut client) = begin("");
    echo(&mut client, 100);
    chaos.act(Deed::Weather(Weather { stalled: true, ..Weather::default() }));
    client.write_all(b"later").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    chaos.act(Deed::Weather(Weather::default()));
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut got = [0; 5];
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"later");
}

#[test]
fn a_reset_is_a_reset() {
    let (chaos, mut client) = begin("");
    echo(&mut client, 100);
    assert_eq!(chaos.connections(), 1);
    chaos.act(Deed::Reset);
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(chaos.connections(), 0);
}

#[test]
fn a_close_comes_in_the_middle() {
    let (chaos, mut client) = begin("0s latency 200ms");
    client.write_all(&[7; 1000]).unwrap();
    thread::sleep(Duration::from_millis(300));
    chaos.act(Deed::Close);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got.len() < 1000, "{} bytes came", got.len());
}

#[test]
fn a_mute_line_accepts_and_says_nothing() {
    let (_chaos, mut client) = begin("0s mute");
    client.write_all(b"hello").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}
