//! `rowcast tail`: rooms of a relay in a terminal, or in a pipe.
//!
//! It stands on the HTTP interface alone, as NDJSON: whoever writes a consumer finds here what one has to do.

mod lines;
mod show;

use std::time::Duration;

use clap::Args;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use self::lines::{Line, Lines};
use self::show::Show;
use crate::config::Secret;
use crate::pg::backoff::Backoff;
use crate::telemetry::escaped;

const NDJSON: &str = "application/x-ndjson";

/// Time to connect and get an answer's head.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Silence after which a stream counts as dead: four of the relay's default heartbeats.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest that a relay's `Retry-After` is obeyed.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What a relay says of a refusal, at most, in bytes.
const LONGEST_PROBLEM: usize = 64 * 1024;

#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    /// The relay, with its base path if it has one: http://127.0.0.1:8080
    #[arg(value_name = "URL", value_parser = relay_url)]
    relay: Url,

    /// The rooms, or * for all where the relay allows it
    #[arg(value_name = "ROOM", required = true)]
    rooms: Vec<String>,

    /// The source [default: the relay's]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Newest events to begin with
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "after")]
    last: u32,

    /// Begin after this cursor, or row's id
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,

    /// End when all that is there was shown, instead of waiting for more
    #[arg(long)]
    no_follow: bool,

    /// Print events as the relay sends them, a JSON object a line
    #[arg(long)]
    json: bool,

    /// A column with the time of the insert (with its zone): latency is shown against this machine's clock
    #[arg(long, value_name = "COLUMN", default_value = "created_at")]
    time: String,

    /// A token, where the relay wants one
    #[arg(long, env = "ROWCAST_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Secret>,
}

fn relay_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => Ok(url),
        _ => Err("a relay is like http://127.0.0.1:8080".to_owned()),
    }
}

/// Why a stream ended.
enum End {
    /// All that is there was shown, and more is not wanted.
    CaughtUp,
    /// Nobody reads stdout any longer.
    Unread,
    /// It may go on: why it was cut off, and how long the relay wants to be left alone.
    CutOff {
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// Follows until it is interrupted, or the relay's answer is final.
///
/// # Errors
/// The relay's refusal, in one line.
pub async fn tail(args: TailArgs) -> anyhow::Result<()> {
    let client = Client::builder()
        .connect_timeout(ANSWER_WITHIN)
        .read_timeout(SILENCE)
        .build()?;
    let mut tail = Tail {
        show: Show::new(&args),
        cursor: args.after.clone(),
        is_known: args.after.is_some(),
        client,
        args,
    };
    let result = tokio::select! {
        result = tail.follow() => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if let Some(cursor) = &tail.cursor
        && tail.cursor != tail.args.after
        && !tail.args.json
    {
        eprintln!("rowcast: --after {cursor} goes on from here");
    }
    result
}

/// A line for the person at the terminal, which may hold what a relay says.
fn say(text: &str) {
    eprintln!("rowcast: {}", escaped(text));
}

struct Tail {
    args: TailArgs,
    client: Client,
    show: Show,
    /// After all that was shown.
    cursor: Option<String>,
    /// Whether a stream was open already: then failures to connect are waited out.
    is_known: bool,
}

impl Tail {
    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut pauses = Backoff::new();
        loop {
            let before = self.cursor.clone();
            let (reason, retry_after) = match self.stream().await? {
                End::CaughtUp | End::Unread => return Ok(()),
                End::CutOff { reason, retry_after } => (reason, retry_after),
            };
            if self.cursor != before {
                pauses.reset();
            }
            let pause = retry_after.unwrap_or_default() + pauses.next_pause();
            say(&format!(
                "cut off: {reason}; again in {:.1} s",
                pause.as_secs_f32()
            ));
            tokio::time::sleep(pause).await;
        }
    }

    /// One stream to its end. An error is final.
    async fn stream(&mut self) -> anyhow::Result<End> {
        let mut response = match self.ask().await {
            Ok(response) => response,
            // Whoever has just typed the address wants to hear at once that nobody is there.
            Err(error) if !self.is_known => anyhow::bail!("{}: {}", self.relay(), chain(&error)),
            Err(error) => return Ok(cut_off(chain(&error))),
        };
        if response.status() != StatusCode::OK {
            return self.refused(response).await;
        }
        let content = response.headers().get(CONTENT_TYPE);
        if !content.is_some_and(|content| content.as_bytes().starts_with(NDJSON.as_bytes())) {
            anyhow::bail!("{} answers, but not as a relay does", self.relay());
        }
        self.is_known = true;
        let mut lines = Lines::default();
        // Shown once their cursor has come: after a cut between the two they come again.
        let mut events = Vec::new();
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(cut_off("the stream ended".to_owned())),
                Err(error) => return Ok(cut_off(chain(&error))),
            };
            for line in lines
                .push(&piece)
                .map_err(|error| anyhow::anyhow!("{}: {error}", self.relay()))?
            {
                match line {
                    Line::Event(event) => events.push(event),
                    Line::End(code) => return Ok(cut_off(code)),
                    Line::Other => {}
                    Line::Place { name, code, cursor } => {
                        if self.show.events(std::mem::take(&mut events)).await.is_err() {
                            return Ok(End::Unread);
                        }
                        self.cursor = Some(cursor);
                        if let Some(code) = code {
                            say(&format!(
                                "reset: {code}; what was shown may be gone, what follows is new"
                            ));
                        }
                        if name == "ready" && self.args.no_follow {
                            return Ok(End::CaughtUp);
                        }
                    }
                }
            }
        }
    }

    /// The relay's address for a person, without a password.
    fn relay(&self) -> String {
        let mut url = self.args.relay.clone();
        // They fail where there is no host, and then there is no password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.to_string()
    }

    async fn ask(&self) -> Result<Response, reqwest::Error> {
        let mut url = self.args.relay.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1");
            if let Some(source) = &self.args.source {
                path.extend(["sources", source]);
            }
            path.push("events");
        }
        let mut query = url.query_pairs_mut();
        query.extend_pairs(self.args.rooms.iter().map(|room| ("room", room)));
        match &self.cursor {
            Some(cursor) => query.append_pair("after", cursor),
            None => query.append_pair("last", &self.args.last.to_string()),
        };
        drop(query);
        let mut request = self.client.get(url).header(ACCEPT, NDJSON);
        if let Some(token) = &self.args.token {
            request = request.bearer_auth(token.expose());
        }
        request.send().await
    }

    /// An answer that is no stream: to be waited out, a reset of the cursor, or final.
    async fn refused(&mut self, mut response: Response) -> anyhow::Result<End> {
        let status = response.status();
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_PROBLEM {
                break;
            }
        }
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no reason is given");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(End::CutOff {
                reason: format!("{status}: {detail}"),
                retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE)),
            });
        }
        anyhow::bail!("{} answers {status}: {}", self.relay(), escaped(detail))
    }
}

fn cut_off(reason: String) -> End {
    End::CutOff {
        reason,
        retry_after: None,
    }
}

/// An error with its causes: reqwest's own words stop at "error sending request". Without the address, which may hold a
/// password.
fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    match words.is_empty() {
        true => "no answer".to_owned(),
        false => words.join(": "),
    }
}
