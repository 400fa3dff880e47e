//! The roles of README.md: `app` owns the tables and attaches, `relay` serves. README's own statements make them, so that
//! the suite fails where they do not suffice.

use rowcast::demo::postgres::Postgres;
use tokio_postgres::Client;
use url::Url;

use super::{connect, run, within};

/// The password of both roles: README's.
const PASSWORD: &str = "secret";

/// A database as three roles see it.
#[derive(Clone, Debug)]
pub struct Urls {
    /// The superuser's: for settings, roles, other sessions' ends; never for a relay.
    pub admin: String,
    /// The role that owns the tables, and migrates and attaches. No superuser.
    pub app: String,
    /// The role of the relays. It may read what is attached and use schema `rowcast`.
    pub relay: String,
}

impl Urls {
    pub fn new(server: &Postgres, database: &str) -> Self {
        let admin = server.url(database);
        Self {
            app: as_role(&admin, "app"),
            relay: as_role(&admin, "relay"),
            admin,
        }
    }
}

/// A URL with another role, whose password is `secret`.
pub fn as_role(url: &str, role: &str) -> String {
    let mut url = Url::parse(url).expect("the server's URL");
    url.set_username(role).expect("a URL with a user");
    url.set_password(Some(PASSWORD)).expect("a URL with a password");
    url.into()
}

/// As every role may in the databases of PostgreSQL 14 and older.
pub async fn let_app_make_tables(admin: &Client) {
    run(admin, "grant create on schema public to app").await;
}

/// A database of a server on which neither role is yet: makes both, and brings schema `rowcast`.
pub async fn prepare(server: &Postgres, database: &str) -> Urls {
    let urls = Urls::new(server, database);
    let admin = connect(&urls.admin).await;
    run(&admin, &format!("create role app login password '{PASSWORD}'")).await;
    let_app_make_tables(&admin).await;
    run(&admin, role_of_the_relay()).await;
    rowcast::pg::migrate::migrate(&urls.app)
        .await
        .expect("migrate as the role app");
    urls
}

/// Lets the relays read what is attached: what README says to run after an attach.
pub async fn grant_attached(owner: &Client) {
    for table in attached(owner).await {
        run(owner, &table.statements(block(1), table.followed.as_deref())).await;
    }
}

/// Lets the relays publish into what is attached.
pub async fn grant_publishing(owner: &Client) {
    for table in attached(owner).await {
        run(owner, &table.statements(block(2), table.drawn.as_deref())).await;
    }
}

/// Names as SQL quotes them.
struct Attached {
    table: String,
    schema: String,
    /// The sequence of its ids, if they are what tells new rows: not with a journal.
    followed: Option<String>,
    /// The sequence that an insert draws from with its own rights: not an identity column's.
    drawn: Option<String>,
}

impl Attached {
    /// README's statements for `public.messages`, for this table and its sequence.
    fn statements(&self, readme: &str, sequence: Option<&str>) -> String {
        let mut sql = String::new();
        if self.schema != "public" {
            sql += &format!("grant usage on schema {} to relay;", self.schema);
        }
        for line in readme.lines() {
            match sequence {
                Some(sequence) => sql += &line.replace("public.messages_id_seq", sequence),
                None if line.contains("on sequence") => {}
                None => sql += line,
            }
            sql += "\n";
        }
        sql.replace("public.messages ", &format!("{} ", self.table))
    }
}

async fn attached(owner: &Client) -> Vec<Attached> {
    let sql = "select s.relation::text, quote_ident(n.nspname),
               case when s.journal is null then s.id_sequence::text end,
               case when a.attidentity = '' then pg_get_serial_sequence(s.relation::text, a.attname) end
        from rowcast.sources s
        join pg_class c on c.oid = s.relation
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attname = coalesce(s.id_column, s.key_columns[1])";
    let rows = within(owner.query(sql, &[])).await.expect("ask what is attached");
    let names = |row: &tokio_postgres::Row| Attached {
        table: row.get(0),
        schema: row.get(1),
        followed: row.get(2),
        drawn: row.get(3),
    };
    rows.iter().map(names).collect()
}

/// README's statements that make the role of the relays, once in each database.
pub fn role_of_the_relay() -> &'static str {
    block(0)
}

/// The SQL of README's section about roles, by its blocks.
fn block(number: usize) -> &'static str {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme
        .split_once("\n### Roles\n")
        .expect("README has a section Roles");
    let (section, _) = section.split_once("\n### ").expect("a section follows");
    let mut blocks = section.split("```sql\n").skip(1);
    let block = blocks.nth(number).and_then(|block| block.split("```").next());
    block.expect("the section has as many blocks")
}
