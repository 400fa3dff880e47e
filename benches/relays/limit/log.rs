//! The frames of one room, as they go into sockets, and who gets them.

use std::io::{self, Write as _};
use std::net::TcpStream;

use crate::clock;
use crate::marks::Mark;

use super::Form;

/// A room's frames of this run, and its subscribers.
#[derive(Default)]
pub struct Log {
    /// All frames of the run, one behind the other, each an HTTP chunk.
    frames: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// The number of the last row.
    sequence: u64,
    sockets: Vec<Place>,
}

/// A socket, and how much of the frames it has.
struct Place {
    socket: TcpStream,
    bytes: usize,
    /// The frame that is next.
    frame: usize,
}

impl Log {
    /// One more subscriber: it gets what comes from now on.
    pub fn subscribe(&mut self, socket: TcpStream) {
        self.sockets.push(Place {
            socket,
            bytes: self.frames.len(),
            frame: self.ends.len(),
        });
    }

    /// A new run: everybody has everything.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.ends.clear();
        for place in &mut self.sockets {
            (place.bytes, place.frame) = (0, 0);
        }
    }

    /// Appends a row as Rowcast frames it.
    pub fn append(&mut self, id: u64, room: usize, size: usize) {
        self.sequence += 1;
        let mark = Mark {
            sequence: self.sequence,
            written: clock::now(),
        };
        let body = mark.body(size);
        let frame = format!(
            "id: 52750470111640.{id}\ndata: {{\"op\":\"insert\",\"id\":{id},\"room\":\"room-{room}\",\
             \"row\":{{\"id\":{id},\"room\":\"room-{room}\",\"body\":\"{body}\"}}}}\n\n"
        );
        self.frames
            .extend_from_slice(format!("{:x}\r\n{frame}\r\n", frame.len()).as_bytes());
        self.ends.push(self.frames.len());
    }

    /// Writes to each socket what waits for it, as far as it takes it. Sockets that are closed are dropped.
    /// Returns whether all have everything.
    pub fn write(&mut self, form: Form) -> bool {
        let (frames, ends) = (&self.frames, &self.ends);
        let mut all = true;
        self.sockets
            .retain_mut(|place| match place.write(frames, ends, form) {
                Ok(has_all) => {
                    all &= has_all;
                    true
                }
                Err(_) => false,
            });
        all
    }
}

impl Place {
    fn write(&mut self, frames: &[u8], ends: &[usize], form: Form) -> io::Result<bool> {
        while self.bytes < frames.len() {
            let end = match form {
                Form::Each => ends[self.frame],
                Form::Joined => frames.len(),
            };
            match self.socket.write(&frames[self.bytes..end]) {
                Ok(written) => self.bytes += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.bytes == end {
                self.frame = if form == Form::Each {
                    self.frame + 1
                } else {
                    ends.len()
                };
            }
        }
        Ok(true)
    }
}
