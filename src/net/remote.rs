//! Where to connect to: `host:port` or `unix:/path`.
//!
//! Pure.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::config::{FromNode, Node, from_text};

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteAddr {
    /// A name or an address (IPv6 without brackets), and a port.
    Host {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl FromStr for RemoteAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(RemoteAddr::Unix(path.into()))
            } else {
                Err("after `unix:` comes an absolute path".into())
            };
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(format!("write the address without `{scheme}://`: `{rest}`"));
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(format!("the port is missing: write `[{text}]:9000`"));
        }
        let missing = || format!("the port is missing: write `{text}:9000`");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("the `]` after the IPv6 address is missing")?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(format!("`{host}` is not an IPv6 address"));
                }
                (host, port.strip_prefix(':').ok_or_else(missing)?)
            }
            None => text
                .rsplit_once(':')
                .ok_or_else(|| if text.is_empty() { EXPECTED.into() } else { missing() })?,
        };
        let strange =
            |letter: char| letter.is_whitespace() || letter.is_control() || "/@?#:".contains(letter);
        if host.is_empty() {
            return Err(format!("the host is missing: write `host:{port}`"));
        }
        if !text.starts_with('[') && host.contains(strange) {
            return Err(format!("`{host}` is not the name of a host"));
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(format!("`{port}` is not a port: a number from 1 to 65535")),
            Ok(port) => Ok(RemoteAddr::Host { host: host.to_owned(), port }),
        }
    }
}

const EXPECTED: &str = "`host:port` or `unix:/path`";

impl FromNode for RemoteAddr {
    const EXPECTED: &'static str = EXPECTED;

    fn from_node(node: &Node) -> Result<Self, String> {
        from_text(node, EXPECTED, RemoteAddr::from_str)
    }
}

impl fmt::Display for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAddr::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            RemoteAddr::Host { host, port } => write!(f, "{host}:{port}"),
            RemoteAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_back() {
        for text in ["logs.example:9000", "127.0.0.1:1", "[::1]:65535", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<RemoteAddr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        let error = |text: &str| text.parse::<RemoteAddr>().unwrap_err();
        assert_eq!(error("10.0.0.1"), "the port is missing: write `10.0.0.1:9000`");
        assert_eq!(error("logs.example"), "the port is missing: write `logs.example:9000`");
        assert_eq!(error("::1"), "the port is missing: write `[::1]:9000`");
        assert_eq!(error("[::1]"), "the port is missing: write `[::1]:9000`");
        assert_eq!(error("tcp://a:1"), "write the address without `tcp://`: `a:1`");
        assert_eq!(error(":9000"), "the host is missing: write `host:9000`");
        assert_eq!(error("a:0"), "`0` is not a port: a number from 1 to 65535");
        assert_eq!(error("a:99999"), "`99999` is not a port: a number from 1 to 65535");
        assert_eq!(error("a b:1"), "`a b` is not the name of a host");
        assert!(error("[x]:1").contains("not an IPv6 address"));
        assert!(error("unix:x").contains("absolute path"));
        assert!(error("").contains("host:port"));
    }
}
