//! A PostgreSQL that speaks TLS, as `db.example` and nobody else, and sessions to it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rowcast::demo::postgres::Postgres;
use rowcast::pg::{Database, PgError, PoolOptions};
use tempfile::TempDir;

use crate::support::{Authority, Pair, connect, eventually, own_server, run, within};

/// The name that the server's certificate is for.
pub const NAME: &str = "db.example";

/// Who comes in how: `certified` by a certificate, `closed` only with TLS, `open` only without, `scram` by a password, `careful`
/// by a password with TLS, and by none without.
const HBA: &str = "local   all all                     trust
hostssl   all certified 127.0.0.1/32   cert
hostnossl all certified 127.0.0.1/32   reject
hostssl   all closed    127.0.0.1/32   trust
hostnossl all open      127.0.0.1/32   trust
hostssl   all careful   127.0.0.1/32   scram-sha-256
hostnossl all careful   127.0.0.1/32   trust
host      all scram     127.0.0.1/32   scram-sha-256
host      all postgres  127.0.0.1/32   password
";

const ROLES: &str = "create role certified login; create role closed login; create role open login;
    set password_encryption = 'scram-sha-256'; create role scram login password 'pass'; create role careful login password 'another';";

/// The server, its authority, and files for clients.
pub struct TlsServer {
    pub postgres: Postgres,
    pub authority: Authority,
    files: TempDir,
}

impl TlsServer {
    /// Started for the first test that asks.
    pub async fn shared() -> &'static Self {
        static SERVER: OnceLock<TlsServer> = OnceLock::new();
        let server = SERVER.get_or_init(Self::new);
        // Told to by a signal: a moment passes.
        eventually(async || {
            let Ok(session) = server.session(&[("sslmode", "require")], "closed").await else {
                return false;
            };
            session.is_tls().await
        })
        .await;
        server
    }

    fn new() -> Self {
        let authority = Authority::new();
        let postgres = own_server(&[]);
        let files = tempfile::tempdir().expect("a directory");
        let pair = authority.server(&[NAME]);
        let written = [
            ("server.crt", &pair.certificate),
            ("server.key", &pair.key),
            ("client-ca.crt", &authority.pem()),
        ];
        let data = postgres.directory().join("data");
        for (name, text) in written {
            own(&data.join(name), text, &data);
        }
        own(&data.join("pg_hba.conf"), HBA, &data);
        let settings = "ssl = on\nssl_ca_file = 'client-ca.crt'\n";
        own(&data.join("postgresql.auto.conf"), settings, &data);
        let server = Self {
            postgres,
            authority,
            files,
        };
        server.set_up();
        server
    }

    /// The roles, and the new settings. In a thread of its own: this may be called inside of a runtime.
    fn set_up(&self) {
        let url = self.postgres.url("postgres");
        let statements = format!("{ROLES} select pg_reload_conf()");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async { run(&connect(&url).await, &statements).await });
            });
        });
    }

    /// A file for a client, readable by its owner alone.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        write(&path, text);
        path
    }

    /// The file with the authority's certificate.
    pub fn root(&self) -> PathBuf {
        self.file("root.crt", &self.authority.pem())
    }

    /// The files of a certificate and its key.
    pub fn pair(&self, name: &str, pair: &Pair) -> (PathBuf, PathBuf) {
        (
            self.file(&format!("{name}.crt"), &pair.certificate),
            self.file(&format!("{name}.key"), &pair.key),
        )
    }

    /// A URL of the database `postgres` for `user`, at 127.0.0.1 under the name `db.example`.
    pub fn url(&self, parameters: &[(&str, &str)], user: &str) -> String {
        self.url_at(NAME, parameters, user)
    }

    /// The same under another name.
    pub fn url_at(&self, name: &str, parameters: &[(&str, &str)], user: &str) -> String {
        let password = match user {
            "postgres" => self.postgres.password(),
            _ => "pass",
        };
        let mut query = form_urlencoded::Serializer::new("hostaddr=127.0.0.1".to_owned());
        query.extend_pairs(parameters);
        let port = self.postgres.port();
        format!(
            "postgresql://{user}:{password}@{name}:{port}/postgres?{}",
            query.finish()
        )
    }

    pub async fn session(&self, parameters: &[(&str, &str)], user: &str) -> Result<Opened, PgError> {
        open(&self.url(parameters, user)).await
    }
}

/// A session of the relay's kind.
#[derive(Debug)]
pub struct Opened(pub Database);

/// What [`Database::connect`] says to a URL.
pub async fn open(url: &str) -> Result<Opened, PgError> {
    within(Database::connect(url, &PoolOptions::default()))
        .await
        .map(Opened)
}

impl Opened {
    /// Whether PostgreSQL says that its sessions, those of the pool and others, are encrypted.
    pub async fn is_tls(&self) -> bool {
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let mut found = Vec::new();
        for session in [
            within(self.0.pooled()).await.expect("a session of the pool"),
            within(self.0.session("test")).await.expect("a session"),
            within(self.0.host_session())
                .await
                .expect("a session for publishing"),
        ] {
            let row = session.query_one(sql, &[]).await.expect("pg_stat_ssl");
            found.push(row.get::<_, bool>(0));
        }
        assert!(found.iter().all(|tls| *tls == found[0]), "{found:?}");
        found[0]
    }
}

/// Writes a file of the server's: for the account that `directory` belongs to, and nobody else.
fn own(path: &Path, text: &str, directory: &Path) {
    write(path, text);
    let owner = fs::metadata(directory).expect("the data directory");
    chown(path, Some(owner.uid()), Some(owner.gid())).expect("hand the file over");
}

/// Writes a file that its owner alone may read.
pub fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("write a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("close the file");
}
