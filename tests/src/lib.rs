//! What whole-program tests share: parts of the machine, skips that show, guarded processes.

pub mod archived;
pub mod books;
pub mod chaos;
mod cluster;
pub mod fuzz;
mod machine;
pub mod random;
mod running;
pub mod shards;
mod skips;
pub mod slope;
mod stored;
pub mod tape;
mod timescale;
pub mod truth;
pub mod twins;
mod voice;

pub use cluster::Cluster;
pub use machine::{Python, binary, free_port, python, root, shared};
pub use running::Running;
pub use skips::{heavy, skip};
pub use stored::{Rows, stored};
pub use voice::say;
