//! The exchange model against the connection.
