//! One websocket: moves texts between the socket and the hub until either side ends it.

use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

use crate::hub::Shared;
use crate::outbox::Outbox;
use crate::session::{Ending, Outgoing};

/// Texts written between two looks at the socket's other side.
const BATCH: usize = 256;

/// How long a close frame may take to go out.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves a websocket until it ends.
pub(crate) async fn serve<S>(
    mut socket: WebSocketStream<S>,
    hub: Shared,
    address: IpAddr,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (id, outbox) = hub.borrow_mut().open(address);
    let ending = loop {
        if let Err(ending) = transmit(&mut socket, &hub, id, &outbox).await {
            break ending;
        }
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Err(ending) = hub.borrow_mut().receive(id, text.as_str()) {
                        break ending;
                    }
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let text = String::from_utf8_lossy(&bytes);
                    if let Err(ending) = hub.borrow_mut().receive(id, &text) {
                        break ending;
                    }
                }
                // The pong is written by the library at the next flush.
                Some(Ok(Message::Ping(_))) => {
                    if socket.flush().await.is_err() {
                        break Ending::Left;
                    }
                }
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => break Ending::Left,
            },
            () = outbox.filled() => {}
            () = outbox.overflowed() => break Ending::Slow,
            () = alarm(&hub, id) => {
                if let Err(ending) = hub.borrow_mut().tick(id) {
                    break ending;
                }
            }
            _ = stop.wait_for(|stopped| *stopped) => break Ending::Stopping,
        }
    };
    if matches!(ending, Ending::Stopping | Ending::Spent) {
        let _ = timeout(GOODBYE, transmit(&mut socket, &hub, id, &outbox)).await;
        // Where the time ran out in the middle of a write.
        hub.borrow_mut().sent(id, outbox.settle(), false);
    }
    hub.borrow_mut().close(id);
    let _ = timeout(GOODBYE, say_goodbye(&mut socket, ending)).await;
}

/// Writes what waits, and says so once the socket took it.
async fn transmit<S>(
    socket: &mut WebSocketStream<S>,
    hub: &Shared,
    id: u64,
    outbox: &Rc<Outbox>,
) -> Result<(), Ending>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let batch = outbox.take(BATCH);
        if batch.is_empty() {
            return Ok(());
        }
        let written = write_batch(socket, hub, id, outbox, &batch).await;
        hub.borrow_mut().sent(id, outbox.settle(), written.is_ok());
        written?;
    }
}

/// Heartbeats and the bound of the backlog hold while the socket takes nothing.
async fn write_batch<S>(
    socket: &mut WebSocketStream<S>,
    hub: &Shared,
    id: u64,
    outbox: &Rc<Outbox>,
    batch: &[Outgoing],
) -> Result<(), Ending>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut writing = pin!(async {
        for outgoing in batch {
            socket.feed(Message::Text(outgoing.text.clone())).await?;
        }
        socket.flush().await
    });
    loop {
        tokio::select! {
            written = &mut writing => return written.map_err(|_: Error| Ending::Left),
            () = outbox.overflowed() => return Err(Ending::Slow),
            () = alarm(hub, id) => hub.borrow_mut().tick(id)?,
        }
    }
}

/// Sleeps until the session has something to do.
async fn alarm(hub: &Shared, id: u64) {
    let deadline = hub.borrow().deadline(id);
    match deadline {
        Some(deadline) => sleep_until(Instant::from_std(deadline)).await,
        None => pending().await,
    }
}

async fn say_goodbye<S>(socket: &mut WebSocketStream<S>, ending: Ending)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = |code, reason: &'static str| CloseFrame { code, reason: reason.into() };
    let frame = match ending {
        // Measured: gone without a word.
        Ending::Idle => return,
        Ending::Heartbeat => frame(CloseCode::from(4000), "heartbeat close"),
        // The reason is documented, its code is not.
        Ending::Slow => frame(CloseCode::from(4000), "connection_too_slow"),
        Ending::Spent => frame(CloseCode::from(4000), "too_many_requests"),
        Ending::Stopping => frame(CloseCode::Away, ""),
        // The library has queued the answer to the client's close frame.
        Ending::Left => {
            let _ = socket.flush().await;
            return;
        }
    };
    let _ = socket.close(Some(frame)).await;
    // The other side's close frame, or its end, so that the socket is not reset under our last.
    while let Some(Ok(_)) = socket.next().await {}
}

#[cfg(test)]
mod tests;
