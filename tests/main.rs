//! Every test that needs more than one room, and those that meet other people's code, in one
//! binary so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so best by stopping")]

mod captures;
mod command;
mod licences;
mod random;
mod readers;
mod refusal;
mod tidy;
mod tls;
mod websocket;
