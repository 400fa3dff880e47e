//! The issuer's keys, from its JWKS endpoint (RFC 7517, 5).
//!
//! One future asks ([`Jwks::refresh_forever`]): when the answer grows old, and when a token names a key that is unknown.
//! Those who wait for such a key watch for the next answer, whoever made it necessary; so there is one request at a time,
//! and one in [`LEAST_GAP`] at most, however many ask and however many of them go away again. A bad answer changes
//! nothing: the keys of the last good one stay in use for [`LONGEST_USE`].

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use super::json;
use super::keys::{JwkError, Key, KeyError};
use super::token::TokenError;
use crate::config::JwtAlgorithm;

/// Between the beginnings of two requests, at least.
const LEAST_GAP: Duration = Duration::from_secs(10);
/// A request, with its whole answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// From one good answer to the next request, where the answer's `Cache-Control` does not say.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// The bounds of what it may say.
const SHORTEST_REFRESH: Duration = Duration::from_secs(60);
const LONGEST_REFRESH: Duration = Duration::from_secs(60 * 60);
/// How long keys are used after the answer that brought them: an endpoint that is down over night locks nobody out, and a
/// key that its issuer withdrew does not last for ever.
const LONGEST_USE: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of an answer, and keys in it, that are read. Issuers publish 2 or 3 keys of 400 bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
const MAX_KEYS: usize = 100;

/// Why an answer is not used.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{}", chain(.0))]
    Request(#[from] reqwest::Error),
    /// Redirects too: where keys come from is what the configuration says.
    #[error("it answers {0}")]
    Status(reqwest::StatusCode),
    #[error("its answer is longer than 1 MiB")]
    TooLong,
    #[error("its answer is no JWKS")]
    NoJwks,
    #[error("its answer has no key that can be used")]
    NoKeys,
}

/// The keys of one answer.
pub(super) struct KeySet(Vec<(Option<String>, Key)>);

impl KeySet {
    /// The keys for a token: those of its `kid`, or all for one without.
    pub(super) fn with<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0
            .iter()
            .filter(move |(own, _)| kid.is_none() || own.as_deref() == kid)
            .map(|(_, key)| key)
    }

    fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none() || self.with(kid).next().is_some()
    }
}

/// What is known of the endpoint.
#[derive(Default)]
struct State {
    /// The last good answer's keys, and when they came.
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When the last request began.
    asked_at: Option<Instant>,
    is_asking: bool,
    /// Requests that are over.
    answers: u64,
    /// Whether the last of them brought nothing.
    has_failed: bool,
}

impl State {
    fn keys(&self) -> Option<&Arc<KeySet>> {
        let (keys, came_at) = self.keys.as_ref()?;
        (came_at.elapsed() < LONGEST_USE).then_some(keys)
    }

    /// Whether the last request is too young for another one.
    fn must_wait(&self) -> bool {
        self.asked_at
            .is_some_and(|asked_at| asked_at.elapsed() < LEAST_GAP)
    }
}

/// The keys that an issuer publishes.
pub(super) struct Jwks {
    url: Url,
    http: reqwest::Client,
    accepted: Vec<JwtAlgorithm>,
    state: watch::Sender<State>,
    /// Somebody waits for a key that is not there.
    wanted: Notify,
}

