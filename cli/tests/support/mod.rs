//! moto's server, started by the tests: AWS's services on one machine. `make test-moto` puts it on the path.

pub(crate) mod sending;
pub(crate) mod web;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How long the server may take to start.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// The tool, which takes SIGHUP although the tests may run under `nohup`: there it would leave the signal alone.
pub(crate) fn tool() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_ingest")]);
    command
}

/// A server of its own, ended with the test. What outlives the test, such as the thread of another server, has its [`Address`].
pub(crate) struct Moto {
    process: Child,
    address: Address,
}

/// Address of a server. It does not keep the server up.
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

    /// No other test has it at the same time.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `ingest` with this server for AWS.
    pub(crate) fn ingest(&self, arguments: &[&str]) -> Output {
        self.ingest_with(arguments, &[])
    }

    /// The same with further variables, such as the endpoint of one service.
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

    /// A call of the JSON protocol, unsigned: moto looks at the service's name in the signature and at nothing else.
    pub(crate) fn json(&self, service: &str, target: &str, body: &str) -> String {
        self.send(
            service,
            "POST",
            "/",
            &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)],
            body,
        )
    }

    /// The body of the response to a request.
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
