//! Starts moto's server, an emulator of AWS services. `make test-moto` puts it on the path.

pub(crate) mod sending;
pub(crate) mod web;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Maximum number of attempts to connect to the starting server.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Returns a command for the tool with the default action for SIGHUP. If the tests run under `nohup`, the tool would inherit
/// that SIGHUP is ignored.
pub(crate) fn tool() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_ingest")]);
    command
}

/// A moto server, which is stopped when the test ends. Code that outlives the test, such as another server's thread, uses its
/// [`Address`].
pub(crate) struct Moto {
    process: Child,
    address: Address,
}

/// Address of a server. It does not keep the server running.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    port: u16,
}

impl std::ops::Deref for Moto {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

impl Moto {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("moto_server")
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server is not on the path: make test-moto");
        let moto = Self { process, address: Address { port } };
        for _ in 0..TRIES {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return moto;
            }
            sleep(PAUSE);
        }
        panic!("moto_server did not start");
    }
}

impl Address {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the port, which no other test uses at the same time.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs `ingest` with this server as the endpoint of all services.
    pub(crate) fn ingest(&self, arguments: &[&str]) -> Output {
        self.ingest_with(arguments, &[])
    }

    /// Runs `ingest` as [`Self::ingest`] does, with additional environment variables, for example for the endpoint of one
    /// service.
    pub(crate) fn ingest_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ingest"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .env("AWS_ENDPOINT_URL", self.url())
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .envs(variables.iter().copied())
            .env_remove("AWS_PROFILE")
            .output()
            .unwrap()
    }

    /// Makes an unsigned call with the JSON protocol. moto reads only the service name from the signature.
    pub(crate) fn json(&self, service: &str, target: &str, body: &str) -> String {
        self.send(
            service,
            "POST",
            "/",
            &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)],
            body,
        )
    }

    /// Returns the body of the response to a request.
    pub(crate) fn send(&self, service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nauthorization: {scope}, SignedHeaders=host, \
             Signature=0\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(" 200 ") || head.contains(" 201 ") || head.contains(" 202 "),
            "{method} {path}: {response}"
        );
        body.to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
