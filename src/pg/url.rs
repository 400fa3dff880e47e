//! The parameters of TLS in a database URL, in either of libpq's forms: `postgresql://…?sslmode=…` and `sslmode=… host=…`.
//!
//! tokio-postgres refuses most of them, so they are taken out before it parses the rest. Whatever is malformed stays in:
//! tokio-postgres says what is wrong with it.

use std::ops::Range;

use percent_encoding::percent_decode_str;

/// What the URL says of TLS, word for word; the last of each name counts, as in libpq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsParameters {
    pub(super) sslmode: Option<String>,
    pub(super) sslnegotiation: Option<String>,
    pub(super) sslrootcert: Option<String>,
    pub(super) sslcert: Option<String>,
    pub(super) sslkey: Option<String>,
}

impl TlsParameters {
    fn of(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "sslmode" => Some(&mut self.sslmode),
            "sslnegotiation" => Some(&mut self.sslnegotiation),
            "sslrootcert" => Some(&mut self.sslrootcert),
            "sslcert" => Some(&mut self.sslcert),
            "sslkey" => Some(&mut self.sslkey),
            _ => None,
        }
    }
}

/// The URL without its parameters of TLS, and those.
pub(super) fn without_tls(url: &str) -> (String, TlsParameters) {
    if ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        of_url(url)
    } else {
        of_pairs(url)
    }
}

fn of_url(url: &str) -> (String, TlsParameters) {
    let mut found = TlsParameters::default();
    // As tokio-postgres reads it: the first @ ends the credentials, which may have a question mark in them.
    let host = url.find('@').map_or(0, |at| at + 1);
    let Some(query) = url[host..].find('?').map(|at| host + at + 1) else {
        return (url.to_owned(), found);
    };
    let mut kept = Vec::new();
    for pair in url[query..].split('&') {
        let decoded = pair.split_once('=').and_then(|(name, value)| {
            let name = percent_decode_str(name).decode_utf8().ok()?;
            Some((name, percent_decode_str(value).decode_utf8().ok()?))
        });
        match decoded.and_then(|(name, value)| Some((found.of(&name)?, value))) {
            Some((parameter, value)) => *parameter = given(&value),
            None => kept.push(pair),
        }
    }
    let rest = kept.join("&");
    let end = if rest.is_empty() { query - 1 } else { query };
    (format!("{}{rest}", &url[..end]), found)
}

fn of_pairs(text: &str) -> (String, TlsParameters) {
    let mut found = TlsParameters::default();
    let mut rest = String::new();
    let mut at = 0;
    while let Some((range, name, value)) = next_pair(text, at) {
        at = range.end;
        match found.of(name) {
            Some(parameter) => *parameter = given(&value),
            None => rest.push_str(&text[range]),
        }
    }
    rest.push_str(&text[at..]);
    (rest, found)
}

/// An empty value is the default, as in libpq.
fn given(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// The next `name = value` from `from` on, with the blanks before it; `None` at the end, and where it is malformed.
fn next_pair(text: &str, from: usize) -> Option<(Range<usize>, &str, String)> {
    let skip_blanks = |at: usize| at + text[at..].len() - text[at..].trim_start().len();
    let start = skip_blanks(from);
    let name_ends = start + text[start..].find(|c: char| c == '=' || c.is_whitespace())?;
    let equals = skip_blanks(name_ends);
    if !text[equals..].starts_with('=') {
        return None;
    }
    let mut at = skip_blanks(equals + 1);
    let quoted = text[at..].starts_with('\'');
    at += usize::from(quoted);
    let mut value = String::new();
    let mut letters = text[at..].char_indices();
    while let Some((offset, letter)) = letters.next() {
        match letter {
            '\'' if quoted => return Some((from..at + offset + 1, &text[start..name_ends], value)),
            blank if !quoted && blank.is_whitespace() => {
                return Some((from..at + offset, &text[start..name_ends], value));
            }
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => value.push(letter),
        }
    }
    // A quote that is not closed is malformed.
    (!quoted).then(|| (from..text.len(), &text[start..name_ends], value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sslmode(mode: &str) -> TlsParameters {
        TlsParameters {
            sslmode: Some(mode.to_owned()),
            ..TlsParameters::default()
        }
    }

    #[test]
    fn parameters_of_tls_are_taken_out_of_a_url() {
        let cases = [
            ("postgres://h/d", "postgres://h/d", TlsParameters::default()),
            (
                "postgres://h/d?sslmode=require",
                "postgres://h/d",
                sslmode("require"),
            ),
            (
                "postgres://h/d?a=b&sslmode=verify%2Dfull&c=d",
                "postgres://h/d?a=b&c=d",
                sslmode("verify-full"),
            ),
            (
                "postgres://h/d?sslmode=prefer&sslmode=require",
                "postgres://h/d",
                sslmode("require"),
            ),
            // A password may look like a query; a query of one's own that is malformed stays.
            (
                "postgres://me:a?sslmode=x@h/d",
                "postgres://me:a?sslmode=x@h/d",
                TlsParameters::default(),
            ),
            (
                "postgres://h/d?sslmode",
                "postgres://h/d?sslmode",
                TlsParameters::default(),
            ),
            (
                "postgres://h/d?sslmode=",
                "postgres://h/d",
                TlsParameters::default(),
            ),
        ];
        for (url, rest, parameters) in cases {
            assert_eq!(without_tls(url), (rest.to_owned(), parameters), "{url}");
        }
    }

    #[test]
    fn parameters_of_tls_are_taken_out_of_pairs() {
        let (rest, found) = without_tls(
            r"host=h sslrootcert = '/a dir/it\'s.pem' password='sslmode=no' sslmode=verify-ca sslkey=/k sslcert=/c",
        );
        assert_eq!(rest, "host=h password='sslmode=no'");
        assert_eq!(
            found,
            TlsParameters {
                sslrootcert: Some("/a dir/it's.pem".to_owned()),
                sslcert: Some("/c".to_owned()),
                sslkey: Some("/k".to_owned()),
                ..sslmode("verify-ca")
            }
        );
    }

    #[test]
    fn malformed_pairs_stay_as_they_are() {
        for text in [
            "",
            " ",
            "nonsense",
            "host=h password='open",
            "host=h =x",
            "host=h sslmode",
            "é=ü é",
        ] {
            assert_eq!(
                without_tls(text),
                (text.to_owned(), TlsParameters::default()),
                "{text}"
            );
        }
    }
}
