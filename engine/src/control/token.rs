//! Who may change something: whoever knows the token.

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

/// Lets changes through, or not.
#[derive(Clone)]
pub struct Guard {
    token: Option<String>,
    open: bool,
}

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no token that could be shown.
    Closed,
    /// None was shown.
    Missing,
    /// Another one was shown.
    Wrong,
    /// It comes from a web page, and no token protects us from those.
    Page,
}

impl Guard {
    /// Lets through who shows `token`; with `open` everybody but web pages.
    #[must_use]
    pub fn new(token: Option<String>, open: bool) -> Self {
        Self { token, open }
    }

    /// Whether the request with these headers may change something.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        if self.open {
            // A browser names the page that makes it send a POST.
            return match headers.contains_key(header::ORIGIN) {
                true => Err(Denied::Page),
                false => Ok(()),
            };
        }
        let Some(token) = &self.token else { return Err(Denied::Closed) };
        let shown = headers.get(header::AUTHORIZATION).ok_or(Denied::Missing)?;
        let shown = shown.as_bytes();
        let (scheme, shown) = shown.split_at_checked(SCHEME.len()).ok_or(Denied::Wrong)?;
        let same: bool = shown.ct_eq(token.as_bytes()).into();
        match scheme.eq_ignore_ascii_case(SCHEME) && same {
            true => Ok(()),
            false => Err(Denied::Wrong),
        }
    }
}

/// The token is in no log.
impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Guard").field("token", &token).field("open", &self.open).finish()
    }
}

impl Denied {
    /// Why, and what to do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Closed => "changes are refused: no token is set (TAPEDECK_CONTROL_TOKEN)",
            Self::Missing => "a change needs the header Authorization: Bearer TOKEN",
            Self::Wrong => "the token is not the right one",
            Self::Page => "a web page may not change anything: set a token and show it",
        }
    }
}

const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_opens() {
        let check = |guard: &Guard, shown: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(shown) = shown {
                headers.insert(header::AUTHORIZATION, shown.parse().unwrap());
            }
            guard.check(&headers)
        };
        let guard = Guard::new(Some("0123456789abcdef".into()), false);
        assert_eq!(check(&guard, None), Err(Denied::Missing));
        assert_eq!(check(&guard, Some("Bearer 0123456789abcdef")), Ok(()));
        assert_eq!(check(&guard, Some("bearer 0123456789abcdef")), Ok(()));
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Basic  0123456789abcdef"]
        {
            assert_eq!(check(&guard, Some(wrong)), Err(Denied::Wrong), "{wrong:?}");
        }
        assert!(!format!("{guard:?}").contains("0123"));
        let closed = Guard::new(None, false);
        assert_eq!(check(&closed, Some("Bearer ")), Err(Denied::Closed));
        assert_eq!(check(&Guard::new(None, true), None), Ok(()));
    }

    #[test]
    fn a_web_page_changes_nothing_without_a_token() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, "http://127.0.0.1:8100".parse().unwrap());
        assert_eq!(Guard::new(None, true).check(&headers), Err(Denied::Page));
    }
}
