//! Judgements of invented evidence.
