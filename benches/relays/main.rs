//! Rowcast beside other relays: `make bench`.
//!
//! Each scenario starts a server, gives it subscribers, writes rows into a private PostgreSQL and looks what arrives, when,
//! and what it cost. The servers take turns, run by run, so that whatever else the machine does meanwhile hits all of them;
//! two limits, a process that only writes prepared frames into sockets, take part. The load client is one thread with an
//! epoll loop of its own (`client`), and counts what is lost, repeated or reordered (`seen`). It needs Linux.

mod args;
mod client;
mod clock;
mod figures;
mod goals;
mod limit;
mod marks;
#[path = "../support/page.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod page;
#[allow(dead_code, reason = "a server may need less of it than the trait offers")]
mod peers;
mod plot;
mod report;
mod rowcast;
mod rows;
mod sample;
mod scenarios;
mod seen;
#[path = "../support/server.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod server;
mod stage;
mod writer;

use std::sync::Arc;

use args::Args;
use figures::Figures;
use limit::Form;
use peers::{Peer, nchan::Nchan, node::Node, pushpin::Pushpin};
use scenarios::{SCENARIOS, Setting};
use stage::{Contestant, World};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == limit::ARGUMENT) {
        return limit::serve(&arguments[2..]);
    }
    let args = Args::of_process();
    let contestants = contestants(&args);
    for only in &args.only {
        let known = SCENARIOS.iter().any(|scenario| scenario.name == only);
        anyhow::ensure!(
            known,
            "--only {only}: there is no such scenario; --list shows them"
        );
    }
    if args.list {
        list(&contestants);
        return Ok(());
    }
    let load_before = page::load();
    let mut world = World::new()?;
    let mut figures = Figures::default();
    let setting = Setting {
        contestants,
        runs: args.runs,
        quick: args.quick,
    };
    for scenario in SCENARIOS.iter().filter(|one| args.wants_scenario(one.name)) {
        eprintln!("{}: {}", scenario.name, scenario.what);
        (scenario.measure)(&mut world, &setting, &mut figures);
        anyhow::ensure!(!world.is_stopped(), "interrupted");
    }
    let (version, _, settings) = world.description()?;
    report::Page {
        command: &args.command(),
        postgres: &format!("{version}: {settings}"),
        servers: &versions(),
        scenarios: &SCENARIOS.map(|scenario| (scenario.name, scenario.what)),
        figures: &figures.all,
        failures: &figures.failures,
        load_before: &load_before,
    }
    .publish(args.results().as_deref())?;
    anyhow::ensure!(
        figures.failures.is_empty(),
        "these runs failed:\n{}",
        figures.failures.join("\n")
    );
    Ok(())
}

/// All relays, installed or not.
fn relays() -> [Arc<dyn Peer>; 4] {
    [
        Arc::new(rowcast::Rowcast::USUAL),
        Arc::new(Nchan),
        Arc::new(Pushpin),
        Arc::new(Node),
    ]
}

/// All servers that are installed and asked for, and the limits.
fn contestants(args: &Args) -> Vec<Contestant> {
    let installed = relays().into_iter().filter(|peer| match peer.version() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("without {}: {error:#}", peer.name());
            false
        }
    });
    let limits = [Form::Each, Form::Joined].map(Contestant::Limit);
    installed
        .map(Contestant::Relay)
        .chain(limits)
        .filter(|one| args.wants_server(one.name()))
        .collect()
}

/// The relays' names with their versions, or what is missing.
fn versions() -> Vec<(String, String)> {
    let version = |peer: &Arc<dyn Peer>| peer.version().unwrap_or_else(|error| format!("{error:#}"));
    relays()
        .iter()
        .map(|peer| (peer.name().to_owned(), version(peer)))
        .collect()
}

fn list(contestants: &[Contestant]) {
    for scenario in &SCENARIOS {
        println!("{:<12} {}", scenario.name, scenario.what);
    }
    println!();
    for contestant in contestants {
        match contestant {
            Contestant::Limit(_) => println!("{}", contestant.name()),
            Contestant::Relay(peer) => match peer.version() {
                Ok(version) => println!("{} {version}", peer.name()),
                Err(error) => println!("{}: {error:#}", peer.name()),
            },
        }
    }
}
