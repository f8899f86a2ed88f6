//! Where the exchange is: a websocket address, taken apart.

use std::fmt;

/// A websocket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the line is encrypted (`wss`).
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port; 443 or 80 where the address names none.
    pub port: u16,
    /// Path and query; at least `/`.
    pub path: String,
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError(String);

impl Endpoint {
    /// Reads `ws://host[:port][/path]` or `wss://…`.
    ///
    /// # Errors
    /// One sentence that shows the address and what is expected.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let wrong = || {
            EndpointError(format!(
                "{url:?} is not a websocket address: write wss://HOST/PATH or ws://HOST:PORT/PATH"
            ))
        };
        let (tls, rest) = match url.split_once("://") {
            Some(("wss", rest)) => (true, rest),
            Some(("ws", rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, port))) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            Some(None) => return Err(wrong()),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None if tls => 443,
            None => 80,
        };
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '@';
        if host.is_empty() || port == 0 || url.contains(strange) {
            return Err(wrong());
        }
        Ok(Self { tls, host: host.to_owned(), port, path })
    }

    /// Host and port as an HTTP `Host` header spells them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The REST base of the same host (PROTOCOL: endpoints): `https://www.deribit.com/api/v2`.
    #[must_use]
    pub fn rest_base(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}/api/v2", self.authority())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, tls: bool, host: &str, port: u16, path: &str, rest: &str) {
        let endpoint = Endpoint::parse(url).unwrap();
        let expected = Endpoint { tls, host: host.into(), port, path: path.into() };
        assert_eq!(endpoint, expected);
        assert_eq!(endpoint.rest_base(), rest);
        assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), expected);
    }

    #[test]
    fn addresses_are_taken_apart() {
        let deribit = "wss://www.deribit.com/ws/api/v2";
        let rest = "https://www.deribit.com/api/v2";
        check(deribit, true, "www.deribit.com", 443, "/ws/api/v2", rest);
        check("ws://127.0.0.1:8090", false, "127.0.0.1", 8090, "/", "http://127.0.0.1:8090/api/v2");
        check("ws://[::1]:9/x", false, "::1", 9, "/x", "http://[::1]:9/api/v2");
    }

    #[test]
    fn anything_else_is_refused() {
        for url in [
            "",
            "http://x",
            "wss://",
            "ws://:80/",
            "ws://h:p/",
            "ws://h:0/",
            "ws://[::1/x",
            "ws://a b/",
            "ws://user@h/",
            "wss://h\n/",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url:?}");
        }
    }
}
