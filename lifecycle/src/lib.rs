//! Who listens to what. Pure: no clock, no I/O.
