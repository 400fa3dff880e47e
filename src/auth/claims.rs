//! What a token says of its bearer: the registered claims (RFC 7519, 4.1) held against the configuration, and the rooms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::token::TokenError;
use crate::config::JwtConfig;

/// The last second of the year 9999, in seconds since 1970: beyond it calendars and databases give up, and an `exp`
/// beyond it is one in milliseconds (RFC 7519, 2 wants seconds).
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What a good token says.
#[derive(Clone, Debug)]
pub struct Claims {
    /// `sub`.
    pub subject: Option<String>,
    /// `exp` as it stands, without leeway: it may have passed by less than that.
    pub expires_at: SystemTime,
    /// All claims, as they were signed; `jsonb` can hold them.
    pub json: Box<RawValue>,
    /// The rooms claim; `None` without one.
    pub rooms: Option<RoomsClaim>,
}

/// The rooms of a token. What it does not list it does not permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomsClaim {
    /// The rooms that may be read.
    pub read: Vec<Pattern>,
    /// The rooms that may be published to.
    pub publish: Vec<Pattern>,
    /// The sources that both are about; `None`: all.
    pub sources: Option<Vec<Pattern>>,
}

/// An exact name, or all names with a prefix. Names are compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Exact(String),
    /// Written `prefix*`; `*` alone, the empty prefix, is all names.
    Prefix(String),
}

impl Pattern {
    /// Reads `lobby`, `team-*`, `*`. A room whose name ends with `*` can only be named by a prefix.
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Whether it admits this name.
    pub fn admits(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == exact,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }

    /// Whether it admits every name there can be.
    pub fn admits_all(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix.is_empty())
    }
}

/// What claims are held against.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    rooms_claim: String,
}

impl Rules {
    pub(super) fn new(config: &JwtConfig) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: config.leeway,
            rooms_claim: config.rooms_claim.clone(),
        }
    }

    /// Reads `payload`, whose signature is good, at the time `now`. A claim that is `null` is absent.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(super) fn check(&self, payload: Vec<u8>, now: SystemTime) -> Result<Claims, TokenError> {
        let members = super::json::object(&payload).ok_or(TokenError::Malformed("its payload"))?;
        let expires_at = time(&members, "exp")?.ok_or(TokenError::Malformed("it has no exp"))?;
        // Not `exp + leeway`: no sum of theirs may leave the clock's range.
        if now
            .duration_since(expires_at)
            .is_ok_and(|late| late >= self.leeway)
        {
            return Err(TokenError::Expired);
        }
        if let Some(begins_at) = time(&members, "nbf")?
            && begins_at
                .duration_since(now)
                .is_ok_and(|early| early > self.leeway)
        {
            return Err(TokenError::NotYet);
        }
        if let Some(issuer) = &self.issuer
            && claim(&members, "iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenError::Issuer);
        }
        if !self.admits_audience(claim(&members, "aud")) {
            return Err(TokenError::Audience);
        }
        let subject = claim(&members, "sub")
            .map(|value| value.as_str().ok_or(TokenError::Malformed("its sub")))
            .transpose()?;
        let rooms = claim(&members, &self.rooms_claim)
            .map(|value| rooms(value).ok_or(TokenError::Malformed("its rooms")))
            .transpose()?;
        let text = String::from_utf8(payload).map_err(|_| TokenError::Malformed("its payload"))?;
        Ok(Claims {
            subject: subject.map(str::to_owned),
            expires_at,
            json: RawValue::from_string(text).map_err(|_| TokenError::Malformed("its payload"))?,
            rooms,
        })
    }

    /// A token that names an audience is for nobody else (RFC 7519, 4.1.3): without one of our own it is not for us.
    fn admits_audience(&self, given: Option<&Value>) -> bool {
        match (&self.audience, given) {
            (None, None) => true,
            (None, Some(_)) | (Some(_), None) => false,
            (Some(ours), Some(Value::String(theirs))) => theirs == ours,
            (Some(ours), Some(Value::Array(theirs))) => {
                theirs.iter().all(Value::is_string) && theirs.iter().any(|name| name == ours)
            }
            (Some(_), Some(_)) => false,
        }
    }
}

fn claim<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// A NumericDate (RFC 7519, 2): seconds since 1970, which may have a fraction.
fn time(members: &Map<String, Value>, name: &'static str) -> Result<Option<SystemTime>, TokenError> {
    let Some(value) = claim(members, name) else {
        return Ok(None);
    };
    value
        .as_f64()
        .filter(|seconds| (0.0..=LAST_SECOND).contains(seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|since| UNIX_EPOCH.checked_add(since))
        .map(Some)
        .ok_or(TokenError::Malformed(match name {
            "exp" => "its exp is not a time in seconds",
            _ => "its nbf is not a time in seconds",
        }))
}

/// An array: rooms to read. An object: lists by what they are for; an unknown name there may be a slip of the pen for one
/// that restricts, so it is refused.
fn rooms(value: &Value) -> Option<RoomsClaim> {
    let mut claim = RoomsClaim::default();
    match value {
        Value::Array(_) => claim.read = patterns(value)?,
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "read" => claim.read = patterns(value)?,
                    "publish" => claim.publish = patterns(value)?,
                    "sources" => claim.sources = Some(patterns(value)?),
                    _ => return None,
                }
            }
        }
        _ => return None,
    }
    Some(claim)
}

fn patterns(value: &Value) -> Option<Vec<Pattern>> {
    value
        .as_array()?
        .iter()
        .map(|text| text.as_str().map(Pattern::parse))
        .collect()
}
