//! The commands: what each takes and does. Results go to stdout, the log and errors to stderr.

mod doctor;
mod listing;
mod tables;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::App;
use crate::auth::Gate;
use crate::config::{ServeArgs, ServeConfig};
use crate::demo::{self, Demo, Site};
use crate::pg::migrate::migrate;
use crate::telemetry::{self, LogArgs};

pub use usage::usage_error;

/// Turns the rows an application commits to its PostgreSQL tables into live events: SSE, long poll, poll.
#[derive(Parser, Debug)]
#[command(name = "rowcast", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Follow every attached table and serve its rows over HTTP
    Serve(Box<ServeArgs>),
    /// Attach a table: its rows become events of the rooms that a column names
    Attach(tables::AttachArgs),
    /// Detach a source: its table is as it was before
    Detach(tables::DetachArgs),
    /// List what is attached, and what is wrong with it
    Sources(listing::SourcesArgs),
    /// Detach every table and drop schema rowcast
    Uninstall(tables::UninstallArgs),
    /// Say what would go wrong between a relay and this database, and what mends it; changes nothing
    Doctor(doctor::DoctorArgs),
    /// Bring schema rowcast to this program's version
    Migrate(tables::MigrateArgs),
    /// A private throw-away PostgreSQL, a table, a page: everything at work with nothing set up
    Demo(DemoArgs),
}

#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Address and port to serve HTTP on; port 0 picks one [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, env = "ROWCAST_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// Directory with PostgreSQL's programs (initdb, postgres) [default: searched for]
    #[arg(long, env = "ROWCAST_PG_BIN", value_name = "DIRECTORY")]
    pub pg_bin: Option<PathBuf>,
}

/// Runs one command to its end. What the exit code is if it does not fail: 0, except `doctor`'s.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // These speak to a person: what they say would drown between lines of a log.
    let level = match cli.command {
        Command::Demo(_) => "warn",
        Command::Doctor(_) => "error",
        _ => "info",
    };
    telemetry::start(&cli.log, level)?;
    match cli.command {
        Command::Serve(args) => serve(*args).await,
        Command::Attach(args) => tables::attach(args).await,
        Command::Detach(args) => tables::detach(args).await,
        Command::Sources(args) => listing::sources(args).await,
        Command::Uninstall(args) => tables::uninstall(args).await,
        Command::Doctor(args) => return doctor::doctor(args).await,
        Command::Migrate(args) => tables::migrate(args).await,
        Command::Demo(args) => demo(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let config = ServeConfig::new(args)?;
    Gate::check_keys(&config.auth)?;
    let applied = migrate(&config.database_url).await.map_err(usage::database)?;
    if !applied.is_empty() {
        tracing::info!(?applied, "schema rowcast was brought to this version");
    }
    let app = App::bind(&config, |routes| routes).await?;
    Ok(app.run_until_signalled().await?)
}

async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    let demo = Demo::prepare(args.pg_bin).await?;
    let url = demo.database_url();
    tables::attach_demo(&url).await?;
    let listen = demo::listen_address(args.listen);
    let switches = demo::Switches::default();
    let site = Site::open(&url, switches.clone()).await?;
    let config = ServeConfig::for_demo(&url, listen)?;
    let app = App::bind(&config, |routes| site.around(routes)).await?;
    println!("{}", demo.invitation(app.address()));
    let writer = demo::start_writer(url, switches.writing());
    let result = app.run_until_signalled().await;
    writer.stop().await;
    Ok(result?)
}
