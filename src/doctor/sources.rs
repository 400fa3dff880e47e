//! One source: whether it can be followed, its triggers, its ids, and (in [`super::plans`]) how PostgreSQL reads it.

use super::{Examination, Finding, plans};
use crate::pg::authorize::Authorizer;
use crate::pg::examine::{self, Ids, Trigger};
use crate::pg::source::{self, Broken, Fault, Listed, Source};

/// The part of all ids from which on it is time to think of a wider type.
const NEARLY_ALL: f64 = 0.8;

/// What the first look of a source left out can be told by.
const MISSING_PRIVILEGE: &str = "missing_privilege";

impl Examination<'_> {
    /// Makes every check of one source that its state allows.
    pub(super) async fn source(&mut self, listed: Listed) {
        let name = listed.name.as_str();
        let may_be_read = match &listed.source {
            Ok(_) => true,
            Err(reason) => {
                self.broken(name, reason);
                false
            }
        };
        let is_there = may_be_read || matches!(&listed.source, Err(reason) if is_of_the_role(reason));
        // What is locked is locked for the next check, too.
        if !is_there || !self.catalog(name).await {
            return;
        }
        let Ok(source) = &listed.source else { return };
        let table = format!("source {name}: {}", source.relation);
        let mut ids = None;
        let is_done = self
            .check(&table, Some(name), async |session| {
                ids = examine::ids(session, source).await?;
                Ok(ids.as_ref().map_or_else(Vec::new, |ids| judge_ids(source, ids)))
            })
            .await;
        if !is_done {
            return;
        }
        let Some(ids) = ids else { return };
        self.check(&format!("{table}, plans"), Some(name), async |session| {
            let plans = examine::plans(session, source).await?;
            Ok(plans::judge(source, &plans, &ids))
        })
        .await;
        self.question(source).await;
    }

    /// What the registry says of a source that can't be followed. A privilege is said with all others of its kind.
    fn broken(&mut self, name: &str, reason: &Broken) {
        let is_said = reason.code == MISSING_PRIVILEGE
            && self
                .findings
                .iter()
                .any(|finding| finding.code == MISSING_PRIVILEGE && finding.source.as_deref() == Some(name));
        if is_said {
            return;
        }
        let found = Finding::error(
            reason.code.clone(),
            format!("The source can't be followed: {}", reason.problem),
        )
        .why("The relay serves nothing of it: its paths answer 503.")
        .of(name);
        let remedy = match (reason.code.as_str(), &reason.remedy) {
            (_, Some(remedy)) if remedy.starts_with("grant ") => Some(remedy.clone()),
            ("row_security", _) => Some(format!(
                "alter role {} bypassrls;    -- as a superuser; or run the relay as the table's owner",
                self.role
            )),
            ("table_gone", _) => Some(format!("select rowcast.detach('{name}');")),
            ("column_gone" | "column_type" | "journal_gone" | "bell_gone" | "no_sequence", _) => Some(
                "rowcast attach TABLE --room COLUMN    # again, as it is now: subscribers are reset"
                    .to_owned(),
            ),
            _ => None,
        };
        self.findings.push(match remedy {
            Some(remedy) => found.remedy(remedy),
            None => found,
        });
    }

    /// What the catalog says: faults, triggers, and what attach would warn of.
    /// Returns whether it could be asked.
    async fn catalog(&mut self, name: &str) -> bool {
        // What is looked at more closely elsewhere, or stands in the registry's answer, too.
        let mut said = vec!["trigger".into(), MISSING_PRIVILEGE.into()];
        let of_this = self
            .findings
            .iter()
            .filter(|finding| finding.source.as_deref() == Some(name));
        said.extend(of_this.map(|finding| finding.code.clone()));
        self.check(&format!("source {name}: triggers"), Some(name), async |session| {
            let faults = source::faults(session, name).await?;
            let news = faults
                .iter()
                .filter(|fault| !said.contains(&fault.code.as_str().into()));
            let mut found: Vec<Finding> = news.map(judge_fault).collect();
            let triggers = examine::triggers(session, name).await?;
            found.extend(triggers.iter().map(judge_trigger));
            if triggers.is_empty() {
                found.push(Finding::ok("triggers", "Its triggers are as they should be"));
            }
            let remarks = examine::remarks(session, name).await?;
            found.extend(remarks.into_iter().map(|remark| {
                Finding::new(super::Severity::Note, remark.code, sentence(&remark.problem))
                    .why("Attach has said so, too. It works within these limits.")
            }));
            Ok(found)
        })
        .await
    }

    /// Whether `--authorize-sql` fits the rooms of this source.
    async fn question(&mut self, source: &Source) {
        let Some(statement) = self.options.authorize_sql.clone() else {
            return;
        };
        (self.progress)("--authorize-sql");
        let asked = Authorizer::new(self.database.clone(), statement);
        let found = match asked.check_statement(source).await {
            Ok(()) => Finding::ok("authorize_sql", "--authorize-sql fits its rooms"),
            Err(error) => Finding::error("authorize_sql", error.to_string())
                .why("Nobody may read this source while its question has no answer."),
        };
        self.findings.push(found.of(&source.name));
    }
}

