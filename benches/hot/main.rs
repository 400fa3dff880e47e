//! The hot functions alone: `cargo bench --bench hot` for their time, `scripts/instructions.sh` for their instructions, which
//! differ little from machine to machine and from run to run.

mod subjects;

use std::str::FromStr as _;

use subjects::SUBJECTS;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--names") => SUBJECTS.iter().for_each(|subject| println!("{}", subject.name)),
        Some("--repeat") => repeat(&arguments[2..]),
        _ => divan::main(),
    }
}

/// The time of each, by its name.
#[divan::bench(args = SUBJECTS.iter().map(|subject| subject.name))]
fn hot(bencher: divan::Bencher, name: &str) {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name);
    let mut operation = (subject.expect("the names are theirs").ready)();
    bencher.bench_local(&mut operation);
}

/// `--repeat TIMES NAME`: one of them that often and nothing else, for who counts instructions.
fn repeat(arguments: &[String]) {
    let [times, name] = arguments else {
        panic!("--repeat TIMES NAME");
    };
    let times = u32::from_str(times).expect("TIMES is a number");
    let subject = SUBJECTS.iter().find(|subject| subject.name == name);
    let mut operation = (subject.expect("--names prints the names").ready)();
    (0..times).for_each(|_| operation());
}
