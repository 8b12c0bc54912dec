//! Which hosts and addresses nobody reaches from here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::web::WebTarget;

/// Whether roles may reach this machine: for development and tests alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    Refused,
    Allowed,
}

/// Why a host or an address is not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not reached from here: it {why}")]
pub struct Refusal {
    pub what: String,
    pub why: &'static str,
}

/// Judges names and addresses. Pure.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    loopback: Loopback,
}

const LOOPBACK: &str = "is this machine";
const PRIVATE: &str = "is in a private network";
const LINK_LOCAL: &str = "is link-local, where clouds keep the metadata of their machines";
const METADATA: &str = "is where a cloud keeps the metadata of its machines";
const DOCUMENTATION: &str = "is for documentation only";
const BENCHMARK: &str = "is for benchmarks only";
const MULTICAST: &str = "is a multicast or broadcast address";
const RESERVED: &str = "is reserved";
const EMBEDDED: &str = "is an IPv6 address that stands for an IPv4 one";

/// IPv4 networks that are no public hosts, by their first bits (IANA's registry of special-purpose addresses).
const V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "is unspecified"),
    ([10, 0, 0, 0], 8, PRIVATE),
    ([100, 64, 0, 0], 10, "is behind a provider's address translation"),
    ([127, 0, 0, 0], 8, LOOPBACK),
    ([168, 63, 129, 16], 32, METADATA),
    ([169, 254, 0, 0], 16, LINK_LOCAL),
    ([172, 16, 0, 0], 12, PRIVATE),
    ([192, 0, 0, 0], 24, RESERVED),
    ([192, 0, 2, 0], 24, DOCUMENTATION),
    ([192, 88, 99, 0], 24, RESERVED),
    ([192, 168, 0, 0], 16, PRIVATE),
    ([198, 18, 0, 0], 15, BENCHMARK),
    ([198, 51, 100, 0], 24, DOCUMENTATION),
    ([203, 0, 113, 0], 24, DOCUMENTATION),
    ([224, 0, 0, 0], 4, MULTICAST),
    ([255, 255, 255, 255], 32, MULTICAST),
    ([240, 0, 0, 0], 4, RESERVED),
];

/// The same for IPv6; what is outside of 2000::/3 is refused in any case.
const V6: &[([u16; 8], u32, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "is unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, EMBEDDED),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, EMBEDDED),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, EMBEDDED),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, EMBEDDED),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, EMBEDDED),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "is a black hole"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, EMBEDDED),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, BENCHMARK),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, RESERVED),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, EMBEDDED),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, PRIVATE),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, PRIVATE),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
];

/// Names that mean something else here than on the internet: this machine, the platform's private network, the office's.
const NAMES: &[(&str, &str)] = &[
    ("localhost", LOOPBACK),
    ("localdomain", LOOPBACK),
    ("internal", "is a name of a private network"),
    ("local", "is a name of a private network"),
    ("home.arpa", "is a name of a private network"),
    ("lan", "is a name of a private network"),
    ("intranet", "is a name of a private network"),
];

impl Guard {
    pub fn new(loopback: Loopback) -> Self {
        Self { loopback }
    }

    /// Before anything is looked up. A client never asks its resolver for an address, so that this is its only judge.
    pub fn judge(&self, target: &WebTarget) -> Result<(), Refusal> {
        match target.ip() {
            Some(address) => self.judge_address(address),
            None => self.judge_name(target.host()),
        }
    }

    pub fn judge_name(&self, name: &str) -> Result<(), Refusal> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let below = |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
        match NAMES.iter().find(|(zone, _)| below(zone)) {
            Some(("localhost", _)) if self.loopback == Loopback::Allowed => Ok(()),
            Some((_, why)) => refuse(name, why),
            None if !name.contains('.') => refuse(name, "is a name without a domain, which only a private network has"),
            None => Ok(()),
        }
    }

    /// An address to connect to, written in a URL or found by a look-up.
    pub fn judge_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let why = match address {
            IpAddr::V4(v4) => why_not_v4(v4),
            IpAddr::V6(v6) => why_not_v6(v6),
        };
        match why {
            None => Ok(()),
            Some(_) if address.is_loopback() && self.loopback == Loopback::Allowed => Ok(()),
            Some(why) => refuse(address, why),
        }
    }
}

fn refuse(what: impl fmt::Display, why: &'static str) -> Result<(), Refusal> {
    Err(Refusal { what: what.to_string(), why })
}

fn why_not_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |net: [u8; 4], bits: u32| (address.to_bits() ^ u32::from_be_bytes(net)).leading_zeros() >= bits;
    V4.iter().find(|(net, bits, _)| within(*net, *bits)).map(|(_, _, why)| *why)
}

fn why_not_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |net: [u16; 8], bits: u32| (address.to_bits() ^ Ipv6Addr::from(net).to_bits()).leading_zeros() >= bits;
    let listed = V6.iter().find(|(net, bits, _)| within(*net, *bits)).map(|(_, _, why)| *why);
    listed.or_else(|| (!within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3)).then_some("is no public address"))
}
