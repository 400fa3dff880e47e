//! Who may subscribe: the options of tokens, tickets and authorisation in SQL, validated together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use url::Url;

use super::{ConfigError, Secret, values};

/// What `--auth` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthArg {
    /// Everybody who can reach the address
    None,
    /// Bearers of a signed token
    Jwt,
}

#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    /// Who may subscribe; must be given unless every address of --listen is a loopback one [default there: none]
    #[arg(long, env = "ROWCAST_AUTH", value_enum, help_heading = "Access")]
    pub auth: Option<AuthArg>,

    /// The secret that tokens are signed with (HS256), of 32 bytes or more
    #[arg(
        long,
        env = "ROWCAST_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        help_heading = "Access"
    )]
    pub jwt_secret: Option<Secret>,

    /// A file with the public key that tokens are signed for (PEM): RSA, P-256, P-384 or Ed25519
    #[arg(
        long,
        env = "ROWCAST_JWT_PUBLIC_KEY",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub jwt_public_key: Option<PathBuf>,

    /// Where the issuer publishes its keys (JWKS); https, or http on a loopback address
    #[arg(
        long,
        env = "ROWCAST_JWKS_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Access"
    )]
    pub jwks_url: Option<Url>,

    /// The algorithms that are accepted, with commas between
    /// [default: HS256 for a secret, the key's own for a public key, RS256, ES256 and EdDSA for a JWKS]
    #[arg(
        long = "jwt-algorithms",
        env = "ROWCAST_JWT_ALGORITHMS",
        value_name = "NAMES",
        value_delimiter = ',',
        value_enum,
        help_heading = "Access"
    )]
    pub jwt_algorithms: Vec<JwtAlgorithm>,

    /// The issuer that a token must name (`iss`) [default: any]
    #[arg(
        long,
        env = "ROWCAST_JWT_ISSUER",
        value_name = "NAME",
        help_heading = "Access"
    )]
    pub jwt_issuer: Option<String>,

    /// The audience that a token must name (`aud`) [default: a token with an audience is refused]
    #[arg(
        long,
        env = "ROWCAST_JWT_AUDIENCE",
        value_name = "NAME",
        help_heading = "Access"
    )]
    pub jwt_audience: Option<String>,

    /// How far clocks may be apart, for `exp` and `nbf`
    #[arg(long, env = "ROWCAST_JWT_LEEWAY", value_name = "DURATION", default_value = "30s",
          value_parser = values::duration, help_heading = "Access")]
    pub jwt_leeway: Duration,

    /// The claim with the rooms that may be read: exact names and `prefix*`, or {"read":[…],"publish":[…],"sources":[…]}
    #[arg(
        long,
        env = "ROWCAST_JWT_ROOMS_CLAIM",
        value_name = "NAME",
        default_value = "rooms",
        help_heading = "Access"
    )]
    pub jwt_rooms_claim: String,

    /// A cookie that may carry the token, for EventSource [default: none]
    #[arg(long, env = "ROWCAST_AUTH_COOKIE", value_name = "NAME", value_parser = values::cookie_name, help_heading = "Access")]
    pub auth_cookie: Option<String>,

    /// Take tokens from the query (`access_token=…`) as well, where proxies and histories see them
    #[arg(long, env = "ROWCAST_ALLOW_QUERY_TOKEN", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Access")]
    pub allow_query_token: bool,

    /// How long a ticket can be used
    #[arg(long, env = "ROWCAST_TICKET_LIFETIME", value_name = "DURATION", default_value = "30s",
          value_parser = values::positive_duration, help_heading = "Access")]
    pub ticket_lifetime: Duration,

    /// A query that says whether the room $1 may be read by the bearer of the claims $2 (jsonb)
    #[arg(
        long,
        env = "ROWCAST_AUTHORIZE_SQL",
        value_name = "SQL",
        help_heading = "Access"
    )]
    pub authorize_sql: Option<String>,

    /// How often subscribers are authorised again, by the same query
    #[arg(long, env = "ROWCAST_REAUTHORIZE_INTERVAL", value_name = "DURATION", default_value = "60s",
          value_parser = values::positive_duration, help_heading = "Access")]
    pub reauthorize_interval: Duration,
}

/// How a token may be signed (RFC 7518, 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum JwtAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    #[value(name = "EdDSA")]
    EdDsa,
}

