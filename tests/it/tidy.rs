//! Rules about the source that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules, lowest first: one may use its own layer and those below. ARCHITECTURE.md says why.
const LAYERS: [&[&str]; 10] = [
    &[
        "event",
        "room",
        "cursor",
        "config",
        "shutdown",
        "telemetry",
        "metrics",
        "pem",
    ],
    &["hub", "pg"],
    &["tail", "feed"],
    &["relay"],
    &["auth"],
    &["http"],
    &["app"],
    &["doctor"],
    &["cli", "demo"],
    &["allocator", "main"],
];

/// Of one layer, yet neither may know the other.
const STRANGERS: [(&str, &str); 2] = [("hub", "pg"), ("pg", "hub")];

/// Only these start tasks or threads: everyone can tell who ends them.
const SPAWNERS: [&str; 4] = ["app", "tail", "pg", "demo"];

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;

struct SourceFile {
    /// Relative to the package.
    path: PathBuf,
    text: String,
}

impl SourceFile {
    /// The module of `src/` that the file belongs to.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src").unwrap();
        inside
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
    }

    /// Whether the file is a module of unit tests: `tests.rs`, or inside of a folder `tests`.
    fn is_unit_test(&self) -> bool {
        self.path.starts_with("src") && self.path.iter().any(|part| part == "tests" || part == "tests.rs")
    }

    /// The lines that are neither comments nor tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        let program = match self.is_unit_test() {
            true => "",
            false => self.text.split("#[cfg(test)]").next().unwrap(),
        };
        program
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"))
    }
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files under `directory`, without what git ignores.
fn files(directory: &str) -> Vec<SourceFile> {
    let mut found = Vec::new();
    let mut unread = vec![package().join(directory)];
    while let Some(directory) = unread.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if [".git", "target", "node_modules"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                unread.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push(SourceFile {
                    path: path.strip_prefix(package()).unwrap().to_owned(),
                    text,
                });
            }
        }
    }
    found
}

fn rust_files(directory: &str) -> Vec<SourceFile> {
    files(directory)
        .into_iter()
        .filter(|file| file.path.extension().is_some_and(|suffix| suffix == "rs"))
        .collect()
}

/// Fails with all complaints, one a line.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn layer(module: &str) -> usize {
    let layer = LAYERS.iter().position(|layer| layer.contains(&module));
    layer.unwrap_or_else(|| panic!("give the module `{module}` its place in LAYERS"))
}

/// The modules of this crate that `code` names: `crate::a::…`, `crate::{a, b::{c, d}}`, `rowcast::a` (in `main.rs`).
fn used_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, prefix) in code
        .match_indices("crate::")
        .chain(code.match_indices("rowcast::"))
    {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c)) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            modules.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let is_end = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth < 0
        };
        let list = &list[..list.find(is_end).unwrap()];
        let mut depth = 0;
        let is_comma = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        };
        modules.extend(
            list.split(is_comma)
                .map(|item| name(item.trim()))
                .filter(|name| !name.is_empty()),
        );
    }
    modules
}

/// The identifier that `text` begins with.
fn name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn the_scan_sees_the_usual_forms_of_use() {
    let code = "use crate::pg::{bell, store}; use crate::{hub, room::{Room, RoomType}, event}; crate::tail::x(); $crate::no";
    assert_eq!(used_modules(code), ["pg", "hub", "room", "event", "tail"]);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .chain(rust_files("benches"))
        .filter(|file| !file.text.starts_with("//! "));
    none(
        silent
            .map(|file| format!("{} does not open with //!", file.path.display()))
            .collect(),
    );
}

#[test]
fn imports_point_down() {
    let mut complaints = Vec::new();
    for file in rust_files("src")
        .iter()
        .filter(|file| file.path != Path::new("src/lib.rs"))
    {
        let user = file.module();
        let code: Vec<&str> = file.code().collect();
        for used in used_modules(&code.join("\n")) {
            let is_module = [".rs", "/mod.rs"]
                .iter()
                .any(|rest| package().join(format!("src/{used}{rest}")).is_file());
            if is_module && (layer(&used) > layer(user) || STRANGERS.contains(&(user, used.as_str()))) {
                complaints.push(format!("{} uses crate::{used}", file.path.display()));
            }
        }
    }
    none(complaints);
}

