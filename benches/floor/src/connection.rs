//! A persistent HTTP/1.1 connection with blocking reads and writes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::str;

/// A connection and the last response read from it.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    request: Vec<u8>,
    response: Vec<u8>,
    head_bytes: usize,
    /// Number of bytes of `response` that are valid. The rest is reused for the next response.
    filled: usize,
}

impl Connection {
    /// Connects to `host`, a name or an address, with its port.
    pub(crate) fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: host.to_owned(), request: Vec::new(), response: Vec::new(), head_bytes: 0, filled: 0 })
    }

    /// Sends a request with a single write. Each line of `headers` ends with CRLF.
    pub(crate) fn send(&mut self, method_and_path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        self.request.clear();
        write!(self.request, "{method_and_path} HTTP/1.1\r\nhost: {}\r\n{headers}", self.host)?;
        write!(self.request, "content-length: {}\r\n\r\n", body.len())?;
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request)
    }

    /// Reads a complete response.
    pub(crate) fn receive(&mut self) -> io::Result<&Self> {
        const READ_BYTES: usize = 64 * 1024;
        let mut read = 0;
        let mut expected = None;
        self.head_bytes = 0;
        while expected.is_none_or(|expected| read < expected) {
            let wanted = expected.unwrap_or(0).max(read + READ_BYTES);
            if self.response.len() < wanted {
                self.response.resize(wanted, 0);
            }
            let count = self.stream.read(self.response.get_mut(read..).unwrap_or_default())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += count;
            if expected.is_none()
                && let Some(end) = memchr::memmem::find(self.response.get(..read).unwrap_or_default(), b"\r\n\r\n")
            {
                self.head_bytes = end + 4;
                let length = self.header("content-length").and_then(|value| value.parse::<usize>().ok());
                expected = Some(self.head_bytes + length.unwrap_or(0));
            }
        }
        self.filled = read;
        Ok(self)
    }

    /// Returns a header of the response.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = str::from_utf8(self.response.get(..self.head_bytes)?).ok()?;
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Returns the body of the response.
    pub(crate) fn body(&self) -> &[u8] {
        self.response.get(self.head_bytes..self.filled).unwrap_or_default()
    }
}
