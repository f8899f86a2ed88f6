//! Whole-program tests, all in one binary.

mod captures;
