//! Parameters whose values must not reach a log: the driver writes its parameters there when it is asked to (`debug`).

use std::error::Error;
use std::fmt;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// A value in PostgreSQL's text form, of any type: the server parses it as it parses a literal.
pub(super) struct Unlogged<'a>(pub &'a str);

impl fmt::Debug for Unlogged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Unlogged<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::Unlogged;

    #[test]
    fn its_value_is_in_no_log() {
        assert_eq!(format!("{:?}", Unlogged("s3cret")), "…");
    }
}
