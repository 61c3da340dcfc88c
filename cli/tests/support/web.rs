//! An HTTP server with fixed responses, for services without an emulator.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The parts of a request on which a response can depend.
pub(crate) struct Asked {
    /// Method and path, for example `GET /subjects`.
    pub(crate) line: String,
    /// Headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A response: status, additional headers and body.
type Answered<B> = (u16, Vec<(&'static str, String)>, B);

/// Serves the responses of `answer`, a status and a body, until the process ends. Returns the URL.
pub(crate) fn serve<B: Into<Vec<u8>> + 'static>(answer: impl Fn(&Asked) -> (u16, B) + Send + Sync + 'static) -> String {
    serve_with_headers(move |asked| {
        let (status, body) = answer(asked);
        (status, Vec::new(), body)
    })
}

/// Serves responses with additional headers. See [`serve`].
pub(crate) fn serve_with_headers<B: Into<Vec<u8>> + 'static>(
    answer: impl Fn(&Asked) -> Answered<B> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || one(stream, &*answer));
        }
    });
    url
}

fn one<B: Into<Vec<u8>>>(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Answered<B>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let line = first.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let (status, headers, answered) = answer(&Asked { line, headers, body: String::from_utf8(body).unwrap() });
    let answered = answered.into();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = answered.len();
    write!(stream, "HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n").unwrap();
    stream.write_all(&answered).unwrap();
}
