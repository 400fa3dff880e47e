//! The commands: what each takes and does. Results go to stdout, the log and errors to stderr.

mod doctor;
mod invocation;
mod listing;
mod tables;
mod tail;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::app::App;
use crate::auth::Keyring;
use crate::config::{ServeArgs, ServeConfig};
use crate::demo::{self, Demo, Site};
use crate::pg::migrate::migrate;
use crate::telemetry::{self, LogArgs, RecentLines};

pub use invocation::{Invocation, InvocationError};

/// Turns the rows an application commits to its PostgreSQL tables into live events: SSE, long poll, poll.
#[derive(Parser, Debug)]
#[command(name = "rowcast", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// A file with settings, which flags and variables win over (see rowcast.example.toml) [default: none]
    #[arg(
        long,
        global = true,
        env = "ROWCAST_CONFIG",
        value_name = "FILE",
        help_heading = "Settings"
    )]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Follow every attached table and serve its rows over HTTP
    Serve(Box<ServeCommand>),
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
    /// Follow rooms of a relay in the terminal
    Tail(tail::TailArgs),
    /// Print the description of the HTTP interface (OpenAPI 3.1, JSON), which relays serve at /openapi.json
    Openapi,
    /// A private throw-away PostgreSQL, a table, a page: everything at work with nothing set up
    Demo(DemoArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ServeCommand {
    #[command(flatten)]
    args: ServeArgs,

    /// Print the settings as they are in effect, secrets hidden, as a file for --config, and check them
    #[arg(long, env = "ROWCAST_PRINT_CONFIG", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Settings")]
    print_config: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Address and port to serve HTTP on; port 0 picks one [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, env = "ROWCAST_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// Who may read and write; must be given where --listen is not a loopback address [default there: none]
    #[arg(long, value_enum)]
    pub auth: Option<DemoAuth>,

    /// Directory with PostgreSQL's programs (initdb, postgres) [default: searched for]
    #[arg(long, env = "ROWCAST_PG_BIN", value_name = "DIRECTORY")]
    pub pg_bin: Option<PathBuf>,
}

/// What `--auth` of the demo takes: its page has no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoAuth {
    /// Everybody who can reach the address
    None,
}

/// Runs one command to its end. What the exit code is if it does not fail: 0, except `doctor`'s.
pub async fn run(invocation: Invocation) -> anyhow::Result<ExitCode> {
    let Invocation { cli, settings } = invocation;
    // These speak to a person: what they say would drown between lines of a log.
    let level = match cli.command {
        Command::Demo(_) => "warn",
        Command::Doctor(_) => "error",
        _ => "info",
    };
    let recent = telemetry::start(&cli.log, level)?;
    match cli.command {
        Command::Serve(command) if command.print_config => print_config(command.args, &settings),
        Command::Serve(command) => serve(command.args, recent).await,
        Command::Attach(args) => tables::attach(args).await,
        Command::Detach(args) => tables::detach(args).await,
        Command::Sources(args) => listing::sources(args).await,
        Command::Uninstall(args) => tables::uninstall(args).await,
        Command::Doctor(args) => return doctor::doctor(args).await,
        Command::Migrate(args) => tables::migrate(args).await,
        Command::Tail(args) => tail::tail(args).await,
        Command::Openapi => print_description(),
        Command::Demo(args) => demo(args, recent).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: ServeArgs, recent: RecentLines) -> anyhow::Result<()> {
    let config = ServeConfig::new(args)?;
    let keyring = Keyring::load(&config.auth)?;
    let applied = migrate(&config.database_url).await.map_err(usage::database)?;
    if !applied.is_empty() {
        tracing::info!(?applied, "schema rowcast was brought to this version");
    }
    let app = App::bind(&config, keyring, recent, |routes| routes).await?;
    Ok(app.run_until_signalled().await?)
}

/// As docs/openapi.json has it.
fn print_description() -> anyhow::Result<()> {
    println!("{:#}", crate::http::description(""));
    Ok(())
}

/// Prints first: what does not go together is easier to see then.
fn print_config(args: ServeArgs, settings: &str) -> anyhow::Result<()> {
    print!("{settings}");
    ServeConfig::new(args)?;
    Ok(())
}

async fn demo(args: DemoArgs, recent: RecentLines) -> anyhow::Result<()> {
    if let (Some(listen), None) = (args.listen, args.auth) {
        demo::refuse_open(listen)?;
    }
    let demo = Demo::prepare(args.pg_bin).await?;
    let url = demo.database_url();
    tables::attach_demo(&url).await?;
    let listen = demo::listen_address(args.listen);
    let switches = demo::Switches::default();
    let site = Site::open(&url, switches.clone()).await?;
    let config = ServeConfig::for_demo(&url, listen)?;
    let keyring = Keyring::load(&config.auth)?;
    let app = App::bind(&config, keyring, recent, |routes| site.around(routes)).await?;
    println!("{}", demo.invitation(app.address()));
    let writer = demo::start_writer(url, switches.writing());
    let result = app.run_until_signalled().await;
    writer.stop().await;
    Ok(result?)
}
