//! The sources: four tables, each with what another kind of application does to it, and their journals.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};

use crate::torture::received::ALL_ROOMS;
use crate::torture::try_connect;

/// A table with a journal.
pub struct Table {
    /// The table's name and the source's.
    pub name: &'static str,
    /// Its columns with their types.
    pub key: &'static [(&'static str, &'static str)],
    /// SQL over the columns.
    pub room: &'static str,
    /// The columns that are sent; all if empty.
    pub sent: &'static str,
    /// What its journal keeps, if not all.
    pub keep: Option<&'static str>,
    /// So few that anybody may come too late.
    pub may_expire: bool,
}

/// Random keys; pruned, but kept for longer than anybody stays away or waits for a reconnect.
pub const DOCUMENTS: Table = Table {
    name: "documents",
    key: &[("id", "uuid")],
    room: "room_id",
    sent: "",
    keep: Some("8 seconds"),
    may_expire: false,
};

/// Partitions, which are written to directly, too, and a room that is computed.
pub const POSTINGS: Table = Table {
    name: "postings",
    key: &[("tenant", "integer"), ("nr", "integer")],
    room: "lower(room_id)",
    sent: "",
    keep: None,
    may_expire: false,
};

/// Ids that are drawn ahead or given; pruned so soon ([`KEPT_TICKETS`]) that subscribers come too late.
pub const TICKETS: Table = Table {
    name: "tickets",
    key: &[("id", "bigint")],
    room: "room_id",
    sent: "id, room_id, body",
    keep: Some("40 rows"),
    may_expire: true,
};

/// Entries of [`TICKETS`].
pub const KEPT_TICKETS: i64 = 40;

/// Fed by a subscription: another server's table.
pub const NOTES: Table = Table {
    name: "notes",
    key: &[("author", "text"), ("nr", "integer")],
    room: "room_id",
    sent: "",
    keep: None,
    may_expire: false,
};

pub const TABLES: [&Table; 4] = [&DOCUMENTS, &POSTINGS, &TICKETS, &NOTES];

/// `notes` stands on both servers.
pub const NOTES_TABLE: &str = "
    create table notes (author text, nr int, room_id text, body text, primary key (author, nr));";

pub const TABLES_OF_THE_RELAYS: &str = "
    create table documents (id uuid primary key default gen_random_uuid(), room_id text, body text);
    create table postings (tenant int, nr int, room_id text, body text, primary key (nr, tenant))
        partition by list (tenant);
    create table postings_low partition of postings for values in (0, 1);
    create table postings_high partition of postings for values in (2, 3);
    create table postings_rest partition of postings default;
    create sequence ticket_ids start 1000 cache 5;
    create table tickets (id bigint primary key, room_id varchar(20), body text, secret text);
    create table drawn (id bigint);
    insert into drawn select nextval('ticket_ids') from generate_series(1, 20);";

/// Pruning takes entries from the test's own eyes, too, so it copies them as they come.
const COPY: &str = "
    create table entries_of_TABLE as select * from rowcast.journal_TABLE;
    create function note_entry_of_TABLE() returns trigger language plpgsql security definer as $$
        begin insert into public.entries_of_TABLE select new.*; return null; end $$;
    create trigger note_entry after insert on rowcast.journal_TABLE
        for each row execute function note_entry_of_TABLE();";

impl Table {
    /// SQL that attaches it, and notes what its journal gets if that is pruned. `per_statement`: where the choice is free.
    pub fn install(&self, per_statement: bool) -> String {
        let copy = self.keep.map(|_| COPY.replace("TABLE", self.name));
        self.attach(per_statement, self.keep) + &copy.unwrap_or_default()
    }

    /// SQL that attaches it, to keep so much.
    pub fn attach(&self, per_statement: bool, keep: Option<&str>) -> String {
        let mut arguments = format!(
            "'public.{}', room => '{}', changes => '{{insert,update,delete}}'",
            self.name, self.room
        );
        if !self.sent.is_empty() {
            arguments += &format!(", columns => '{{{}}}'", self.sent);
        }
        if let Some(keep) = keep {
            arguments += &format!(", keep => '{keep}'");
        }
        match self.name {
            "notes" => arguments += ", always => true",
            "documents" | "tickets" if per_statement => arguments += ", per_statement => true",
            _ => {}
        }
        format!("select rowcast.attach({arguments});")
    }

    /// Where all entries stand that its journal ever got.
    pub fn entries(&self) -> String {
        match self.keep {
            Some(_) => format!("entries_of_{}", self.name),
            None => format!("rowcast.journal_{}", self.name),
        }
    }

    /// The columns of the key, as SQL lists them.
    pub fn key_columns(&self) -> String {
        let names: Vec<&str> = self.key.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// A row, as a subscriber names it: its room and its key's JSON text, in this program's spelling.
pub type Name = (String, String);

/// The rows of some rooms with the columns that are sent.
pub type Rows = HashMap<Name, Value>;

/// A table in a database.
pub struct Source {
    pub table: &'static Table,
    /// The database's.
    pub url: String,
}

/// A table at one moment.
pub struct Snapshot {
    pub rows: Rows,
    /// Every entry up to here may have been pruned from its journal.
    pub pruned_to: i64,
}

impl Source {
    pub fn new(table: &'static Table, url: &str) -> Arc<Self> {
        Arc::new(Self {
            table,
            url: url.to_owned(),
        })
    }

    /// The rows of these rooms as they stand now, as soon as the database is there.
    pub async fn snapshot(&self, rooms: &[&str]) -> Snapshot {
        loop {
            if let Some((client, _driver)) = try_connect(&self.url).await
                && let Ok(snapshot) = self.read(&client, rooms).await
            {
                return snapshot;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns once every entry up to `id` may have been pruned from the journal.
    pub async fn is_pruned(&self, id: i64) {
        loop {
            if let Some((client, _driver)) = try_connect(&self.url).await
                && self.pruned_to(&client).await.is_ok_and(|to| to >= id)
            {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn pruned_to(&self, client: &Client) -> Result<i64, Error> {
        let pruned = "select greatest(pruned_to, start_id) from rowcast.sources where name = $1";
        Ok(client.query_one(pruned, &[&self.table.name]).await?.get(0))
    }

    async fn read(&self, client: &Client, rooms: &[&str]) -> Result<Snapshot, Error> {
        let table = self.table;
        let key: Vec<String> = table
            .key
            .iter()
            .map(|(name, _)| format!("'{name}', {name}"))
            .collect();
        let sent = match table.sent {
            "" => "row_to_json(t)".to_owned(),
            columns => format!("(select row_to_json(s) from (select {columns}) s)"),
        };
        let (room, key, name) = (table.room, key.join(", "), table.name);
        let rows = format!(
            "select ({room})::text, jsonb_build_object({key})::text, {sent}::text from {name} t
              where {room} is not null and (({room})::text = any ($1) or '{ALL_ROOMS}' = any ($1))"
        );
        let found = client.query(&rows, &[&rooms]).await?;
        let pruned_to = self.pruned_to(client).await?;
        let row = |row: &tokio_postgres::Row| {
            let row_name = (row.get(0), spelled(&parsed(row.get(1))));
            (row_name, parsed(row.get(2)))
        };
        Ok(Snapshot {
            rows: found.iter().map(row).collect(),
            pruned_to,
        })
    }
}

/// A key's text: the same for equal keys, whatever the order of their members.
pub fn spelled(key: &Value) -> String {
    key.to_string()
}

pub fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("PostgreSQL's JSON")
}
