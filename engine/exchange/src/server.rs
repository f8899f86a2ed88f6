//! The one port: plain or TLS, REST or websocket.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use crate::connection;
use crate::error::ExchangeError;
use crate::faults::Door;
use crate::floor::Refusal;
use crate::house::Shared;
use crate::http::{self, HttpError, HttpRequest};
use crate::hub::Hub;
use crate::rpc::{self, Call, RpcError};

/// How often the venue moves.
const STEP: Duration = Duration::from_millis(10);
/// How often the truth log reaches the disk.
const TRUTH: Duration = Duration::from_millis(200);
/// A connection must say what it wants within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// An HTTP connection lives no longer.
const HTTP_LIFE: Duration = Duration::from_secs(900);
/// How long connections may take to end when the exchange stops.
const GOODBYE: Duration = Duration::from_secs(3);

/// A certificate chain and its key, both as PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    /// One or more certificates, the server's own first.
    pub certificate_pem: Vec<u8>,
    /// The private key; it is never printed.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsIdentity({} bytes of certificates)", self.certificate_pem.len())
    }
}

impl TlsIdentity {
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, ExchangeError> {
        let failed = |reason: &dyn std::fmt::Display| ExchangeError::Tls(reason.to_string());
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&self.certificate_pem).collect();
        let chain = chain.map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key_pem).map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| failed(&error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Accepts and serves until told to stop.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    house: Shared,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    let (mut step, mut truth) = (interval(STEP), interval(TRUTH));
    // A late step makes up for itself: it is time that counts the events.
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    truth.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, from)) = accepted else {
                    // Out of descriptors, most likely: do not spin on it.
                    tokio::time::sleep(STEP).await;
                    continue;
                };
                let (house, tls, told) = (Rc::clone(&house), tls.clone(), told.clone());
                tasks.spawn_local(welcome(stream, from.ip(), tls, house, told));
            }
            _ = step.tick() => {
                house.act(|hub, now| {
                    if let Err(error) = hub.step(now) {
                        hub.counters.failed(&error);
                    }
                });
            }
            _ = truth.tick() => house.flush_truth(),
            Some(_) = tasks.join_next() => {}
            _ = stop.wait_for(|stopped| *stopped) => break,
        }
    }
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(GOODBYE, ended).await;
    house.flush_truth();
}

async fn welcome(
    stream: TcpStream,
    address: IpAddr,
    tls: Option<TlsAcceptor>,
    house: Shared,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, address, house, stop).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                converse(stream, address, house, stop).await;
            }
        }
    }
}

/// Answers requests until one of them becomes a websocket.
async fn converse<S>(mut stream: S, address: IpAddr, house: Shared, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    let requests = async {
        loop {
            match http::read(&mut stream, &mut buffer).await {
                Ok(request) if request.path == "/ws/api/v2" => {
                    let enter = |hub: &mut Hub, now| hub.admit(address, Door::Websocket, now);
                    let (status, text) = match request.websocket_key {
                        None => (400, "this path speaks websocket only\n"),
                        Some(key) => match house.act(enter) {
                            Ok(()) => return Some(key),
                            Err(Refusal::Status(status)) => (status, REFUSED),
                            Err(Refusal::HungUp) => return None,
                        },
                    };
                    let _ = http::respond(&mut stream, status, TEXT, text, false).await;
                    return None;
                }
                Ok(request) => {
                    let (status, kind, body) = match answer(&request, address, &house) {
                        Ok(answer) => answer,
                        Err(Refusal::Status(status)) => (status, TEXT, REFUSED.to_owned()),
                        Err(Refusal::HungUp) => return None,
                    };
                    house.act(|hub, _| hub.counters.requested());
                    let keep = request.keep_alive && status != 429;
                    let sent = http::respond(&mut stream, status, kind, &body, keep).await;
                    if sent.is_err() || !keep {
                        return None;
                    }
                }
                Err(HttpError::Bad(status)) => {
                    let text = "no request that this server understands\n";
                    let _ = http::respond(&mut stream, status, TEXT, text, false).await;
                    return None;
                }
                Err(HttpError::Gone) => return None,
            }
        }
    };
    let key = tokio::select! {
        key = timeout(HTTP_LIFE, requests) => key.ok().flatten(),
        _ = stop.wait_for(|stopped| *stopped) => None,
    };
    let Some(key) = key else { return };
    if switch(&mut stream, &key).await.is_ok() {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(1 << 20))
            .max_frame_size(Some(1 << 20));
        let role = Role::Server;
        let socket = WebSocketStream::from_partially_read(stream, buffer, role, Some(limits)).await;
        connection::serve(socket, house, address, stop).await;
    }
}

async fn switch<S: AsyncWrite + Unpin>(stream: &mut S, key: &str) -> io::Result<()> {
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const REFUSED: &str = "not now, or too many connections from this address\n";

type Answer = (u16, &'static str, String);

/// Status, kind and body of the answer to a plain request.
fn answer(request: &HttpRequest, address: IpAddr, house: &Shared) -> Result<Answer, Refusal> {
    if request.path == "/channels" {
        let channels = house.act(|hub, _| {
            // A raw channel can only be sent where somebody can authenticate.
            let raw = hub.desk.credentials.is_some();
            hub.desk.venue.channels(raw)
        });
        return Ok((200, TEXT, channels.join("\n") + "\n"));
    }
    let Some(method) = request.path.strip_prefix("/api/v2") else {
        let paths = "there is /ws/api/v2, /api/v2/public/… and /channels\n";
        return Ok((404, TEXT, paths.to_owned()));
    };
    house.act(|hub, now| {
        hub.admit(address, Door::Rest, now)?;
        let (id, call) = read(method.trim_start_matches('/'), request);
        let (status, body) = hub.ask(address, id, call, now);
        Ok((status, JSON, body))
    })
}

/// The call of a REST request: from the path and the query, or from a JSON-RPC body.
fn read(method: &str, request: &HttpRequest) -> (Option<Value>, Result<Call, RpcError>) {
    let named = |params| Call { method: method.to_owned(), params };
    if request.method == "POST" && !request.body.is_empty() {
        let (id, call) = rpc::read(&String::from_utf8_lossy(&request.body));
        return (id, if method.is_empty() { call } else { call.map(|call| named(call.params)) });
    }
    let mut params = http::parameters(&request.query);
    (params.remove("id"), Ok(named(params)))
}
