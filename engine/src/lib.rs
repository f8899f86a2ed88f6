//! Placeholder.

pub mod tls;
pub mod websocket;
