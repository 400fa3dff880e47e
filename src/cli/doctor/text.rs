//! Findings for people: 80 columns, what is in order in a line, what is not with its reason and what mends it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::doctor::{Finding, Report, Severity};

/// Of a line, in columns.
pub(super) const WIDTH: usize = 80;

/// Of a finding's severity, with the blanks around it.
const MARGIN: usize = 11;

/// A report, with colours; by source, the whole database first.
pub(super) fn of(report: &Report) -> String {
    let mut sources: Vec<Option<&str>> = vec![None];
    for finding in &report.findings {
        if !sources.contains(&finding.source.as_deref()) {
            sources.push(finding.source.as_deref());
        }
    }
    let mut text = String::new();
    let bold = Style::new().bold();
    for source in sources {
        let title = source.map_or_else(|| "Database".to_owned(), |name| format!("Source {name}"));
        let _ = writeln!(text, "{bold}{title}{bold:#}");
        for finding in report
            .findings
            .iter()
            .filter(|finding| finding.source.as_deref() == source)
        {
            write_finding(&mut text, finding);
        }
        if !text.ends_with("\n\n") {
            text.push('\n');
        }
    }
    text.push_str(&sum(report));
    text
}

fn write_finding(text: &mut String, finding: &Finding) {
    let (word, color) = match finding.severity {
        Severity::Ok => ("ok", AnsiColor::Green),
        Severity::Note => ("note", AnsiColor::Cyan),
        Severity::Warning => ("WARNING", AnsiColor::Yellow),
        Severity::Error => ("ERROR", AnsiColor::Red),
    };
    let style = Style::new().fg_color(Some(color.into()));
    let mut what = printable(&finding.what);
    if finding.severity > Severity::Ok {
        let _ = write!(what, " [{}]", finding.code);
    }
    for (number, line) in wrapped(&what).iter().enumerate() {
        let _ = match number {
            0 => writeln!(text, "  {style}{word:<8}{style:#} {line}"),
            _ => writeln!(text, "{:MARGIN$}{line}", ""),
        };
    }
    for line in finding.why.iter().flat_map(|why| wrapped(&printable(why))) {
        let _ = writeln!(text, "{:MARGIN$}{line}", "");
    }
    // As it stands, however long: it is to be pasted.
    if let Some(remedy) = &finding.remedy {
        let bold = Style::new().bold();
        let _ = writeln!(text, "{:MARGIN$}{bold}{}{bold:#}", "", printable(remedy));
    }
    if finding.why.is_some() {
        text.push('\n');
    }
}

fn sum(report: &Report) -> String {
    let sum = report.summary();
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}; {} in order.\n",
        count(sum.errors, "error"),
        count(sum.warnings, "warning"),
        count(sum.notes, "note"),
        sum.ok
    )
}

/// Lines that end at a blank and fit beside the margin; a longer word has one of its own.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH - MARGIN => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Names of others can't steer the terminal: control characters are escaped, as in Rust's strings.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&of(report)).to_string()
    }

    #[test]
    fn lines_fit_a_terminal_and_remedies_stay_whole() {
        let remedy = format!("grant select on public.{} to relay;", "x".repeat(80));
        let why = "why it matters ".repeat(20);
        let report = Report {
            findings: vec![
                Finding::ok("fine", "All is well"),
                Finding::error("bad", "something ".repeat(20))
                    .why(why)
                    .remedy(&*remedy)
                    .of("messages"),
            ],
        };
        let text = plain(&report);
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > WIDTH).collect();
        assert_eq!(long, [format!("{:MARGIN$}{remedy}", "")], "{text}");
        assert!(
            text.starts_with("Database\n  ok       All is well\n\nSource messages\n  ERROR    something"),
            "{text}"
        );
        assert!(text.contains("[bad]"), "{text}");
        assert!(
            text.ends_with("1 error, 0 warnings, 0 notes; 1 in order.\n"),
            "{text}"
        );
    }

    #[test]
    fn names_can_not_steer_the_terminal() {
        let report = Report {
            findings: vec![Finding::note("odd", "table \u{1b}[31m\r\u{9b}1m").remedy("drop \u{7};")],
        };
        let text = plain(&report);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(
            text.contains("\\u{1b}[31m\\r\\u{9b}1m") && text.contains("\\u{7}"),
            "{text:?}"
        );
    }
}
