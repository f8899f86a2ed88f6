//! Our end of TLS against a rustls server in memory, with certificates minted here.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use tapedeck::tls::{Roots, Tls, TlsError, Trust};
use tapedeck::transport::Transport;
use tapedeck::websocket::{Client, Event, Limits, Request};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use tapedeck_tests::random::Random;

/// An authority, the file that holds its certificate, and what it can sign.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server with a certificate for `name`, valid in these years.
    fn server(&self, name: &str, from: i32, to: i32) -> ServerConnection {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        ServerConnection::new(Arc::new(config)).unwrap()
    }
}

/// The server's side of the wire.
struct Server {
    tls: ServerConnection,
    /// What the server has read.
    read: Vec<u8>,
    /// The error by which it ended: an alert of ours.
    failed: Option<rustls::Error>,
}

impl Server {
    fn new(tls: ServerConnection) -> Self {
        Self { tls, read: Vec::new(), failed: None }
    }

    /// Takes ciphertext in chunks of any size.
    fn receive(&mut self, mut ciphertext: &[u8], random: &mut Random) {
        while !ciphertext.is_empty() && self.failed.is_none() {
            let (mut chunk, rest) = ciphertext.split_at(random.chunk().min(ciphertext.len()));
            ciphertext = rest;
            while !chunk.is_empty() {
                self.tls.read_tls(&mut chunk).unwrap();
                if let Err(error) = self.tls.process_new_packets() {
                    self.failed = Some(error);
                    return;
                }
                // It ends by "would block" once all is read.
                let _ = self.tls.reader().read_to_end(&mut self.read);
            }
        }
    }

    fn output(&mut self) -> Vec<u8> {
        let mut ciphertext = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut ciphertext).unwrap();
        }
        ciphertext
    }
}

/// Carries bytes both ways until neither side has any; `Err` is our side's.
fn carry(
    tls: &mut Tls,
    server: &mut Server,
    plaintext: &mut Vec<u8>,
    random: &mut Random,
) -> Result<(), TlsError> {
    loop {
        let mut up = Vec::new();
        tls.output(&mut up);
        server.receive(&up, random);
        let down = server.output();
        if up.is_empty() && down.is_empty() {
            return Ok(());
        }
        let mut rest = down.as_slice();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(random.chunk().min(rest.len()));
            rest = behind;
            if let Err(error) = tls.receive(chunk, plaintext) {
                let mut alert = Vec::new();
                tls.output(&mut alert);
                server.receive(&alert, random);
                return Err(error);
            }
        }
    }
}

#[test]
fn data_flows_both_ways_in_any_chunks() {
    let authority = Authority::new("ours");
    let Trust { config, roots, .. } = Trust::of(Some(&authority.file())).unwrap();
    assert_eq!(roots, Roots::File { path: authority.file(), certificates: 1 });
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut server = Server::new(authority.server("deck.example", 2020, 2100));
        let mut tls = Tls::new(Arc::clone(&config), "deck.example").unwrap();
        assert!(!tls.is_ready());
        // Sent before the handshake: waits for it.
        let up: Vec<u8> = (0..200_000).map(|_| random.next() as u8).collect();
        let down: Vec<u8> = (0..random.below(200_000)).map(|_| random.next() as u8).collect();
        tls.send(&up[..100_000]).unwrap();
        let mut plaintext = Vec::new();
        carry(&mut tls, &mut server, &mut plaintext, &mut random).unwrap();
        assert!(tls.is_ready());
        assert_eq!(tls.negotiated().as_deref(), Some("TLSv1_3 TLS13_AES_256_GCM_SHA384"));
        tls.send(&up[100_000..]).unwrap();
        let mut rest = down.as_slice();
        while !rest.is_empty() {
            let taken = server.tls.writer().write(rest).unwrap();
            rest = &rest[taken..];
            carry(&mut tls, &mut server, &mut plaintext, &mut random).unwrap();
        }
        carry(&mut tls, &mut server, &mut plaintext, &mut random).unwrap();
        assert!(server.read == up && plaintext == down, "seed {seed}");
        // Nothing after the server's farewell is taken for data.
        server.tls.send_close_notify();
        carry(&mut tls, &mut server, &mut plaintext, &mut random).unwrap();
        tls.receive(b"HTTP/1.1 400", &mut plaintext).unwrap();
        assert_eq!(plaintext.len(), down.len());
    }
}

/// The sentence by which `host` is refused, if the server has this certificate and we trust
/// that authority; the server must have been told.
#[track_caller]
fn check_refused(trusted: &Authority, server: ServerConnection, host: &str, expected: &str) {
    let config = Trust::of(Some(&trusted.file())).unwrap().config;
    let mut server = Server::new(server);
    let mut tls = Tls::new(config, host).unwrap();
    tls.send(b"secret").unwrap();
    let mut plaintext = Vec::new();
    let random = &mut Random(1);
    let error = carry(&mut tls, &mut server, &mut plaintext, random).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert!(!tls.is_ready());
    assert!(server.failed.is_some(), "the server was not told");
    assert!(server.read.is_empty() && plaintext.is_empty(), "data flowed");
}

