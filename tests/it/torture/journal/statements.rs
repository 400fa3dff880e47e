//! What the writers do to a table with a journal: every change in many forms, often of the same few keys.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::sources::Table;
use crate::torture::ROOMS;
use crate::torture::writers::{Step, Transaction};

/// How many keys are written again and again.
const KEYS: usize = 40;

/// What one writer writes to.
#[derive(Clone, Copy)]
pub struct Target {
    pub table: &'static Table,
    /// The server knows MERGE (PostgreSQL 15 and later).
    pub merges: bool,
}

/// The values of a key's columns, as text without anything to quote.
type Key = Vec<String>;

impl Target {
    /// Of a server whose version is not known.
    pub fn new(table: &'static Table) -> Self {
        Self { table, merges: false }
    }

    /// SQL that fills the table with some of its keys.
    pub fn fill(self) -> String {
        let row = |number| {
            format!(
                "({}, 'r{}', 'before')",
                self.row(&self.key_of(number)),
                number % 8
            )
        };
        let rows: Vec<String> = (0..KEYS).step_by(2).map(row).collect();
        let (name, columns) = (self.table.name, self.table.key_columns());
        format!(
            "insert into {name} ({columns}, room_id, body) values {};",
            rows.join(", ")
        )
    }

    /// A transaction, planned before it runs. Half of those with several statements stay with one key.
    pub fn plan(self, rng: &mut StdRng) -> Transaction {
        if rng.random_bool(0.3) {
            let key = self.key(rng);
            return Transaction::single(self.statement(&key, rng));
        }
        let one = self.key(rng);
        let stays = rng.random_bool(0.5);
        Transaction::of_several(rng, 4, |rng| {
            let key = if stays { one.clone() } else { self.key(rng) };
            self.statement(&key, rng)
        })
    }

    fn statement(self, key: &Key, rng: &mut StdRng) -> Step {
        if self.table.name == "tickets" && rng.random_bool(0.25) {
            return Step::Statement(draw_ahead(rng));
        }
        let sql = match rng.random_range(0..100) {
            0..12 => self.insert_some(key, rng),
            12..30 => self.upsert(key, rng),
            30..33 => self.insert(&self.fresh_key(rng), rng),
            33..51 => self.update(key, &format!("body = {}", body(rng)), rng),
            51..66 => self.update(key, &format!("room_id = {}", room(rng)), rng),
            66..70 => self.change_key(key, rng),
            70..77 => self.delete(key, rng),
            77..83 => self.update_some(rng),
            83..85 => format!("delete from {} where {}", self.table.name, self.any_of(rng)),
            85..92 => self.merge(key, rng),
            92..94 => return self.copy(rng),
            94..97 => self.replace(key, rng),
            _ => self.update(key, "body = body", rng),
        };
        Step::Statement(sql)
    }

    /// One of few keys, so that writers meet.
    fn key(self, rng: &mut StdRng) -> Key {
        match (self.table.name, rng.random_range(0..KEYS)) {
            // One of those that the sequence gives.
            ("tickets", number) if number % 4 == 0 => vec![rng.random_range(1000..1100).to_string()],
            (_, number) => self.key_of(number),
        }
    }

    fn key_of(self, number: usize) -> Key {
        match self.table.name {
            "documents" => vec![uuid_of(number)],
            "postings" => vec![(number % 5).to_string(), (number / 5).to_string()],
            // Explicit ones below the sequence and far above it.
            "tickets" if number < KEYS - 5 => vec![number.to_string()],
            "tickets" => vec![(2_000_000_000 + number).to_string()],
            _ => vec![
                ["ann", "böb", "o'neil"][number % 3].to_owned(),
                (number / 3).to_string(),
            ],
        }
    }

    /// A key that nobody had.
    fn fresh_key(self, rng: &mut StdRng) -> Key {
        let number = rng.random_range(1_000..i32::MAX);
        match self.table.name {
            "documents" => vec![uuid_of(rng.random_range(1_000..usize::MAX))],
            "tickets" => vec![(3_000_000_000 + i64::from(number)).to_string()],
            "postings" => vec![rng.random_range(0..7).to_string(), number.to_string()],
            _ => vec!["ann".to_owned(), number.to_string()],
        }
    }

    /// The key as a row of SQL.
    fn row(self, key: &Key) -> String {
        let typed = |(value, (_, sql_type)): (&String, &(&str, &str))| {
            format!("'{}'::{sql_type}", value.replace('\'', "''"))
        };
        let values: Vec<String> = key.iter().zip(self.table.key).map(typed).collect();
        values.join(", ")
    }

    fn is(self, key: &Key) -> String {
        format!("({}) = ({})", self.table.key_columns(), self.row(key))
    }

    /// A condition that a few of the keys meet.
    fn any_of(self, rng: &mut StdRng) -> String {
        let rows: Vec<String> = (0..4)
            .map(|_| format!("({})", self.row(&self.key(rng))))
            .collect();
        format!("({}) in ({})", self.table.key_columns(), rows.join(", "))
    }

