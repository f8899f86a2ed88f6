//! One websocket: moves texts between the socket and the hub until either side ends it.

use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

use crate::house::Shared;
use crate::outgoing::{Form, Outgoing};
use crate::session::Ending;

/// Texts written between two looks at the socket's other side.
const BATCH: usize = 256;

/// How long a close frame may take to go out.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves a websocket until it ends.
pub(crate) async fn serve<S>(
    mut socket: WebSocketStream<S>,
    house: Shared,
    address: IpAddr,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (id, bell) = house.open(address);
    let receive = |text: &str| house.act(|hub, now| hub.receive(id, text, now));
    let leave = || house.act(|hub, _| hub.end(id, Ending::Left));
    let ending = loop {
        if transmit(&mut socket, &house, id, &bell).await.is_err() {
            leave();
        }
        if let Some(ending) = house.act(|hub, _| hub.ending(id)) {
            break ending;
        }
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => receive(text.as_str()),
                Some(Ok(Message::Binary(bytes))) => receive(&String::from_utf8_lossy(&bytes)),
                // The pong is written by the library at the next flush.
                Some(Ok(Message::Ping(_))) => {
                    if socket.flush().await.is_err() {
                        leave();
                    }
                }
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => leave(),
            },
            () = bell.notified() => {}
            () = alarm(&house, id) => house.act(|hub, now| hub.tick(id, now)),
            _ = stop.wait_for(|stopped| *stopped) => {
                house.act(|hub, _| hub.end(id, Ending::Stopping));
            }
        }
    };
    house.close(id);
    let _ = timeout(GOODBYE, say_goodbye(&mut socket, &ending)).await;
}

/// Writes what waits, and says so once the socket took it.
async fn transmit<S>(
    socket: &mut WebSocketStream<S>,
    house: &Shared,
    id: u64,
    bell: &Notify,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let batch = house.act(|hub, _| hub.take(id, BATCH));
        if batch.is_empty() {
            return Ok(());
        }
        let written = write_batch(socket, house, id, bell, &batch).await;
        let whole = matches!(written, Ok(true));
        house.act(|hub, now| hub.sent(id, whole, now));
        if !written? {
            return Ok(());
        }
    }
}

/// False where the connection's end came first. Heartbeats and the bound of the backlog hold while
/// the socket takes nothing.
async fn write_batch<S>(
    socket: &mut WebSocketStream<S>,
    house: &Shared,
    id: u64,
    bell: &Notify,
    batch: &[Outgoing],
) -> Result<bool, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut writing = pin!(async {
        for outgoing in batch {
            match outgoing.form {
                Form::Whole => socket.feed(Message::Text(outgoing.text.clone())).await?,
                Form::Fragments(_) | Form::Dribble { .. } | Form::Bytes(_) => {
                    write_pieces(socket, outgoing).await?;
                }
            }
        }
        socket.flush().await
    });
    loop {
        match house.act(|hub, _| hub.ending(id)) {
            None => {}
            Some(ending) if ending.lets_finish() => {
                return timeout(GOODBYE, writing).await.map_or(Ok(false), |it| it.map(|()| true));
            }
            Some(_) => return Ok(false),
        }
        tokio::select! {
            written = &mut writing => return written.map(|()| true),
            () = bell.notified() => {}
            () = alarm(house, id) => house.act(|hub, now| hub.tick(id, now)),
        }
    }
}

/// Bytes that the library would not write, past it and behind what it holds.
async fn write_pieces<S>(socket: &mut WebSocketStream<S>, outgoing: &Outgoing) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.flush().await?;
    let (pieces, pause) = outgoing.pieces();
    for piece in pieces {
        let stream = socket.get_mut();
        stream.write_all(&piece).await?;
        stream.flush().await?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}

/// Sleeps until the session has something to do.
async fn alarm(house: &Shared, id: u64) {
    match house.act(|hub, _| hub.deadline_of(id)) {
        Some(deadline) => sleep_until(house.clock.at(deadline)).await,
        None => pending().await,
    }
}

async fn say_goodbye<S>(socket: &mut WebSocketStream<S>, ending: &Ending)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some((code, reason)) = ending.farewell() else {
        if *ending == Ending::Left {
            // The library has queued the answer to the client's close frame.
            let _ = socket.flush().await;
        }
        return;
    };
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
    let _ = socket.close(Some(frame)).await;
    // The other side's close frame, or its end, so that the socket is not reset under our last.
    while let Some(Ok(_)) = socket.next().await {}
}

#[cfg(test)]
mod tests;
