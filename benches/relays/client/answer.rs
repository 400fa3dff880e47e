//! An HTTP/1.1 answer as it comes: its head, and of long polls its body (RFC 9112, 6 and 7.1).

use std::borrow::Cow;

use anyhow::Context as _;

use crate::peers::header;

/// A head longer than this is no server's that is measured here.
const LONGEST_HEAD: usize = 64 << 10;

/// An answer that is complete.
pub struct Whole<'a> {
    pub head: &'a [u8],
    /// Without the framing of chunks.
    pub body: Cow<'a, [u8]>,
}

/// An answer under way.
#[derive(Default)]
pub struct Answer {
    /// Head and body, as far as they came.
    bytes: Vec<u8>,
    /// Bytes of the head, with its empty line, once it is there.
    head: Option<usize>,
}

impl Answer {
    /// Takes what was read; `true` once the head is there.
    ///
    /// Errors: the status is none that a subscriber can go on with; the start of the answer is in the message.
    pub fn take(&mut self, read: &[u8]) -> anyhow::Result<bool> {
        self.bytes.extend_from_slice(read);
        if self.head.is_none()
            && let Some(at) = memchr::memmem::find(&self.bytes, b"\r\n\r\n")
        {
            let status = status(&self.bytes);
            anyhow::ensure!(
                matches!(status, Some(200 | 204 | 304)),
                "a subscriber is answered with {}",
                String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(500)])
            );
            self.head = Some(at + 4);
        }
        anyhow::ensure!(
            self.head.is_some() || self.bytes.len() < LONGEST_HEAD,
            "an answer's head has no end"
        );
        Ok(self.head.is_some())
    }

    /// Has nothing come yet?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of the body that have come.
    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - self.head.unwrap_or(self.bytes.len())
    }

    /// `None`: more is to come.
    ///
    /// Errors: neither a length nor chunks, or what says it is chunks is none.
    pub fn complete(&self) -> anyhow::Result<Option<Whole<'_>>> {
        let Some(at) = self.head else {
            return Ok(None);
        };
        let (head, body) = self.bytes.split_at(at);
        let whole = |body| Some(Whole { head, body });
        if matches!(status(head), Some(204 | 304)) {
            return Ok(whole(Cow::Borrowed(&[])));
        }
        if let Some(length) = header(head, "content-length") {
            let length: usize = std::str::from_utf8(length)?.parse()?;
            return Ok(match body.len() >= length {
                true => whole(Cow::Borrowed(body)),
                false => None,
            });
        }
        let coding = header(head, "transfer-encoding").context("an answer without a length")?;
        anyhow::ensure!(
            coding.eq_ignore_ascii_case(b"chunked"),
            "neither length nor chunks"
        );
        // No trailers: the last chunk and an empty line.
        if !body.ends_with(b"0\r\n\r\n") {
            return Ok(None);
        }
        let body = unchunked(body).context("an answer of broken chunks")?;
        Ok(whole(Cow::Owned(body)))
    }

    /// Forgets it, for the next one; its memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.head = None;
    }
}

/// The status of an answer.
fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// The chunks' contents in one.
fn unchunked(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = memchr::memmem::find(chunks, b"\r\n")?;
        let size = chunks[..line].split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(chunks.get(line + 2..line + 2 + size)?);
        chunks = chunks.get(line + 2 + size + 2..)?;
    }
}
