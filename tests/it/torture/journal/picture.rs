//! What a subscriber of a journal knows of its rooms: the table as it fetched it once, and every event since.

use std::collections::HashMap;
use std::sync::Arc;

use rowcast::cursor::{Cursor, Resume};
use serde_json::Value;

use super::sources::{Name, Rows, Source, spelled};

/// A picture of some rooms.
#[derive(Clone)]
pub struct Picture {
    source: Arc<Source>,
    /// It has seen what was closed here; everything open here must come. `None` before its first cursor.
    pub since: Option<Cursor>,
    /// Where its journal was pruned to when the picture was begun.
    pruned_to: i64,
    pub rows: Rows,
    /// Each key's newest event.
    newest: HashMap<String, i64>,
    /// The events: operation, room and key of each id.
    pub told: HashMap<i64, (String, Name)>,
}

impl Picture {
    /// Nothing yet.
    pub fn of(source: Arc<Source>) -> Self {
        Self {
            source,
            since: None,
            pruned_to: 0,
            rows: Rows::new(),
            newest: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// The table now, for one who has this cursor already: what is committed between the two comes again as events.
    pub async fn taken(source: Arc<Source>, rooms: &[&str], cursor: &str) -> Self {
        let snapshot = source.snapshot(rooms).await;
        Self {
            since: position(cursor),
            pruned_to: snapshot.pruned_to,
            rows: snapshot.rows,
            ..Self::of(source)
        }
    }

    pub fn source(&self) -> Arc<Source> {
        self.source.clone()
    }

    pub fn may_expire(&self) -> bool {
        self.source.table.may_expire
    }

    /// Returns once something that comes after this cursor may have been pruned.
    pub async fn is_left_behind(source: &Source, cursor: &str) {
        let high = position(cursor).map_or(0, |cursor| cursor.open.high());
        source.is_pruned(high + 1).await;
    }

    /// Whether an id must come, since the picture was begun before.
    pub fn awaits(&self, id: i64) -> bool {
        self.since.as_ref().is_some_and(|since| since.open.contains(id))
    }

    /// Puts or removes a row. Returns what is wrong with the event.
    pub fn take(&mut self, room: &str, event: &Value) -> Option<String> {
        let (key, row) = (&event["key"], &event["row"]);
        let name = (room.to_owned(), spelled(key));
        let is_row = || {
            let columns = self.source.table.key.iter();
            let mut columns = columns.map(|(column, _)| *column);
            columns.all(|column| row[column] == key[column] && !key[column].is_null())
                && row["room_id"]
                    .as_str()
                    .is_some_and(|of_row| of_row.eq_ignore_ascii_case(room))
        };
        let is_whole = match event["op"].as_str() {
            Some("delete") => row.is_null() && event["id"].is_i64(),
            Some("update") => is_row() && event["id"].is_i64(),
            Some("insert") => is_row(),
            _ => false,
        };
        if !is_whole {
            return Some(format!("not an event: {event}"));
        }
        match row {
            Value::Null => drop(self.rows.remove(&name)),
            row => drop(self.rows.insert(name.clone(), row.clone())),
        }
        let id = event["id"].as_i64()?;
        let op = event["op"].as_str().unwrap_or_default().to_owned();
        self.told.insert(id, (op, name.clone()));
        let before = self.newest.insert(name.1, id).filter(|before| *before > id)?;
        Some(format!("{event} after {before} of the same key"))
    }

    /// What is wrong with having been told, after the cursor `before`, that it is older than what is kept.
    pub fn complaint_of_expiry(&self, before: Option<&str>) -> Option<String> {
        let lowest_open = position(before.unwrap_or_default()).map_or(0, |before| before.open.lowest());
        if !self.may_expire() {
            return Some(format!(
                "expired after {before:?}, though it never lagged; pruned to {}",
                self.pruned_to
            ));
        }
        (lowest_open > self.pruned_to).then(|| {
            format!(
                "expired after {before:?}, though pruned to {} only",
                self.pruned_to
            )
        })
    }
}

fn position(cursor: &str) -> Option<Cursor> {
    match Resume::parse(cursor) {
        Ok(Resume::Cursor(cursor)) => Some(cursor),
        _ => None,
    }
}
