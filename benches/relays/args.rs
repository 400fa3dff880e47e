//! What the benchmark is told on its command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures Rowcast beside other relays, and beside what the machine could do at most.
#[derive(Clone, Debug, Parser)]
#[command(name = "relays", bin_name = "make bench")]
pub struct Args {
    /// A smoke run of a minute or two: everything once, small, nothing written to a file
    #[arg(long)]
    pub quick: bool,

    /// Scenarios to measure, with commas between [default: all]
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Servers to measure, with commas between, by the beginning of their names [default: all that are installed]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub peers: Vec<String>,

    /// How often each run is repeated; the servers take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub runs: u32,

    /// Lists scenarios and servers, and measures nothing
    #[arg(long)]
    pub list: bool,

    /// Where the tables are written [default: benches/RESULTS.md, if everything is measured]
    #[arg(long)]
    pub out: Option<PathBuf>,

    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// The arguments of this process; of a quick run one of each.
    pub fn of_process() -> Self {
        let mut args = Self::parse();
        if args.quick {
            args.runs = 1;
        }
        args
    }

    /// Is this scenario to be measured?
    pub fn wants_scenario(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Is this server to be measured?
    pub fn wants_server(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.peers.is_empty()
            || self
                .peers
                .iter()
                .any(|peer| name.starts_with(&peer.to_lowercase()))
    }

    /// Where the tables go; `None`: only to standard output.
    pub fn results(&self) -> Option<PathBuf> {
        let is_whole = !self.quick && self.only.is_empty() && self.peers.is_empty();
        let usual = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
        self.out.clone().or_else(|| is_whole.then(usual))
    }

    /// The command that a person types for this run.
    pub fn command(&self) -> String {
        let own = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench")
            .collect::<Vec<_>>()
            .join(" ");
        match own.as_str() {
            "" => "make bench".to_owned(),
            own => format!("make bench ARGS=\"{own}\""),
        }
    }
}
