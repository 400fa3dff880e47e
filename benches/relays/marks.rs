//! What a row carries so that its delivery can be judged: a mark with its place in its room and the time it was written.
//!
//! `@SEQ:000000000012:00000000012345678901@`, found again in whatever a server wraps around it, also where a read ends in
//! the middle. [`Window`] is the buffer that all connections read into, [`Tail`] what a connection keeps of it: 38 bytes.
//! `tests/it/marks.rs` has its tests.

use memchr::memmem::Finder;

const BEGIN: &[u8] = b"@SEQ:";
const SEQUENCE_DIGITS: usize = 12;
const TIME_DIGITS: usize = 20;

/// Bytes of a mark.
pub const LENGTH: usize = BEGIN.len() + SEQUENCE_DIGITS + 1 + TIME_DIGITS + 1;

/// Bytes of one read at most.
const READ: usize = 256 << 10;

/// One row's place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of the row in its room, from 1.
    pub sequence: u64,
    /// When it was about to be written: nanoseconds of CLOCK_MONOTONIC.
    pub written: u64,
}

impl Mark {
    /// The mark, filled up with `x` to `size` bytes; never less than the mark itself.
    pub fn body(self, size: usize) -> String {
        let Self { sequence, written } = self;
        let mut body = format!("@SEQ:{sequence:0SEQUENCE_DIGITS$}:{written:0TIME_DIGITS$}@");
        let padding = size.saturating_sub(body.len());
        body.extend(std::iter::repeat_n('x', padding));
        body
    }

    /// Of exactly a mark's bytes; `None`: something stands in its middle, as the border of an HTTP chunk.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = bytes.strip_prefix(BEGIN)?.strip_suffix(b"@")?;
        let (sequence, rest) = digits.split_at_checked(SEQUENCE_DIGITS)?;
        Some(Self {
            sequence: number(sequence)?,
            written: number(rest.strip_prefix(b":")?)?,
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// What one connection keeps of its last read: the beginning of a mark may be in it.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    bytes: [u8; LENGTH - 1],
    length: u8,
}

impl Tail {
    pub const EMPTY: Self = Self {
        bytes: [0; LENGTH - 1],
        length: 0,
    };

    fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Keeps the end of `unread`, as far as a mark could have begun there.
    fn keep(&mut self, unread: &[u8]) {
        let end = &unread[unread.len().saturating_sub(LENGTH - 1)..];
        self.bytes[..end.len()].copy_from_slice(end);
        self.length = end.len() as u8;
    }
}

/// The buffer that all connections read into, by turns.
pub struct Window {
    /// Before the place of a read there is room for a tail.
    bytes: Box<[u8]>,
    begin: Finder<'static>,
}

impl Window {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; LENGTH - 1 + READ].into_boxed_slice(),
            begin: Finder::new(BEGIN),
        }
    }

    /// Where the next read goes.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[LENGTH - 1..]
    }

    /// The bytes that were read.
    pub fn bytes(&self, read: std::ops::Range<usize>) -> &[u8] {
        &self.bytes[LENGTH - 1..][read]
    }

    /// The marks that have ended in this part of what was read, which follows on `tail`; `None` for each that is garbled.
    pub fn scan(
        &mut self,
        tail: &mut Tail,
        read: std::ops::Range<usize>,
        mut found: impl FnMut(Option<Mark>),
    ) {
        let from = LENGTH - 1 + read.start - usize::from(tail.length);
        // A part that does not begin the read: what stands before it belongs to nobody any more.
        self.bytes[from..LENGTH - 1 + read.start].copy_from_slice(tail.get());
        let mut unread = &self.bytes[from..LENGTH - 1 + read.end];
        while let Some(at) = self.begin.find(unread) {
            let Some(mark) = unread.get(at..at + LENGTH) else {
                break;
            };
            let mark = Mark::parse(mark);
            found(mark);
            unread = &unread[at + if mark.is_some() { LENGTH } else { BEGIN.len() }..];
        }
        tail.keep(unread);
    }
}

/// The marks of a whole text.
pub fn all(text: &[u8], mut found: impl FnMut(Option<Mark>)) {
    for at in memchr::memmem::find_iter(text, BEGIN) {
        found(text.get(at..at + LENGTH).and_then(Mark::parse));
    }
}
