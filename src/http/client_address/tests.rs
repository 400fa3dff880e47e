//! Whose word counts, and what it may look like.

use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "203.0.113.7";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn trusted() -> TrustedProxies {
    TrustedProxies::new(vec![
        Network {
            address: address("10.0.0.0"),
            bits: 8,
        },
        Network {
            address: address("fd00::"),
            bits: 8,
        },
    ])
}

fn client(peer: &str, lines: &[(&str, &str)]) -> IpAddr {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    trusted().client(address(peer), &headers)
}

fn for_line(line: &str) -> IpAddr {
    client(PROXY, &[("x-forwarded-for", line)])
}

fn forwarded_line(line: &str) -> IpAddr {
    client(PROXY, &[("forwarded", line)])
}

#[test]
fn a_peer_that_is_no_proxy_speaks_for_itself_alone() {
    let lines = [("x-forwarded-for", CLIENT), ("forwarded", "for=203.0.113.7")];
    assert_eq!(client("198.51.100.1", &lines), address("198.51.100.1"));
    assert_eq!(client("::ffff:198.51.100.1", &lines), address("198.51.100.1"));
    assert_eq!(client(PROXY, &[]), address(PROXY));
    let nobody = TrustedProxies::new(Vec::new());
    let mut headers = HeaderMap::new();
    headers.append(X_FORWARDED_FOR, HeaderValue::from_static(CLIENT));
    assert_eq!(nobody.client(address(PROXY), &headers), address(PROXY));
}

#[test]
fn the_rightmost_address_that_is_no_proxy_is_the_client() {
    for line in [
        CLIENT,
        "192.0.2.66, 203.0.113.7",
        "192.0.2.66,203.0.113.7 ,\t10.9.9.9, 10.0.0.2",
        "garbage, \"x, 203.0.113.7, 10.0.0.2",
        "203.0.113.7:4711",
        "::ffff:203.0.113.7, [fd00::1]:80",
        "203.0.113.7,, ",
    ] {
        assert_eq!(for_line(line), address(CLIENT), "{line}");
    }
    assert_eq!(for_line("192.0.2.1, 2001:db8::1"), address("2001:db8::1"));
    assert_eq!(for_line("[2001:db8::1]:4711"), address("2001:db8::1"));
    assert_eq!(
        for_line("10.0.0.3, 10.0.0.2"),
        address("10.0.0.3"),
        "all are trusted"
    );
}

#[test]
fn the_standard_header_is_read_as_the_standard_says() {
    for line in [
        "for=203.0.113.7",
        "For=\"203.0.113.7:4711\"",
        "for=192.0.2.66, for=203.0.113.7;proto=https;by=10.0.0.1",
        "proto=http; for=203.0.113.7 ; host=\"a,b;c\\\"d\" , for=\"[fd00::1]\"",
        "for=_hidden, for=unknown;by=\"_x\", for=203.0.113.7:_port, for=10.0.0.2",
        "for=\"\\203.0.113.7\"",
        ",, for=203.0.113.7,",
    ] {
        assert_eq!(forwarded_line(line), address(CLIENT), "{line}");
    }
    let six = "for=\"[2001:db8:cafe::17]:4711\"";
    assert_eq!(forwarded_line(six), address("2001:db8:cafe::17"));
}

#[test]
fn what_cannot_be_read_counts_as_the_proxy() {
    for line in [
        "",
        ",",
        "unknown",
        "192.0.2.1, _hidden",
        "203.0.113.7:port",
        "203.0.113.7:",
        "203.0.113.7 x",
        "[2001:db8::1",
        "[203.0.113.7]",
        "2001:db8::1%eth0",
        "1.2.3",
        "0x7f.1.1.1",
        "1.2.3.4.5",
        "\"203.0.113.7\"",
        "203.0.113.7;x",
    ] {
        assert_eq!(for_line(line), address(PROXY), "{line}");
    }
    for line in [
        "",
        "for",
        "for=",
        "for=unknown",
        "for=_hidden",
        "for=192.0.2.1, proto=http",
        "for=203.0.113.7;for=203.0.113.7",
        "for=\"203.0.113.7",
        "for=\"203.0.113.7\\",
        "for=\"203.0.113.7\"x",
        "203.0.113.7",
        "for =\"203.0.113.7",
        "for=203.0.113.7 x",
        "for=\"[2001:db8::1\"",
    ] {
        assert_eq!(forwarded_line(line), address(PROXY), "{line}");
    }
    assert_eq!(
        client(PROXY, &[("x-forwarded-for", "203.0.113.7é")]),
        address(PROXY)
    );
}

#[test]
fn several_lines_are_one_list_whose_last_line_is_the_nearest() {
    let lines = [
        ("x-forwarded-for", "\"garbage"),
        ("x-forwarded-for", "192.0.2.66, 203.0.113.7"),
        ("x-forwarded-for", "10.0.0.2"),
    ];
    assert_eq!(client(PROXY, &lines), address(CLIENT));
    let lines = [
        ("forwarded", "for=\"never closed"),
        ("forwarded", "for=203.0.113.7"),
    ];
    assert_eq!(client(PROXY, &lines), address(CLIENT));
}

#[test]
fn two_headers_must_agree() {
    let agree = [("x-forwarded-for", CLIENT), ("forwarded", "for=203.0.113.7")];
    assert_eq!(client(PROXY, &agree), address(CLIENT));
    for spoof in ["for=192.0.2.66", "for=_x", "garbage", "for=10.0.0.2"] {
        let lines = [("forwarded", spoof), ("x-forwarded-for", CLIENT)];
        assert_eq!(client(PROXY, &lines), address(PROXY), "{spoof}");
    }
    let lines = [
        ("forwarded", "for=203.0.113.7"),
        ("x-forwarded-for", "192.0.2.66"),
    ];
    assert_eq!(client(PROXY, &lines), address(PROXY));
}

/// What clients might send: pieces of both headers, torn.
fn sent() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("for=".to_owned()),
        Just("192.0.2.66".to_owned()),
        Just("[2001:db8::66]".to_owned()),
        Just("10.0.0.9".to_owned()),
        "[\",;=\\\\ :\\[\\]_a-f0-9]",
        "[ -~\u{80}-\u{ff}]",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_a_client_sends_it_counts_as_itself_or_as_the_proxy(
        said in prop::collection::vec((any::<bool>(), sent()), 0..4),
        standard in any::<bool>(),
        same_line in any::<bool>(),
        quoted in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for (standard, line) in &said {
            let name = if *standard { FORWARDED } else { X_FORWARDED_FOR };
            if let Ok(value) = HeaderValue::from_str(line) {
                headers.append(name, value);
            }
        }
        // Then the proxy appends what it sees: to the last line, or as one of its own.
        let (name, seen) = match (standard, quoted) {
            (true, true) => (FORWARDED, "for=\"203.0.113.7:80\";proto=https"),
            (true, false) => (FORWARDED, "for=203.0.113.7"),
            (false, _) => (X_FORWARDED_FOR, CLIENT),
        };
        let before = headers.get_all(&name).iter().next_back().cloned();
        match before.as_ref().and_then(|line| line.to_str().ok()).filter(|_| same_line) {
            Some(before) => {
                let joined = HeaderValue::from_str(&format!("{before}, {seen}")).unwrap();
                headers.insert(name, joined);
            }
            None => {
                headers.append(name, HeaderValue::from_static(seen));
            }
        }
        let counted = trusted().client(address(PROXY), &headers);
        prop_assert!(
            [address(CLIENT), address(PROXY)].contains(&counted),
            "{counted} of {headers:?}"
        );
    }
}
