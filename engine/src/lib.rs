//! Placeholder.

pub mod tls;
pub mod transport;
pub mod websocket;
