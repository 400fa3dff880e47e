//! The kinds of values that options take: each parser's error completes "invalid value 'x' for '--flag': …".

use std::net::IpAddr;
use std::time::Duration;

use super::limits::Network;

/// A duration with its unit: `15s`, `2ms`, `1m 30s`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = "a duration is a number of seconds, or one with a unit, like 15s, 200ms or 1m";
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => humantime::parse_duration(text).map_err(|_| wrong.to_owned()),
    }
}

/// A duration longer than nothing.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than 0".to_owned()),
        longer => Ok(longer),
    }
}

/// A number of bytes, one or more: `65536`, `64KiB`, `1MiB`, `2GiB`, also `64KB` (thousands).
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || "a size is a number of bytes, or one with a unit, like 64KiB or 1MiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1_000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: usize = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(unit) {
        Some(0) => Err("it must be more than 0".to_owned()),
        Some(size) => Ok(size),
        None => Err("it is too large".to_owned()),
    }
}

/// An origin as browsers send it: scheme, host, port if it is not the scheme's own. Exact: no `*`, no path.
pub fn origin(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("origins are exact: name each one, '*' is none".to_owned());
    }
    let wrong =
        || "an origin is like https://app.example.org, without a path or a slash at its end".to_owned();
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let browsers = url.origin().ascii_serialization();
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    if browsers != text {
        return Err(format!(
            "browsers would send {browsers}, and origins are compared exactly"
        ));
    }
    Ok(browsers)
}

/// The path that all of the relay's paths stand under, normalised: empty, or with a slash before and none behind.
pub fn base_path(text: &str) -> Result<String, String> {
    let trimmed = text.trim_matches('/');
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@/".contains(c);
    if !trimmed.chars().all(legal)
        || trimmed.split('/').any(|part| part == ".." || part == ".")
        || trimmed.contains("//")
    {
        return Err("a path is like /live, of letters, digits and -._~".to_owned());
    }
    Ok(if trimmed.is_empty() {
        String::new()
    } else {
        format!("/{trimmed}")
    })
}

/// A cookie's name: a token of HTTP (RFC 6265, 4.1.1).
pub fn cookie_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !text.is_empty() && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    Err("a cookie's name has letters, digits and !#$%&'*+-.^_`|~".to_owned())
}

/// Bytes that may wait in a connection: a frame of HTTP/2 at least.
pub fn waiting_bytes(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        few if few < 16 << 10 => Err("it must be 16KiB or more".to_owned()),
        many if many > 1 << 30 => Err("it must be 1GiB or less".to_owned()),
        size => Ok(size),
    }
}

/// Bytes of a request's head. hyper needs 8 KiB of buffer at least.
pub fn head_bytes(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        few if few < 8 << 10 => Err("it must be 8KiB or more".to_owned()),
        many if many > 1 << 20 => Err("it must be 1MiB or less".to_owned()),
        size => Ok(size),
    }
}

/// An address, or a network as `10.0.0.0/8`.
pub fn network(text: &str) -> Result<Network, String> {
    let wrong = || "a network is an address, with or without /BITS, as 10.0.0.0/8 or ::1".to_owned();
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits.unwrap_or(most) {
        bits if bits <= most => Ok(Network { address, bits }),
        _ => Err(wrong()),
    }
}

/// A source's name.
pub fn source_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if (1..=40).contains(&text.len()) && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    Err("the name of a source has 1 to 40 characters from a-z, 0-9, _ and -".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("1", 1),
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("2 gib", 2_147_483_648),
            ("3kb", 3_000),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "MiB",
            "0",
            "1.5MiB",
            "-1",
            "1 elephant",
            "99999999999999999999",
            "99999999999999GiB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        assert_eq!(duration("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("15"), Ok(Duration::from_secs(15)));
        assert!(duration("soon").is_err() && duration("-1").is_err());
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn origins_are_exact() {
        assert_eq!(
            origin("https://app.example.org"),
            Ok("https://app.example.org".to_owned())
        );
        assert!(origin("http://localhost:5173").is_ok());
        for text in [
            "*",
            "https://*.example.org",
            "https://a.org/",
            "https://a.org/x",
            "https://a.org:443",
            "a.org",
            "null",
            "HTTPS://a.org",
            "ftp://a.org",
            "",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base_paths_are_normalised() {
        for (text, path) in [
            ("", ""),
            ("/", ""),
            ("live", "/live"),
            ("/live/", "/live"),
            ("/a/b", "/a/b"),
        ] {
            assert_eq!(base_path(text), Ok(path.to_owned()), "{text}");
        }
        for text in ["/a b", "/a?b", "/a#b", "/../a", "/{room}", "/a//b"] {
            assert!(base_path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_sources_are_plain() {
        assert!(source_name("my_table-2").is_ok());
        for text in ["", "Messages", "a b", "a:b", &"x".repeat(41)] {
            assert!(source_name(text).is_err(), "{text}");
        }
    }
}
