//! Steps of a reconciliation.
