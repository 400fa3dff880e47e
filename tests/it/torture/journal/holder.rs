//! A transaction that stays open while the journal grows by more than it keeps: what it wrote, and all after it,
//! must not be pruned, since no tail can have seen it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::sources::{KEPT_TICKETS, TICKETS};
use crate::torture::try_connect;

/// The time in which relays that are there save their positions and prune.
const LONG: Duration = Duration::from_millis(1500);
/// The time in which the pruning catches up.
const REST: Duration = Duration::from_millis(1500);

const GLANCE: Duration = Duration::from_millis(20);

/// What the holder saw.
#[derive(Debug, Default)]
pub struct Held {
    /// Transactions that were open while more than is kept was written, for [`LONG`] and longer.
    pub long_enough: u64,
    /// Transactions cut off before.
    pub cut_off: u64,
    pub complaints: Vec<String>,
}

/// Holds one transaction after the other until `stop`.
pub async fn hold(url: String, stop: CancellationToken) -> Held {
    let mut held = Held::default();
    let mut number = 0;
    while !stop.is_cancelled() {
        if let Some((client, _driver)) = try_connect(&url).await {
            number += 1;
            match hold_once(&client, number, &stop).await {
                Ok(Some(complaint)) => held.complaints.push(complaint),
                Ok(None) if !stop.is_cancelled() => held.long_enough += 1,
                Ok(None) => {}
                Err(_) => held.cut_off += 1,
            }
        }
        sleep(REST).await;
    }
    held
}

async fn hold_once(client: &Client, number: i64, stop: &CancellationToken) -> Result<Option<String>, Error> {
    let name = TICKETS.name;
    let key = -number;
    client
        .batch_execute(&format!(
            "begin; insert into {name} (id, room_id, body) values ({key}, 'lobby', 'held')
               on conflict (id) do update set body = 'held again'"
        ))
        .await?;
    let own =
        format!("select max(id) from rowcast.journal_{name} where key = jsonb_build_object('id', {key})");
    let own: i64 = client.query_one(&own, &[]).await?.get(0);
    let look = "select pruned_to, pg_sequence_last_value(id_sequence) from rowcast.sources where name = $1";
    let enough = own + KEPT_TICKETS + 20;
    let mut overtaken_at = None;
    loop {
        let found = client.query_one(look, &[&name]).await?;
        let (pruned_to, last): (i64, i64) = (found.get(0), found.get(1));
        if pruned_to >= own {
            return Ok(Some(format!(
                "{name} was pruned to {pruned_to} while the transaction of {own} was open"
            )));
        }
        if last > enough {
            overtaken_at.get_or_insert_with(Instant::now);
        }
        if stop.is_cancelled() || overtaken_at.is_some_and(|at| at.elapsed() > LONG) {
            break;
        }
        sleep(GLANCE).await;
    }
    client.batch_execute("commit").await?;
    Ok(None)
}