impl JwtAlgorithm {
    /// Whether the key that verifies can sign, too.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// Where the keys of tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    Secret(Secret),
    /// A PEM file, read at the start.
    PublicKey(PathBuf),
    Jwks(Url),
}

/// What makes a token good, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    pub keys: KeySource,
    /// Empty: those that go with the keys. Never symmetric and asymmetric ones together.
    pub algorithms: Vec<JwtAlgorithm>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub leeway: Duration,
    pub rooms_claim: String,
    /// The cookie that may carry it.
    pub cookie: Option<String>,
    /// Whether `access_token` of the query may.
    pub query_token: bool,
    pub ticket_lifetime: Duration,
    /// Asks whether room `$1` may be read with the claims `$2`; `None`: the token's own rooms alone decide.
    pub authorize_sql: Option<String>,
    pub reauthorize_interval: Duration,
}

/// Who may subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody who can reach the address.
    None,
    /// Bearers of a token.
    Jwt(Box<JwtConfig>),
}

impl Auth {
    /// Validates the options of access. An address that others reach is never open by default.
    ///
    /// # Errors
    /// What is missing, or does not go together; each names its flag and variable.
    pub fn new(args: AccessArgs, listen: &[SocketAddr]) -> Result<Self, ConfigError> {
        match (
            args.auth,
            listen.iter().find(|address| !address.ip().is_loopback()),
        ) {
            (Some(AuthArg::Jwt), _) => jwt(args).map(|config| Self::Jwt(Box::new(config))),
            (None, Some(open)) => Err(ConfigError::AuthMissing(*open)),
            (Some(AuthArg::None), _) | (None, None) => match needs_jwt(&args) {
                Some(option) => Err(ConfigError::NeedsJwt(option)),
                None => Ok(Self::None),
            },
        }
    }
}

/// An option that says that tokens are meant, where `--auth jwt` is not given: it must not be open then.
fn needs_jwt(args: &AccessArgs) -> Option<&'static str> {
    [
        (args.jwt_secret.is_some(), "--jwt-secret (ROWCAST_JWT_SECRET)"),
        (
            args.jwt_public_key.is_some(),
            "--jwt-public-key (ROWCAST_JWT_PUBLIC_KEY)",
        ),
        (args.jwks_url.is_some(), "--jwks-url (ROWCAST_JWKS_URL)"),
        (
            args.authorize_sql.is_some(),
            "--authorize-sql (ROWCAST_AUTHORIZE_SQL)",
        ),
        (args.auth_cookie.is_some(), "--auth-cookie (ROWCAST_AUTH_COOKIE)"),
    ]
    .into_iter()
    .find_map(|(given, option)| given.then_some(option))
}

fn jwt(args: AccessArgs) -> Result<JwtConfig, ConfigError> {
    let keys = match (args.jwt_secret, args.jwt_public_key, args.jwks_url) {
        (Some(secret), None, None) => KeySource::Secret(secret),
        (None, Some(file), None) => KeySource::PublicKey(file),
        (None, None, Some(url)) => KeySource::Jwks(url),
        _ => return Err(ConfigError::JwtKeys),
    };
    match &keys {
        KeySource::Secret(secret) if secret.expose().len() < SHORTEST_SECRET_BYTES => {
            return Err(ConfigError::ShortSecret);
        }
        KeySource::Jwks(url) if !is_private(url) => {
            return Err(ConfigError::OpenJwks(
                url.host_str().unwrap_or_default().to_owned(),
            ));
        }
        _ => {}
    }
    let symmetric = matches!(keys, KeySource::Secret(_));
    if let Some(wrong) = args
        .jwt_algorithms
        .iter()
        .find(|algorithm| algorithm.is_symmetric() != symmetric)
    {
        return Err(ConfigError::Algorithm(*wrong));
    }
    Ok(JwtConfig {
        keys,
        algorithms: args.jwt_algorithms,
        issuer: args.jwt_issuer,
        audience: args.jwt_audience,
        leeway: args.jwt_leeway,
        rooms_claim: args.jwt_rooms_claim,
        cookie: args.auth_cookie,
        query_token: args.allow_query_token,
        ticket_lifetime: args.ticket_lifetime,
        authorize_sql: args.authorize_sql,
        reauthorize_interval: args.reauthorize_interval,
    })
}

/// A key as long as the hash's output (RFC 7518, 3.2).
const SHORTEST_SECRET_BYTES: usize = 32;

/// Whether nobody in between can put other keys in the place of those that are asked for.
fn is_private(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}
