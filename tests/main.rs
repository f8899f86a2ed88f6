//! Tests of the whole program and of its rooms against other people's code, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so best by stopping")]

mod random;
mod tls;
mod websocket;