impl Jwks {
    /// Asks nothing yet. RS256, ES256 and EdDSA are accepted unless others are configured.
    ///
    /// # Errors
    /// [`KeyError::Client`]
    pub(super) fn new(url: &Url, configured: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("rowcast/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_TIMEOUT);
        if url.scheme() == "http" {
            // On a loopback address, as in tests: no authorities are needed, and a small image may have none.
            http = http.tls_certs_only([]);
        }
        let accepted = match configured {
            [] => vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
            some => some.to_vec(),
        };
        Ok(Self {
            url: url.clone(),
            http: http.build().map_err(KeyError::Client)?,
            accepted,
            state: watch::Sender::default(),
            wanted: Notify::new(),
        })
    }

    /// Whether a token may use the algorithm, with a key for it.
    pub(super) fn accepts(&self, algorithm: JwtAlgorithm) -> bool {
        self.accepted.contains(&algorithm)
    }

    /// Keys of which one has this `kid`. Asks the endpoint, or waits for who does, when there is none.
    ///
    /// # Errors
    /// `KeyUnknown` when the endpoint does not have it either; `KeysUnavailable` when it could not say.
    pub(super) async fn keys(&self, kid: Option<&str>) -> Result<Arc<KeySet>, TokenError> {
        if let Some(keys) = self.state.borrow().keys()
            && keys.knows(kid)
        {
            return Ok(Arc::clone(keys));
        }
        self.wait_for_answer().await;
        let state = self.state.borrow();
        match state.keys() {
            Some(keys) if keys.knows(kid) => Ok(Arc::clone(keys)),
            Some(_) if !state.has_failed => Err(TokenError::KeyUnknown),
            _ => Err(TokenError::KeysUnavailable),
        }
    }

    /// Until the next answer, where one is under way or may be asked for.
    async fn wait_for_answer(&self) {
        let mut state = self.state.subscribe();
        let answers = {
            let state = state.borrow_and_update();
            if state.must_wait() && !state.is_asking {
                return;
            }
            state.answers
        };
        self.wanted.notify_one();
        // The request has its own time-out; this one is for a process without the future that asks.
        let answer = state.wait_for(|state| state.answers > answers);
        let _ = timeout(REQUEST_TIMEOUT + Duration::from_secs(1), answer).await;
    }

    /// Asks at once, then as the answers say; sooner when a key is wanted.
    pub(super) async fn refresh_forever(&self) {
        let mut failures = 0;
        loop {
            let pause = match self.refresh().await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    let host = self.url.host_str().unwrap_or_default();
                    tracing::warn!(host, %error, "no keys from --jwks-url (ROWCAST_JWKS_URL)");
                    failures += 1;
                    pause_after(failures)
                }
            };
            let next = sleep_until(Instant::now() + pause);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    // Who came while the last request was under way has its answer.
                    () = self.wanted.notified() => if !self.state.borrow().must_wait() { break },
                }
            }
        }
    }

    /// One request. Returns the pause until the next.
    async fn refresh(&self) -> Result<Duration, FetchError> {
        self.state.send_modify(|state| {
            state.asked_at = Some(Instant::now());
            state.is_asking = true;
        });
        let answer = self.fetch().await;
        self.state.send_modify(|state| {
            state.is_asking = false;
            state.answers += 1;
            state.has_failed = answer.is_err();
            if let Ok((keys, _)) = &answer {
                state.keys = Some((Arc::clone(keys), Instant::now()));
            }
        });
        answer.map(|(_, pause)| pause)
    }

    async fn fetch(&self) -> Result<(Arc<KeySet>, Duration), FetchError> {
        let request = self.http.get(self.url.clone());
        let mut response = request
            .header("accept", "application/jwk-set+json, application/json")
            .send()
            .await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let pause = pause_after_answer(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((Arc::new(self.read(&body)?), pause))
    }

    /// The usable keys of an answer; the others are named in the log by their place.
    fn read(&self, body: &[u8]) -> Result<KeySet, FetchError> {
        #[derive(Deserialize)]
        struct Answer {
            keys: Vec<Box<RawValue>>,
        }
        let answer: Answer = serde_json::from_slice(body).map_err(|_| FetchError::NoJwks)?;
        let mut set = Vec::new();
        for (place, jwk) in answer.keys.iter().take(MAX_KEYS).enumerate() {
            let key = json::object(jwk.get().as_bytes())
                .ok_or(JwkError::Malformed)
                .and_then(|jwk| {
                    let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
                    Ok((kid, Key::from_jwk(&jwk, &self.accepted)?))
                });
            match key {
                Ok(key) => set.push(key),
                Err(reason) => tracing::warn!(place, %reason, "a key of the JWKS is left out"),
            }
        }
        if answer.keys.len() > MAX_KEYS {
            tracing::warn!(
                keys = answer.keys.len(),
                "only the first 100 keys of the JWKS are used"
            );
        }
        match set.is_empty() {
            true => Err(FetchError::NoKeys),
            false => Ok(KeySet(set)),
        }
    }
}

/// Until the endpoint is asked again after it failed so many times in a row: 10 s, doubled each time up to [`REFRESH`], and
/// up to a tenth more.
fn pause_after(failures: u32) -> Duration {
    let pause = LEAST_GAP * 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    pause.min(REFRESH).mul_f64(1.0 + rand::random::<f64>() / 10.0)
}

/// `max-age` of the answer within its bounds (RFC 9111, 5.2.2.1), or [`REFRESH`]; up to a tenth less, so that relays that
/// were started together do not ask together.
fn pause_after_answer(headers: &reqwest::header::HeaderMap) -> Duration {
    let max_age = headers
        .get_all(reqwest::header::CACHE_CONTROL)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|directive| directive.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map_or(REFRESH, Duration::from_secs);
    max_age
        .clamp(SHORTEST_REFRESH, LONGEST_REFRESH)
        .mul_f64(1.0 - rand::random::<f64>() / 10.0)
        .max(SHORTEST_REFRESH)
}

/// What an error and its causes say, without the URL: it may contain a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::from(match error {
        error if error.is_timeout() => "no answer within 5 s",
        error if error.is_connect() => "can't connect",
        _ => "the request failed",
    });
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

    #[test]
    fn the_pause_after_an_answer_is_its_max_age_within_bounds() {
        for (lines, most) in [
            (&[][..], 600),
            (&["no-cache"], 600),
            (&["max-age"], 600),
            (&["max-age=-1"], 600),
            (&["max-age=x"], 600),
            (&["max-age=99999999999999999999"], 600),
            (&["max-age=0"], 60),
            (&["max-age=59"], 60),
            (&["max-age=900"], 900),
            (&["public, Max-Age=900, must-revalidate"], 900),
            (&["public", "max-age=\"900\""], 900),
            (&["s-maxage=120, max-age=900"], 900),
            (&["max-age=18446744073709551615"], 3600),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            let least = Duration::from_secs(most).mul_f64(0.9).max(SHORTEST_REFRESH);
            let most = Duration::from_secs(most);
            for _ in 0..100 {
                let pause = pause_after_answer(&headers);
                assert!((least..=most).contains(&pause), "{lines:?}: {pause:?}");
            }
        }
    }

    #[test]
    fn the_pause_after_failures_grows_from_10_s_to_10_minutes() {
        for (failures, least) in [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (u32::MAX, 600)] {
            let least = Duration::from_secs(least);
            for _ in 0..100 {
                let pause = pause_after(failures);
                assert!(
                    (least..=least.mul_f64(1.1)).contains(&pause),
                    "{failures}: {pause:?}"
                );
            }
        }
    }
}