    /// The table, or the partition that the key belongs to.
    fn relation(self, key: &Key, rng: &mut StdRng) -> &'static str {
        if self.table.name != "postings" || rng.random_bool(0.6) {
            return self.table.name;
        }
        match key[0].as_str() {
            "0" | "1" => "postings_low",
            "2" | "3" => "postings_high",
            _ => "postings_rest",
        }
    }

    fn insert(self, key: &Key, rng: &mut StdRng) -> String {
        let (relation, columns, row) = (self.relation(key, rng), self.table.key_columns(), self.row(key));
        let (room, body) = (room(rng), body(rng));
        format!("insert into {relation} ({columns}, room_id, body) values ({row}, {room}, {body})")
    }

    fn insert_some(self, key: &Key, rng: &mut StdRng) -> String {
        let others: Vec<String> = (0..rng.random_range(0..5))
            .map(|_| format!(", ({}, {}, {})", self.row(&self.key(rng)), room(rng), body(rng)))
            .collect();
        let relation = if others.is_empty() {
            self.relation(key, rng)
        } else {
            self.table.name
        };
        format!(
            "insert into {relation} ({}, room_id, body) values ({}, {}, {}){} on conflict do nothing",
            self.table.key_columns(),
            self.row(key),
            room(rng),
            body(rng),
            others.concat()
        )
    }

    fn upsert(self, key: &Key, rng: &mut StdRng) -> String {
        let target = match self.table.name {
            "postings" => "nr, tenant".to_owned(),
            _ => self.table.key_columns(),
        };
        let change = match rng.random_bool(0.5) {
            true => "room_id = excluded.room_id, body = excluded.body",
            false => "body = excluded.body",
        };
        format!(
            "{} on conflict ({target}) do update set {change}",
            self.insert(key, rng)
        )
    }

    fn update(self, key: &Key, change: &str, rng: &mut StdRng) -> String {
        format!(
            "update {} set {change} where {}",
            self.relation(key, rng),
            self.is(key)
        )
    }

    fn delete(self, key: &Key, rng: &mut StdRng) -> String {
        format!("delete from {} where {}", self.relation(key, rng), self.is(key))
    }

    /// Of a partitioned table often a move to another partition.
    fn change_key(self, key: &Key, rng: &mut StdRng) -> String {
        let to = self.row(&self.key(rng));
        let (name, columns) = (self.table.name, self.table.key_columns());
        format!("update {name} set ({columns}) = row({to}) where {}", self.is(key))
    }

    fn update_some(self, rng: &mut StdRng) -> String {
        let (name, some) = (self.table.name, self.any_of(rng));
        let (one, other) = (room(rng), room(rng));
        format!(
            "update {name} set room_id = case when random() < 0.5 then {one} else {other} end where {some}"
        )
    }

    fn merge(self, key: &Key, rng: &mut StdRng) -> String {
        if !self.merges {
            return self.upsert(key, rng);
        }
        let (name, columns, row) = (self.table.name, self.table.key_columns(), self.row(key));
        let (room, body) = (room(rng), body(rng));
        let names = || self.table.key.iter().map(|(name, _)| *name);
        let met: Vec<String> = names().map(|name| format!("t.{name} = s.{name}")).collect();
        let new: Vec<String> = names().map(|name| format!("s.{name}")).collect();
        let (met, new) = (met.join(" and "), new.join(", "));
        format!(
            "merge into {name} t using (values ({row})) s ({columns}) on {met}
             when matched and t.body like '%3' then delete
             when matched then update set room_id = {room}, body = {body}
             when not matched then insert ({columns}, room_id, body) values ({new}, {room}, {body})"
        )
    }

    fn copy(self, rng: &mut StdRng) -> Step {
        let columns = self.table.key_columns();
        let sql = format!("copy {} ({columns}, room_id, body) from stdin", self.table.name);
        let line = |_| {
            let (key, room) = (self.fresh_key(rng).join("\t"), room(rng).replace('\'', ""));
            let room = if room == "null" { "\\N".to_owned() } else { room };
            format!("{key}\t{room}\tcopied\n")
        };
        let lines = (0..5).map(line).collect();
        Step::Copy(sql, lines)
    }

    /// A deletion and an insertion in one statement.
    fn replace(self, key: &Key, rng: &mut StdRng) -> String {
        let (deletion, columns) = (self.delete(key, rng), self.table.key_columns());
        let (name, fresh) = (self.table.name, self.row(&self.fresh_key(rng)));
        format!(
            "with gone as ({deletion} returning room_id)
             insert into {name} ({columns}, room_id, body) select {fresh}, room_id, 'replaced' from gone"
        )
    }
}

/// Of tickets: ids are drawn in one transaction and used in another, in any order; a change that nobody is sent.
fn draw_ahead(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0..3 => "insert into drawn select nextval('ticket_ids') from generate_series(1, 3)".to_owned(),
        3..9 => format!(
            "with taken as (
                delete from drawn where id in (select id from drawn order by random() limit 2 for update skip locked)
                returning id)
             insert into tickets (id, room_id, body) select id, {}, 'drawn ahead' from taken on conflict do nothing",
            room(rng)
        ),
        _ => format!("update tickets set secret = {} where id < 20", body(rng)),
    }
}

fn uuid_of(number: usize) -> String {
    // Spread like random ones, but the same for the same number.
    let spread = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let hex = format!("{spread:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// A room as an SQL literal, now and then in capitals; seldom none.
fn room(rng: &mut StdRng) -> String {
    let room = ROOMS.choose(rng).expect("there are rooms");
    match rng.random_range(0..50) {
        0 => "null".to_owned(),
        _ => format!("'{room}'"),
    }
}

fn body(rng: &mut StdRng) -> String {
    format!("'said {}'", rng.random_range(0..1000))
}