/// Whether the source is in order, only not for this role.
fn is_of_the_role(reason: &Broken) -> bool {
    [MISSING_PRIVILEGE, "row_security"].contains(&reason.code.as_str())
}

fn judge_fault(fault: &Fault) -> Finding {
    if fault.code == "time_column" {
        return Finding::warning(fault.code.clone(), sentence(&fault.problem))
            .why("Rows arrive all the same, but rowcast_commit_to_socket_seconds stays empty.")
            .remedy(fault.remedy.clone());
    }
    let why = match fault.code.as_str() {
        "sequence_settings" | "no_sequence" | "partition_sequence" | "subscription" => {
            "The rule that tells lost ids from late ones needs ids that inserts draw one by one from one sequence: rows can be \
             missed. A journal (rowcast attach … --journal) does without."
        }
        "inheritance_children" | "foreign_partition" => {
            "Rows that are inserted there are not seen, or judged wrongly."
        }
        "row_security" => {
            "Rows that the role may not see would be missing without a word, so nothing is read."
        }
        "no_unique_index" => "Of two rows with one id or key, one would be lost.",
        "journal_owner" => "Every insert of the application fails.",
        "journal_function" => "New partitions can't be made.",
        _ => "Rows can be missed.",
    };
    Finding::error(fault.code.clone(), sentence(&fault.problem))
        .why(why)
        .remedy(fault.remedy.clone())
}

fn judge_trigger(trigger: &Trigger) -> Finding {
    let name = &trigger.name;
    let (code, what) = match trigger.state.as_str() {
        "missing" if trigger.is_partition => (
            "partition_without_triggers",
            format!("Partition {} lacks trigger {name}", trigger.member),
        ),
        "missing" => (
            "trigger_missing",
            format!("Trigger {name} on {} is missing", trigger.member),
        ),
        "disabled" => (
            "trigger_disabled",
            format!("Trigger {name} on {} is {}", trigger.member, trigger.enabled),
        ),
        state => (
            "trigger_wrong",
            format!(
                "Trigger {name} on {} is not what attach would make ({state})",
                trigger.member
            ),
        ),
    };
    let bare = name.trim_start_matches('!');
    let why = if bare.starts_with("rowcast_xid_") {
        "Inserts may draw an id before their transaction has one: rows can be missed."
    } else if bare.starts_with("rowcast_bell_") {
        "Inserts there do not ring: they arrive up to a second later."
    } else if bare.starts_with("rowcast_truncate_") {
        "After a TRUNCATE subscribers are not reset, and go on showing rows that are gone."
    } else {
        "Changes there are not written down: they are no events."
    };
    let found = match bare.starts_with("rowcast_bell_") {
        true => Finding::warning(code, what),
        false => Finding::error(code, what),
    };
    found.why(why).remedy(trigger.remedy.clone())
}