#[test]
fn certificates_that_are_refused() {
    let authority = Authority::new("ours");
    check_refused(
        &Authority::new("ours"),
        authority.server("deck.example", 2020, 2100),
        "deck.example",
        "the certificate of deck.example names an authority that we trust, \
         but another key has signed it",
    );
    check_refused(
        &Authority::new("theirs"),
        authority.server("deck.example", 2020, 2100),
        "deck.example",
        "the certificate of deck.example is signed by no authority that we trust",
    );
    check_refused(
        &authority,
        authority.server("deck.example", 2020, 2100),
        "tape.example",
        "the server's certificate is not valid for tape.example, \
         only for DnsName(\"deck.example\")",
    );
    check_refused(
        &authority,
        authority.server("deck.example", 2020, 2021),
        "deck.example",
        "the certificate of deck.example has expired (2021-01-01T00:00:00Z)",
    );
    check_refused(
        &authority,
        authority.server("deck.example", 2090, 2100),
        "deck.example",
        "the certificate of deck.example is not valid yet (2090-01-01T00:00:00Z); \
         is the clock right?",
    );
}

#[test]
fn addresses_have_certificates_too_and_ports_are_no_part_of_a_host() {
    let authority = Authority::new("ours");
    let config = Trust::of(Some(&authority.file())).unwrap().config;
    let mut server = Server::new(authority.server("127.0.0.1", 2020, 2100));
    let mut tls = Tls::new(Arc::clone(&config), "127.0.0.1").unwrap();
    carry(&mut tls, &mut server, &mut Vec::new(), &mut Random(1)).unwrap();
    assert!(tls.is_ready());
    let error = Tls::new(config, "deck.example:443").unwrap_err();
    assert_eq!(error.to_string(), "\"deck.example:443\" is neither a host name nor an address");
}

#[test]
fn a_server_without_tls_is_named() {
    let config = Trust::of(None).unwrap().config;
    let mut tls = Tls::new(config, "deck.example").unwrap();
    let error = tls.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n", &mut Vec::new()).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("TLS with deck.example failed: "), "{error}");
}

/// The server's TLS as the stream that tungstenite wants.
struct Stream {
    server: Server,
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        if self.server.read.is_empty() {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        let bytes = room.len().min(self.server.read.len());
        room[..bytes].copy_from_slice(&self.server.read[..bytes]);
        self.server.read.drain(..bytes);
        Ok(bytes)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.server.tls.writer().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a reader does between two reads; the events, as text.
fn turn(transport: &mut Transport, client: &mut Client, arrived: &[u8]) -> Vec<String> {
    let mut input = transport.take_input(client);
    input.extend_from_slice(arrived);
    transport.put_input(input, client).unwrap();
    let mut told = Vec::new();
    while let Some(event) = client.next().unwrap() {
        told.push(match event {
            Event::Text(payload) => String::from_utf8_lossy(payload).into_owned(),
            other => format!("{other:?}"),
        });
    }
    told
}

#[test]
fn a_websocket_goes_over_either_transport() {
    let authority = Authority::new("ours");
    let config = Trust::of(Some(&authority.file())).unwrap().config;
    let request = Request::new("deck.example", "/ws").unwrap();
    let mut client = Client::new(&request, Limits::default(), 7);
    let mut transport = Transport::secure(config, "deck.example").unwrap();
    let server = Server::new(authority.server("deck.example", 2020, 2100));
    let mut stream = Stream { server };
    let random = &mut Random(7);
    while stream.server.read.is_empty() {
        stream.server.receive(&transport.take_output(&mut client).unwrap(), random);
        let down = stream.server.output();
        assert!(turn(&mut transport, &mut client, &down).is_empty());
    }
    let mut socket: WebSocket<Stream> = tungstenite::accept(stream).unwrap();
    socket.send(Message::text("hello")).unwrap();
    let down = socket.get_mut().server.output();
    assert_eq!(turn(&mut transport, &mut client, &down), ["Open", "hello"]);
    assert!(transport.negotiated().is_some());
    client.send_text(b"welcome").unwrap();
    let up = transport.take_output(&mut client).unwrap();
    socket.get_mut().server.receive(&up, random);
    assert_eq!(socket.read().unwrap(), Message::text("welcome"));

    // Without TLS the request is sent as it is.
    let mut client = Client::new(&request, Limits::default(), 7);
    let mut transport = Transport::plain();
    let up = transport.take_output(&mut client).unwrap();
    assert!(up.starts_with(b"GET /ws HTTP/1.1\r\n"));
    assert!(turn(&mut transport, &mut client, b"HTTP/1.1 101 ").is_empty());
    assert_eq!(transport.negotiated(), None);
}
