//! What the benches share: real rows, the machine's clocks, the page of figures.

pub mod cpu;
pub mod page;
pub mod quotes;
pub mod tape;
