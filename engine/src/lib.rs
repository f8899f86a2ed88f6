//! The recorder: exchange bytes become batches.

pub mod deribit;
