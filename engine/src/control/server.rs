//! Connections: each has a deadline for every step, and each request its place in a bucket.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::answer::refusal;
use super::hub::Hub;

/// Takes connections for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, app: Router, hub: Arc<Hub>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, or a connection that was gone at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let address = peer.ip();
        if !hub.enter(address) {
            continue;
        }
        let entry = Entry { hub: Arc::clone(&hub), address };
        tokio::spawn(converse(stream, app.clone(), entry));
    }
}

/// A connection that was let in; it is counted until this is dropped.
struct Entry {
    hub: Arc<Hub>,
    address: IpAddr,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.hub.leave(self.address);
    }
}

async fn converse(stream: TcpStream, app: Router, entry: Entry) {
    let app = TowerToHyperService::new(app);
    let entry = &entry;
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = entry.hub.admit(entry.address).then(|| app.call(request));
        async { Ok::<_, Infallible>(answered(answer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    // How it ended matters to nobody but the other end, which knows.
    let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
}

/// The answer, if the request was let in and one comes in time.
async fn answered<E>(
    answer: Option<impl Future<Output = Result<Response<Body>, E>>>,
) -> Response<Body> {
    let Some(answer) = answer else {
        let mut refused = refusal(StatusCode::TOO_MANY_REQUESTS, "too many requests a second");
        refused.headers_mut().insert("retry-after", const { header_value("1") });
        return refused;
    };
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "there is no answer"),
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "the answer took too long"),
    }
}

const fn header_value(text: &'static str) -> axum::http::HeaderValue {
    axum::http::HeaderValue::from_static(text)
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For the head of a request, and for the pause between two.
const HEAD_MAX: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longer than any change is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Whoever takes our answers too slowly does not keep a connection for ever.
const CONNECTION_MAX: Duration = Duration::from_secs(600);
