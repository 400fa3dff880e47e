//! What a subscriber has seen: the cursor, its set arithmetic and its text form.
//!
//! Ids come from a sequence when a row is inserted, rows become visible when their transaction commits; so "how far"
//! can't be said with one number. A cursor is the set of ids that were seen, kept as its complement, the [`OpenSet`].
//! Only this file knows a cursor's text:
//!
//! ```text
//! 4711.1050          everything up to 1050 was seen, in epoch 4711
//! 4711.1050~7        … except 1043, which is 7 below 1050
//! 4711.1050~1-4,7    … except 1046 to 1049 and 1043
//! ```
//!
//! Numbers are decimal, without a sign or leading zeros; the gaps stand nearest to `high` first. A set has exactly one
//! text and any other spelling of it is refused, so every text that was given out parses and renders to itself.

mod open_set;
#[cfg(test)]
mod tests;

use std::fmt;

pub use open_set::{IdRange, OpenSet};

/// The most ranges that a text holds; a set with more is abridged when it is rendered.
pub const MAX_TEXT_RANGES: usize = 512;

/// The longest text in bytes. A request head may have 16 KiB; this leaves a quarter of it to everything else, among it
/// the escapes of `~` and `,` in a query string (two bytes more each, 1 KiB in all).
pub const MAX_TEXT_BYTES: usize = 12 * 1024;

/// The highest epoch, 2^53. Epochs begin below 2^47 and are raised by one.
pub const MAX_EPOCH: i64 = 1 << 53;

/// A source's epoch and what was seen in it. Text: `EPOCH.HIGH` or `EPOCH.HIGH~GAPS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// 1 to [`MAX_EPOCH`].
    pub epoch: i64,
    /// What is still to be seen.
    pub open: OpenSet,
}

/// What a client may hand in as a place to resume from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// A cursor as this relay (or another of the same database) gave it out.
    Cursor(Cursor),
    /// A bare integer, zero or more: a row's id, a weak cursor.
    RowId(i64),
}

/// The text is neither a cursor that a relay gave out nor a row's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a cursor nor a row's id")]
pub struct InvalidCursor;

/// A cursor's text, rendered without building a [`Cursor`].
#[derive(Clone, Copy, Debug)]
pub struct CursorText<'a> {
    pub epoch: i64,
    pub open: &'a OpenSet,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CursorText {
            epoch: self.epoch,
            open: &self.open,
        }
        .fmt(f)
    }
}

/// Renders the cursor's text, at most [`MAX_TEXT_BYTES`] long.
///
/// Past [`MAX_TEXT_RANGES`] gaps (fewer where distances have more than ten digits) those with the fewest ids between
/// them are joined: the text then stands for a larger open set, which can repeat a row but never lose one.
impl fmt::Display for CursorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, gaps) = (self.open.high(), self.open.gaps());
        write!(f, "{}.{high}", self.epoch)?;
        let widest_joined = widest_joined(gaps, max_ranges(high));
        let mut separator = '~';
        let mut end = gaps.len();
        while end > 0 {
            let mut start = end - 1;
            while start > 0 && Some(ids_between(gaps, start - 1)) <= widest_joined {
                start -= 1;
            }
            let (near, far) = (high - gaps[end - 1].high, high - gaps[start].low);
            if near == far {
                write!(f, "{separator}{near}")?;
            } else {
                write!(f, "{separator}{near}-{far}")?;
            }
            separator = ',';
            end = start;
        }
        Ok(())
    }
}

/// How many ranges a text may hold so that it stays within [`MAX_TEXT_BYTES`]: no distance has more digits than `high`.
fn max_ranges(high: i64) -> usize {
    let digits = high.checked_ilog10().map_or(1, |log| log as usize + 1);
    let before_gaps = "9007199254740992.".len() + digits;
    let longest_range = "~-".len() + 2 * digits;
    MAX_TEXT_RANGES.min((MAX_TEXT_BYTES - before_gaps) / longest_range)
}

/// The number of seen ids between the gap at `index` and the next one, made unique by the index: the order in which
/// gaps are joined. Of equals the lower ids come first, since older gaps are the likelier to be dead by now.
fn ids_between(gaps: &[IdRange], index: usize) -> (i64, usize) {
    (gaps[index + 1].low - gaps[index].high - 1, index)
}

/// The last [`ids_between`] to be given up so that at most `max` ranges are left; `None` if they are no more anyway.
/// Linear by quickselect.
fn widest_joined(gaps: &[IdRange], max: usize) -> Option<(i64, usize)> {
    let excess = gaps.len().checked_sub(max + 1)?;
    let mut between: Vec<_> = (0..gaps.len() - 1)
        .map(|index| ids_between(gaps, index))
        .collect();
    Some(*between.select_nth_unstable(excess).1)
}

impl Resume {
    /// Reads what [`Cursor`] renders, or a bare integer from 0 to `i64::MAX`.
    ///
    /// # Errors
    ///
    /// Any other text: too long, too many ranges, signs, leading zeros, spaces, numbers out of range, gaps that are out
    /// of order, overlap, touch (one range says the same) or lie below id 1.
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvalidCursor);
        }
        let Some((epoch, position)) = text.split_once('.') else {
            return number(text).map(Self::RowId);
        };
        let epoch = number(epoch)?;
        if !(1..=MAX_EPOCH).contains(&epoch) {
            return Err(InvalidCursor);
        }
        let open = match position.split_once('~') {
            None => OpenSet::above(number(position)?),
            Some((high, gaps)) => parse_gaps(number(high)?, gaps)?,
        };
        Ok(Self::Cursor(Cursor { epoch, open }))
    }
}

/// Reads gaps written as distances below `high`, nearest first.
fn parse_gaps(high: i64, text: &str) -> Result<OpenSet, InvalidCursor> {
    let count = 1 + text.bytes().filter(|&byte| byte == b',').count();
    if count > MAX_TEXT_RANGES {
        return Err(InvalidCursor);
    }
    let mut gaps = Vec::with_capacity(count);
    // `high` itself was seen; after a gap, at least one seen id comes before the next.
    let mut nearest = 1;
    for range in text.split(',') {
        let (near, far) = match range.split_once('-') {
            None => number(range).map(|distance| (distance, distance))?,
            Some((near, far)) => Some((number(near)?, number(far)?))
                .filter(|(near, far)| near < far)
                .ok_or(InvalidCursor)?,
        };
        if near < nearest || far >= high {
            return Err(InvalidCursor);
        }
        gaps.push(IdRange {
            low: high - far,
            high: high - near,
        });
        nearest = far.saturating_add(2);
    }
    gaps.reverse();
    Ok(OpenSet::from_normal(high, gaps))
}

/// A number from 0 to `i64::MAX` in its only spelling.
fn number(text: &str) -> Result<i64, InvalidCursor> {
    let canonical = text == "0" || text.starts_with(|first: char| first.is_ascii_digit() && first != '0');
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidCursor);
    }
    text.parse().map_err(|_| InvalidCursor)
}
