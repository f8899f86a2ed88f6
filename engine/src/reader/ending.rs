//! How a connection ended: the cause of its gap, and what to do next.

use crate::session::{Cause, CauseKind, Policy, SessionError};
use crate::wire::WireError;

/// How a connection ended, or why it was never made.
#[derive(Clone, Debug)]
pub struct Ending {
    pub(super) cause: Cause,
    pub(super) policy: Policy,
}

impl Ending {
    pub(super) fn new(kind: CauseKind, detail: impl Into<String>) -> Self {
        Self { cause: Cause { kind, detail: detail.into() }, policy: Policy::Retry }
    }

    /// The socket broke, or was never connected.
    #[must_use]
    pub fn broken(error: &dyn std::error::Error) -> Self {
        Self::new(CauseKind::Disconnected, error.to_string())
    }

    pub(super) fn session(error: &SessionError) -> Self {
        Self { cause: error.cause(), policy: error.policy() }
    }

    pub(super) fn wire(error: &WireError) -> Self {
        let cause = Cause { kind: CauseKind::Disconnected, detail: error.to_string() };
        Self { cause, policy: error.policy() }
    }

    /// The socket has ended: what that means at this point of the conversation.
    pub(super) fn end(ended: Result<(), WireError>) -> Self {
        match ended {
            Ok(()) => Self::new(CauseKind::Disconnected, "the exchange hung up"),
            Err(error) => Self::wire(&error),
        }
    }

    pub(super) fn closed(code: Option<u16>, reason: &str) -> Self {
        Self { cause: Cause::closed(code, reason), policy: Policy::Retry }
    }
}
