//! Statements with place holders for what can't be a parameter: names of tables, columns and types.

/// A file of `sql/` without the comment at its head, to be a part of a statement.
pub(super) fn body(file: &str) -> &str {
    let mut rest = file;
    while let Some(comment) = rest.strip_prefix("--") {
        rest = comment.split_once('\n').map_or("", |(_, below)| below);
    }
    rest
}

/// Replaces each `{name}` that `value` knows.
pub(super) fn fill_template<'a>(template: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        filled.push_str(before);
        let known = tail
            .find('}')
            .and_then(|close| Some((close, value(&tail[1..close])?)));
        match known {
            Some((close, text)) => {
                filled.push_str(text);
                rest = &tail[close + 1..];
            }
            None => {
                filled.push('{');
                rest = &tail[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::{body, fill_template};

    #[test]
    fn the_body_of_a_file_begins_below_its_comment() {
        assert_eq!(body("-- a\n--b\nselect 1 -- c\n"), "select 1 -- c\n");
        assert_eq!(body("-- a"), "");
    }

    #[test]
    fn a_template_is_filled_in_one_pass() {
        let id = "\"{room}\"".to_owned();
        let filled = fill_template("a {id} b {unknown} {id}", |name| {
            (name == "id").then_some(id.as_str())
        });
        assert_eq!(filled, "a \"{room}\" b {unknown} \"{room}\"");
    }
}