#[test]
fn only_those_who_end_them_start_tasks() {
    let starts = |line: &str| {
        let tasks = [
            "tokio::spawn(",
            "task::spawn(",
            "thread::spawn(",
            "spawn_blocking(",
            "spawn_on(",
            "spawn_local(",
        ];
        let on_something = line
            .match_indices(".spawn(")
            .any(|(at, call)| !line[at + call.len()..].starts_with(')'));
        on_something || tasks.iter().any(|start| line.contains(start))
    };
    let mut complaints = Vec::new();
    for file in rust_files("src")
        .iter()
        .filter(|file| !SPAWNERS.contains(&file.module()))
    {
        let lines = file.code().filter(|line| starts(line));
        complaints.extend(lines.map(|line| format!("{}: {line}", file.path.display())));
    }
    none(complaints);
}

#[test]
fn every_public_path_stands_in_the_table_that_the_description_is_made_of() {
    let mut complaints = Vec::new();
    for file in rust_files("src")
        .iter()
        .filter(|file| file.module() == "http" && !file.path.ends_with("routes.rs"))
        .filter(|file| {
            !file.path.starts_with("src/http/admin") && file.path != Path::new("src/http/admin.rs")
        })
    {
        let lines = file.code().filter(|line| line.contains(".route("));
        complaints.extend(lines.map(|line| format!("{}: {line}", file.path.display())));
    }
    none(complaints);
}

#[test]
fn every_statement_is_used() {
    let sources = rust_files("src");
    let unused = files("sql").into_iter().filter(|statement| {
        let include = format!("{}\")", statement.path.display());
        !sources.iter().any(|source| source.text.contains(&include))
    });
    none(
        unused
            .map(|statement| format!("nobody includes {}", statement.path.display()))
            .collect(),
    );
}

#[test]
fn a_file_is_one_idea_and_a_function_one_thought() {
    let mut complaints = Vec::new();
    for file in rust_files("src")
        .iter()
        .chain(&rust_files("tests"))
        .chain(&rust_files("benches"))
    {
        let lines: Vec<&str> = file.text.lines().collect();
        if lines.len() > LONGEST_FILE {
            complaints.push(format!("{}: {} lines", file.path.display(), lines.len()));
        }
        // A test may be a table of cases, as long as there are cases.
        let functions = if file.path.starts_with("src") {
            &lines[..]
        } else {
            &[]
        };
        for (number, line) in functions.iter().enumerate() {
            let words = line.split('(').next().unwrap_or_default();
            if !words.split(' ').any(|word| word == "fn") || line.trim_start().starts_with("//") {
                continue;
            }
            // rustfmt puts the closing brace where the function began.
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            let length = 1 + lines[number..].iter().position(|line| *line == end).unwrap_or(0);
            if length > LONGEST_FUNCTION && !line.ends_with(';') {
                complaints.push(format!(
                    "{}:{}: {length} lines: {}",
                    file.path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    let mut complaints = Vec::new();
    for file in rust_files("src") {
        let lines = file.code().filter(|line| line.contains(".unwrap()"));
        complaints.extend(lines.map(|line| format!("{}: {line}", file.path.display())));
    }
    none(complaints);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let elsewhere = ["..", "shared"].join("/");
    let here = package().to_str().unwrap();
    // A checkout in `/src` would find itself everywhere.
    let here = (package().components().count() > 2).then_some(here);
    let mut complaints = Vec::new();
    for file in files("") {
        let named = [Some(elsewhere.as_str()), here]
            .into_iter()
            .flatten()
            .find(|name| file.text.contains(name));
        complaints.extend(named.map(|name| format!("{} names {name}", file.path.display())));
    }
    none(complaints);
}