fn judge_ids(source: &Source, ids: &Ids) -> Vec<Finding> {
    let mut found = Vec::new();
    let Ids {
        highest,
        drawn,
        seen,
        sequence,
        ..
    } = ids;
    if highest > drawn {
        let what = format!(
            "Ids go up to {highest}, and sequence {sequence} stands at {drawn}: ids were given, not drawn"
        );
        let relation = source
            .journal
            .as_ref()
            .map_or(&source.relation, |journal| &journal.relation);
        let id = match &source.journal {
            Some(_) => "id",
            None => source.id_column.as_deref().unwrap_or("id"),
        };
        found.push(
            Finding::warning("ids_above_sequence", what)
                .why("The sequence comes to these numbers: inserts fail then, or rows below it are outside of the promise.")
                .remedy(format!(
                    "select pg_catalog.setval('{}', (select max({id}) from {relation}));",
                    sequence.replace('\'', "''")
                )),
        );
    }
    if seen > drawn {
        let what =
            format!("Sequence {sequence} was set back: it stands at {drawn}, and ids up to {seen} were seen");
        found.push(Finding::warning("sequence_set_back", what).why(
            "Ids are used again. Every subscriber is reset (code epoch or truncated) once a relay reads.",
        ));
    } else if ids.is_anew {
        let what = format!("Sequence {sequence} was altered or restarted since a relay last read");
        found.push(
            Finding::note("sequence_altered", what)
                .why("Every subscriber is reset (code epoch or truncated) once a relay reads, in case ids are used again."),
        );
    }
    found.extend(nearly_used_up(source, ids));
    found.extend(bell(ids));
    if found.is_empty() {
        found.push(Finding::ok("ids", "Its ids and their sequence agree"));
    }
    found
}

fn nearly_used_up(source: &Source, ids: &Ids) -> Option<Finding> {
    let Ids {
        drawn,
        most,
        sequence,
        ..
    } = ids;
    if (*drawn as f64) < *most as f64 * NEARLY_ALL {
        return None;
    }
    let id = source.id_column.as_deref().unwrap_or("id");
    let what = format!("Sequence {sequence} stands at {drawn} of {most}");
    let found = Finding::warning("sequence_nearly_used_up", what)
        .why("At its end inserts fail. To widen the column rewrites the table.")
        .remedy(format!(
            "alter table {} alter column {id} type bigint; alter sequence {sequence} as bigint no maxvalue;",
            source.relation
        ));
    Some(found)
}

fn bell(ids: &Ids) -> Option<Finding> {
    if ids.bell_is_public {
        return None;
    }
    let what = format!("Not every role may look at the bell {}", ids.bell);
    let found = Finding::warning("bell_not_public", what)
        .why("Inserts of roles that may not ring each time, also while the relay polls: their commits wait for each other.")
        .remedy(format!("grant select on sequence {} to public;", ids.bell));
    Some(found)
}

/// With a capital at its beginning, unless that is the name of a table: those have their schema before them.
fn sentence(words: &str) -> String {
    let first = words.split(' ').next().unwrap_or_default();
    let mut letters = words.chars();
    match letters.next() {
        Some(letter) if !first.contains(['.', '"']) => letter.to_uppercase().chain(letters).collect(),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn a_sentence_begins_with_a_capital_but_a_name_stays_as_it_is() {
        assert_eq!(sentence("no unique index"), "No unique index");
        assert_eq!(sentence("public.rows is unlogged"), "public.rows is unlogged");
        assert_eq!(sentence("\"id\" is unique only"), "\"id\" is unique only");
        assert_eq!(sentence(""), "");
    }
}
