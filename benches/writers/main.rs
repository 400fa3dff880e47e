//! What Rowcast costs those who write: `make bench-writers`, and `make bench-churn` for a simulated day of a journal.
//!
//! Everything runs on a throw-away PostgreSQL of its own, each run on a new table in a new database. The modes that are
//! compared take turns, so that whatever else the machine does meanwhile hits all of them, and each ratio is one of two
//! runs of the same round. The relay is the real program, as a process of its own, with a subscriber.

mod args;
mod bulk;
mod churn;
mod mode;
#[path = "../support/page.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod page;
mod pgbench;
mod process;
mod relay;
mod report;
#[path = "../support/server.rs"]
mod server;
mod sizes;
mod transactions;

use args::{Args, Part, Subject};
use report::Report;
use server::Server;

/// The table that is written to.
const TABLE: &str = include_str!("../support/sql/table.sql");

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::of_process();
    match args.subject {
        Subject::Writers => writers(&args).await,
        Subject::Churn => churn::measure(&args).await,
    }
}

async fn writers(args: &Args) -> anyhow::Result<()> {
    let mut server = Server::start(&args.settings).await?;
    let mut report = Report::begin("What writers pay", &args.command(), &server).await?;
    if args.wants(Part::Inserts) {
        report.add(&transactions::inserts(&mut server, args).await?);
    }
    if args.wants(Part::Updates) {
        report.add(&transactions::updates(&mut server, args).await?);
    }
    if args.wants(Part::Sizes) {
        report.add(&sizes::measure(&mut server, args).await?);
    }
    if args.wants(Part::Bulk) {
        report.add(&bulk::measure(&mut server, args).await?);
    }
    report.end(args.results().as_deref())
}
