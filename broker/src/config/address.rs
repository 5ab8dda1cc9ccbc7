//! `HOST:PORT` as people write it, IPv6 included.

use std::fmt;
use std::net::Ipv6Addr;

use crate::startup::DEFAULT_PORT;

/// A host name or address, and a port where one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: Option<u16>,
}

impl Address {
    pub fn parse(text: &str) -> Result<Address, String> {
        let text = text.trim();
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!("write HOST:PORT without `{scheme}://`"));
        }
        let (host, port) = Address::split(text)?;
        if host.is_empty() {
            return Err(
                "the host is missing; for every address of this machine write 0.0.0.0 or [::]".to_owned(),
            );
        }
        if host == "*" {
            return Err("for every address of this machine write 0.0.0.0 or [::]".to_owned());
        }
        if let Some(bad) = host
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | ':' | '%'))
        {
            return Err(format!("`{bad}` cannot stand in a host name"));
        }
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }

    /// The port, or Kafka's usual one.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    fn split(text: &str) -> Result<(&str, Option<u16>), String> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or("the closing `]` is missing")?;
            if host
                .split('%')
                .next()
                .unwrap_or_default()
                .parse::<Ipv6Addr>()
                .is_err()
            {
                return Err(format!("`{host}` is not an IPv6 address"));
            }
            return match after.strip_prefix(':') {
                Some(port) => Ok((host, Some(parse_port(port)?))),
                None if after.is_empty() => Ok((host, None)),
                None => Err("after `]` a `:PORT` is expected".to_owned()),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok((text, None));
        }
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                Err("write an IPv6 address in brackets: [::1]:9092".to_owned())
            }
            Some((host, port)) => Ok((host, Some(parse_port(port)?))),
            None => Ok((text, None)),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a port (0 to 65535)"))
}

/// With brackets around an IPv6 address, and the port where there is one.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = self.host.contains(':');
        if v6 {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_into_host_and_port() {
        let check = |text: &str, host: &str, port: Option<u16>, shown: &str| {
            let parsed = Address::parse(text).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
            assert_eq!(parsed.to_string(), shown);
        };
        check("127.0.0.1:9092", "127.0.0.1", Some(9092), "127.0.0.1:9092");
        check(" broker ", "broker", None, "broker");
        check("[::1]:9093", "::1", Some(9093), "[::1]:9093");
        check("[::]", "::", None, "[::]");
        check("fe80::1", "fe80::1", None, "[fe80::1]");
        check("[fe80::1%eth0]:1", "fe80::1%eth0", Some(1), "[fe80::1%eth0]:1");
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong() {
        let check = |text: &str, part: &str| {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check(":9092", "0.0.0.0");
        check("*:9092", "0.0.0.0");
        check("host:port", "`port` is not a port");
        check("host:70000", "`70000` is not a port");
        check("fe80::1:x", "brackets");
        check("[::1", "closing");
        check("[host]:1", "not an IPv6");
        check("PLAINTEXT://host:9092", "without `PLAINTEXT://`");
        check("a b:1", "cannot stand");
    }
}
