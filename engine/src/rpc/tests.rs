//! Conversations, message by message.
