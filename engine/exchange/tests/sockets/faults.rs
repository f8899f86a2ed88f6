//! Faults that only a socket can show: frames in pieces, bytes that are none, doors that are shut.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tapedeck_exchange::{Config, Exchange, Faults};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::{Error, Message};

use crate::{channel_of, config, connect, hear, market, rest, say};

const BOOK: &str = "book.BTC-PERPETUAL.100ms";

fn start(faults: &str) -> Exchange {
    let faults = Faults::parse(faults).unwrap();
    Exchange::start(Config { faults, ..config(market(4, 2000)) }).unwrap()
}

/// A client of the book that has heard the acknowledgement.
async fn listener(exchange: &Exchange) -> WebSocketStream<TcpStream> {
    let mut client = connect(exchange.address()).await;
    say(&mut client, "public/subscribe", &json!({"channels": [BOOK]})).await;
    assert!(channel_of(&hear(&mut client).await.unwrap()).is_none());
    client
}

#[tokio::test]
async fn frames_in_pieces_are_whole_again() {
    let exchange = start(concat!(
        "[[fault]]\ndo = \"fragment\"\npieces = 5\nprobability = 0.3\n",
        "[[fault]]\ndo = \"dribble\"\nbytes = 100\nevery = 0.001\nprobability = 0.1\n",
    ));
    let mut client = listener(&exchange).await;
    let mut last = None;
    for _ in 0..200 {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        let data = &frame["params"]["data"];
        let before = data["prev_change_id"].as_i64();
        assert!(last.is_none() || before == last, "{frame}");
        last = data["change_id"].as_i64();
    }
}

/// What another's client makes of the first thing that is no notification.
async fn first_of(form: &str) -> Result<Message, Error> {
    let exchange =
        start(&format!("[[fault]]\ndo = \"garbage\"\nform = \"{form}\"\nchannel = \"*\"\n"));
    let mut client = listener(&exchange).await;
    client.next().await.unwrap()
}

#[tokio::test]
async fn garbage_is_met_on_the_wire() {
    for form in ["json", "truncated"] {
        let Ok(Message::Text(text)) = first_of(form).await else { panic!("{form}") };
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{form}: {text}");
    }
    assert!(matches!(first_of("binary").await, Ok(Message::Binary(_))));
    assert!(matches!(first_of("utf8").await, Err(Error::Utf8(_))));
    let broken = first_of("frame").await;
    let refused = matches!(
        broken,
        Err(Error::Protocol(ProtocolError::NonZeroReservedBits | ProtocolError::InvalidOpcode(_))
            | Error::Capacity(CapacityError::MessageTooLong { .. }))
    );
    assert!(refused, "{broken:?}");
}

#[tokio::test]
async fn closes_and_shut_doors_are_met_on_the_wire() {
    let exchange = start(concat!(
        "[[fault]]\ndo = \"close\"\ncode = 4321\nreason = \"enough\"\nconnection = 1\n",
        "[[fault]]\ndo = \"close\"\nconnection = 2\n",
        "[[fault]]\ndo = \"refuse\"\nstatus = 503\ndoor = \"rest\"\ntimes = 1\n",
    ));
    let mut client = connect(exchange.address()).await;
    let Some(Ok(Message::Close(Some(frame)))) = client.next().await else { panic!("no close") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4321, "enough"));
    let end = connect(exchange.address()).await.next().await;
    assert!(matches!(end, Some(Err(_)) | None), "no close frame: {end:?}");
    assert_eq!(rest(exchange.address(), "GET /api/v2/public/get_time").0, 503);
    assert_eq!(rest(exchange.address(), "GET /api/v2/public/get_time").0, 200);

    let shut =
        start("[[fault]]\ndo = \"refuse\"\ntimes = 1\n[[fault]]\ndo = \"refuse\"\nstatus = 429\n");
    let knock = || async {
        let stream = TcpStream::connect(shut.address()).await.unwrap();
        client_async(format!("ws://{}/ws/api/v2", shut.address()), stream).await
    };
    let hung_up = knock().await;
    assert!(matches!(hung_up, Err(Error::Protocol(_) | Error::Io(_))), "{hung_up:?}");
    let Err(Error::Http(answer)) = knock().await else { panic!("let in") };
    assert_eq!(answer.status(), 429);
}
