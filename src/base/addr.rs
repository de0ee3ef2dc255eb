//! Where to listen: `ip:port`, `unix:/path`, `systemd`, `systemd#N`, `systemd:NAME`.
//!
//! Pure.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// An address to listen on, as written in the configuration (spec 2, `address`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddr {
    /// `ip:port`.
    Ip(SocketAddr),
    /// `unix:/path`: a Unix socket at an absolute path.
    Unix(PathBuf),
    /// `systemd#N`: the N-th socket that systemd passed, counted from 1; `systemd` is `systemd#1`.
    SystemdIndex(usize),
    /// `systemd:NAME`: the socket whose `FileDescriptorName=` is NAME.
    SystemdName(String),
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "systemd" {
            return Ok(ListenAddr::SystemdIndex(1));
        }
        if let Some(number) = text.strip_prefix("systemd#") {
            return match number.parse() {
                Ok(0) => Err("sockets passed by systemd are counted from 1: `systemd#1` is the first".into()),
                Ok(index) => Ok(ListenAddr::SystemdIndex(index)),
                Err(_) => Err(format!("`{number}` is not a number; write `systemd#1` for the first socket")),
            };
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            // What systemd accepts as FileDescriptorName=, see systemd.socket(5).
            let printable = name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b':');
            return if name.is_empty() || name.len() > 255 || !printable {
                Err("after `systemd:` comes the FileDescriptorName= of a socket unit".into())
            } else {
                Ok(ListenAddr::SystemdName(name.to_owned()))
            };
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(ListenAddr::Unix(path.into()))
            } else {
                Err("after `unix:` comes an absolute path".into())
            };
        }
        if let Ok(addr) = text.parse() {
            return Ok(ListenAddr::Ip(addr));
        }
        Err(if text.parse::<std::net::IpAddr>().is_ok() {
            format!("the port is missing: write `{text}:9000`")
        } else {
            "expected `ip:port`, `unix:/path`, `systemd`, `systemd#N` or `systemd:NAME`".into()
        })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Ip(addr) => addr.fmt(f),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
            ListenAddr::SystemdIndex(index) => write!(f, "systemd#{index}"),
            ListenAddr::SystemdName(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_back() {
        for text in ["127.0.0.1:9000", "[::1]:9000", "unix:/run/x.sock", "systemd#3", "systemd:web"] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
        assert_eq!("systemd".parse(), Ok(ListenAddr::SystemdIndex(1)));
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        let error = |text: &str| text.parse::<ListenAddr>().unwrap_err();
        assert_eq!(error("10.0.0.1"), "the port is missing: write `10.0.0.1:9000`");
        assert!(error("systemd#0").contains("counted from 1"));
        assert!(error("systemd#x").contains("not a number"));
        assert!(error("systemd:").contains("FileDescriptorName="));
        assert!(error("unix:relative").contains("absolute path"));
        assert!(error("1.2.3.4:70000").contains("ip:port"));
        assert!(error("").contains("ip:port"));
    }
}
