//! The codes of findings: none that README does not list, none that no test provokes.

use std::fs;
use std::path::Path;

/// For words that none of the others fits: nothing has them yet.
const FOR_WHAT_IS_NEW: [&str; 2] = ["fault", "attach_warning"];

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files of a folder with this ending, as one text.
fn folder(path: &str, ending: &str) -> String {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let of_these = paths.filter(|path| path.extension().is_some_and(|extension| extension == ending));
    of_these
        .map(|path| fs::read_to_string(path).expect("a text"))
        .collect()
}

/// What stands in README's table of codes.
fn documented() -> Vec<String> {
    let readme = file("README.md");
    let (_, section) = readme.split_once("## rowcast doctor").expect("its section");
    let (_, table) = section.split_once("| | codes |").expect("its table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let codes = rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned));
    codes.collect()
}

/// The words in quotes that follow `before` in a text, where they look like a code.
fn after<'a>(text: &'a str, before: &'a str, quote: char) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| {
        let (code, _) = rest.trim_start().strip_prefix(quote)?.split_once(quote)?;
        code.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            .then_some(code)
    })
}

/// Fails for a code that README lacks.
pub fn is_documented(code: &str) {
    assert!(
        documented().iter().any(|known| known == code),
        "README lacks `{code}`"
    );
}

#[test]
fn every_code_of_the_source_is_documented() {
    let rust = folder("src/doctor", "rs");
    let sql =
        ["check_source", "doctor_warnings", "list_sources"].map(|name| file(&format!("sql/{name}.sql")));
    let mut codes: Vec<&str> = ["ok(", "note(", "warning(", "error("]
        .into_iter()
        .flat_map(|kind| after(&rust, kind, '"'))
        .collect();
    codes.extend(
        sql[..2]
            .iter()
            .flat_map(|sql| after(sql, "then", '\'').chain(after(sql, "else", '\''))),
    );
    codes.extend(after(&sql[2], "array[", '\''));
    assert!(codes.len() > 50, "{codes:?}");
    codes.into_iter().for_each(is_documented);
}

#[test]
fn every_documented_code_has_a_test() {
    let tests = file("tests/it/doctor.rs") + &folder("tests/it/doctor", "rs");
    let untested: Vec<String> = documented()
        .into_iter()
        .filter(|code| !FOR_WHAT_IS_NEW.contains(&code.as_str()) && !tests.contains(&format!("\"{code}\"")))
        .collect();
    assert!(untested.is_empty(), "no test provokes {untested:?}");
}
