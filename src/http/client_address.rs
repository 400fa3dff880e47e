//! Where a request comes from: the peer of its connection, or what trusted proxies say in `Forwarded` (RFC 7239) or
//! `X-Forwarded-For`.
//!
//! Each proxy appends the address that it sees at the right end. So the client is the rightmost address that is no trusted
//! proxy: nobody whom we trust vouches for what stands to the left of it, and that is never looked at. What can't be read
//! counts as the peer's own address.
//!
//! Most proxies write one of the two headers and hand the other through as the client sent it. Where both are there they
//! must agree; else it is the peer. So nobody chooses an address by sending the one that the proxy does not write.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::Shared;
use crate::config::Network;
use std::sync::Arc;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection that a request came by; [`super::serve`] notes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub SocketAddr);

/// The client's address, as the proxies before the relay say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub IpAddr);

impl FromRequestParts<Arc<Shared>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>();
        // Without a connection (a router that is called as a service) all are one client.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip());
        Ok(Self(
            shared.settings.limits.trusted().client(peer, &parts.headers),
        ))
    }
}

/// The proxies whose word counts.
#[derive(Clone, Debug)]
pub struct TrustedProxies(Vec<Network>);

/// A header that can't be read, or that names no address where one is looked for.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

impl TrustedProxies {
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether `address` is a trusted proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The address of the client whose request came from `peer` with `headers`. An IPv4 address that is written as an IPv6
    /// one is the IPv4 address.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let standard = self.rightmost(headers, &FORWARDED, forwarded);
        let usual = self.rightmost(headers, &X_FORWARDED_FOR, x_forwarded_for);
        match (standard, usual) {
            (Ok(Some(one)), Ok(Some(other))) if one == other => one,
            (Ok(Some(address)), Ok(None)) | (Ok(None), Ok(Some(address))) => address,
            _ => peer,
        }
    }

    /// The rightmost address of a header that is no trusted proxy, else its leftmost one; `None` without the header. `read`
    /// takes one line apart, left to right. Lines to the left of what is sought are not read.
    fn rightmost(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        read: fn(&str) -> Result<Vec<Hop>, Unreadable>,
    ) -> Result<Option<IpAddr>, Unreadable> {
        let mut leftmost = None;
        for line in headers.get_all(name).iter().rev() {
            let line = HeaderValue::to_str(line).map_err(|_| Unreadable)?;
            for hop in read(line)?.into_iter().rev() {
                let address = hop?;
                leftmost = Some(address);
                if !self.contains(address) {
                    return Ok(leftmost);
                }
            }
        }
        Ok(leftmost)
    }
}

/// One step of the way, as the proxy that took it saw it. Unreadable ones to the left of the client do no harm.
type Hop = Result<IpAddr, Unreadable>;

/// `X-Forwarded-For: 192.0.2.1, 2001:db8::1`. Empty elements of a list are none (RFC 9110, 5.6.1.2).
fn x_forwarded_for(line: &str) -> Result<Vec<Hop>, Unreadable> {
    let elements = line.split(',').map(trim).filter(|element| !element.is_empty());
    Ok(elements.map(node).collect())
}

/// `Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:4711"`. An element that is no element spoils its line, since
/// its quotes may reach over what follows; one that says nothing of `for`, or twice, is an unreadable hop.
fn forwarded(line: &str) -> Result<Vec<Hop>, Unreadable> {
    let mut hops = Vec::new();
    let mut found: Option<Hop> = None;
    let mut any = false;
    let mut rest = line;
    loop {
        let pair = trim_start(rest);
        let end = pair.find([';', ',', '=']).unwrap_or(pair.len());
        let name = trim(&pair[..end]);
        rest = &pair[end..];
        if let Some(value) = rest.strip_prefix('=') {
            let (value, after) = value_of(value)?;
            rest = trim_start(after);
            any = true;
            if name.eq_ignore_ascii_case("for") {
                found = Some(match found {
                    None => node(&value),
                    Some(_) => Err(Unreadable),
                });
            }
        } else if !name.is_empty() {
            return Err(Unreadable);
        }
        let is_last = rest.is_empty();
        if (is_last || rest.starts_with(',')) && std::mem::take(&mut any) {
            hops.push(found.take().unwrap_or(Err(Unreadable)));
        }
        if is_last {
            return Ok(hops);
        }
        rest = rest.strip_prefix([';', ',']).ok_or(Unreadable)?;
    }
}

/// A token or a quoted string (RFC 9110, 5.6.4) at the beginning of `text`, and what follows it. Tokens may have the colons
/// and brackets that they should not: many proxies forget the quotes.
fn value_of(text: &str) -> Result<(String, &str), Unreadable> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t', '"']).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next().ok_or(Unreadable)?.1),
            other => value.push(other),
        }
    }
    Err(Unreadable)
}

/// A node (RFC 7239, 6) that is an address, with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`, and, as proxies
/// write in `X-Forwarded-For`, `2001:db8::1`. `unknown` and `_hidden` are none.
fn node(text: &str) -> Hop {
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(Unreadable)?;
        check_port(port)?;
        address.parse::<Ipv6Addr>().map(IpAddr::from)
    } else if text.bytes().filter(|&byte| byte == b':').count() == 1 {
        let (address, _) = text.split_once(':').ok_or(Unreadable)?;
        check_port(&text[address.len()..])?;
        address.parse::<Ipv4Addr>().map(IpAddr::from)
    } else {
        text.parse()
    };
    address
        .map(|address| address.to_canonical())
        .map_err(|_| Unreadable)
}

/// Nothing, or a colon and a port: digits, or an obfuscated one (`_x`).
fn check_port(text: &str) -> Result<(), Unreadable> {
    let is_port = |port: &str| {
        let obfuscated = port.strip_prefix('_').filter(|rest| !rest.is_empty());
        match obfuscated {
            Some(rest) => rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
            None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
        }
    };
    match text.strip_prefix(':') {
        None if text.is_empty() => Ok(()),
        Some(port) if is_port(port) => Ok(()),
        _ => Err(Unreadable),
    }
}

/// Without the optional white space of HTTP around it (RFC 9110, 5.6.3).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests;
