//! Placeholder.

pub mod websocket;
