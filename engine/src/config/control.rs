//! `[control]`: where the recorder answers questions, and takes wishes.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use super::ConfigError;

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Whether it answers at all.
    pub enabled: bool,
    /// On which address: this machine alone, unless it is said otherwise.
    pub listen: IpAddr,
    /// The port of the whole recorder; 0 for any that is free.
    pub port: u16,
    /// The port of the first shard, the next ones follow it; 0 for any that are free.
    pub shard_port: u16,
    /// Whether changes need no token, as in the predecessor.
    pub legacy_open: bool,
    /// Requests a second that one address may make, for long; twice as many in one go.
    pub requests_per_second: u32,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8100,
            shard_port: 8000,
            legacy_open: false,
            requests_per_second: 100,
        }
    }
}

impl Control {
    /// The port of a shard, by its place; `None` when there is no such port.
    #[must_use]
    pub fn port_of(&self, shard: usize) -> Option<u16> {
        match self.shard_port {
            0 => Some(0),
            first => first.checked_add(u16::try_from(shard).ok()?),
        }
    }

    /// Refuses ports that are none, or one port for two purposes.
    pub(super) fn check(&self, shards: usize) -> Result<(), ConfigError> {
        let refuse = |text: &str| Err(ConfigError::Value(text.to_owned()));
        if self.requests_per_second == 0 {
            return refuse("control.requests_per_second is at least 1");
        }
        let mut ports = (0..shards).map(|shard| self.port_of(shard));
        if ports.clone().any(|port| port.is_none()) {
            return refuse("control.shard_port leaves no room for a port a shard below 65536");
        }
        if self.port != 0 && ports.any(|port| port == Some(self.port)) {
            return refuse(
                "control.port is also the port of a shard: set it, or control.shard_port",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_cannot_be_are_refused() {
        let control = |port, shard_port| Control { port, shard_port, ..Control::default() };
        assert!(Control::default().check(32).is_ok());
        assert!(control(0, 0).check(8).is_ok());
        assert!(control(8007, 8000).check(8).is_err());
        assert!(control(8008, 8000).check(8).is_ok());
        assert!(control(1, 65_530).check(8).is_err());
        assert!(Control { requests_per_second: 0, ..Control::default() }.check(1).is_err());
    }
}
