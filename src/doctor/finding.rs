//! What is found: each with a stable code, why it matters, and what mends it.

use std::borrow::Cow;

use serde::Serialize;

/// How bad a finding is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Looked at, and in order.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// It works, but slower, or rows can be late, or it will end badly.
    Warning,
    /// Rows are missed, or a source can't be followed at all.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// In `snake_case`, stable; README lists them.
    pub code: Cow<'static, str>,
    /// The source that it is about; `None`: the whole database.
    pub source: Option<String>,
    /// One sentence, without a full stop.
    pub what: String,
    /// Why it matters; `None` where all is in order.
    pub why: Option<String>,
    /// A statement or an option, to be pasted as it stands; `None` where none is known, or needed.
    pub remedy: Option<String>,
}

impl Finding {
    /// Of the whole database, until [`Finding::of`] says otherwise.
    pub fn new(severity: Severity, code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self {
            severity,
            code: code.into(),
            source: None,
            what: what.into(),
            why: None,
            remedy: None,
        }
    }

    pub fn ok(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, code, what)
    }

    pub fn note(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, what)
    }

    pub fn warning(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, what)
    }

    pub fn error(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, what)
    }

    /// Of one source.
    pub fn of(mut self, source: &str) -> Self {
        self.source = Some(source.to_owned());
        self
    }

    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// All that was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
}

/// A report in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub ok: usize,
    pub notes: usize,
    pub warnings: usize,
    pub errors: usize,
    /// Of all findings.
    pub worst: Severity,
    pub exit_code: u8,
}

impl Report {
    pub fn summary(&self) -> Summary {
        let of = |severity| {
            let found = self.findings.iter();
            found.filter(|finding| finding.severity == severity).count()
        };
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        let worst = worst.unwrap_or(Severity::Ok);
        Summary {
            ok: of(Severity::Ok),
            notes: of(Severity::Note),
            warnings: of(Severity::Warning),
            errors: of(Severity::Error),
            worst,
            exit_code: exit_code(worst),
        }
    }
}

/// 1 is a command that failed and 2 a wrong command line, so findings begin above.
fn exit_code(worst: Severity) -> u8 {
    match worst {
        Severity::Ok | Severity::Note => 0,
        Severity::Warning => 3,
        Severity::Error => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let mut report = Report::default();
        let mut codes = vec![report.summary().exit_code];
        for severity in [
            Severity::Ok,
            Severity::Note,
            Severity::Warning,
            Severity::Error,
            Severity::Ok,
        ] {
            report.findings.push(Finding::new(severity, "code", "what"));
            codes.push(report.summary().exit_code);
        }
        assert_eq!(codes, [0, 0, 0, 3, 4, 4]);
        let summary = report.summary();
        assert_eq!((summary.ok, summary.worst), (2, Severity::Error));
    }
}
