//! What the benchmark is told on its command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures what Rowcast costs those who write.
#[derive(Clone, Debug, Parser)]
#[command(name = "writers", bin_name = "make bench-writers")]
pub struct Args {
    /// What to measure
    #[arg(value_enum, default_value_t = Subject::Writers)]
    pub subject: Subject,

    /// A smoke run of seconds: everything once, small, nothing written to a file
    #[arg(long)]
    pub quick: bool,

    /// Parts of `writers` to measure [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub parts: Vec<Part>,

    /// Sessions of pgbench
    #[arg(long, value_delimiter = ',', default_value = "1,8,16,32,64")]
    pub clients: Vec<u32>,

    /// Seconds of one run of pgbench
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,

    /// How often each run is repeated; the modes take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Rows of a bulk load
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i32).range(1..))]
    pub bulk_rows: i32,

    /// How often a bulk load is repeated
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub bulk_rounds: u32,

    /// Seconds that a simulated day lasts
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u32).range(24..))]
    pub day_seconds: u32,

    /// Simulated hours that the journal keeps
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub keep_hours: u32,

    /// A setting of the server, NAME=VALUE; repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,

    /// Where the tables are written [default: benches/RESULTS-writers.md, benches/RESULTS-churn.md]
    #[arg(long)]
    pub out: Option<PathBuf>,

    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// What writers pay
    Writers,
    /// A simulated day of a journal that is pruned
    Churn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// One row in each transaction
    Inserts,
    /// One random row in each transaction
    Updates,
    /// One session, statements of 1 to 1,000 rows
    Sizes,
    /// A bulk load, then an update and a deletion of all rows
    Bulk,
}

impl Args {
    /// The arguments of this process, small ones where a quick run was asked for.
    pub fn of_process() -> Self {
        let mut args = Self::parse();
        if args.quick {
            args.clients = vec![4];
            args.seconds = 1;
            args.rounds = 1;
            args.bulk_rows = 20_000;
            args.bulk_rounds = 1;
            args.day_seconds = 24;
        }
        args
    }

    /// Is this part of `writers` to be measured?
    pub fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// Where the tables go; `None`: only to standard output.
    pub fn results(&self) -> Option<PathBuf> {
        let file = match self.subject {
            Subject::Writers => "benches/RESULTS-writers.md",
            Subject::Churn => "benches/RESULTS-churn.md",
        };
        match &self.out {
            Some(out) => Some(out.clone()),
            None => (!self.quick).then(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)),
        }
    }

    /// The command that a person types for this run.
    pub fn command(&self) -> String {
        let own = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench" && !["writers", "churn"].contains(&argument.as_str()))
            .collect::<Vec<_>>()
            .join(" ");
        let goal = match self.subject {
            Subject::Writers => "make bench-writers",
            Subject::Churn => "make bench-churn",
        };
        match own.as_str() {
            "" => goal.to_owned(),
            own => format!("{goal} ARGS=\"{own}\""),
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("want NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
