//! A Lambda Runtime API that differs from Lambda's own: paths and deadlines of an emulator, responses that cannot be delivered,
//! and an API that stops before the process does.

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// A Runtime API server and the calls it received.
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    posts: mpsc::UnboundedReceiver<(String, Value)>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    deadline_ms: String,
    events: Mutex<Vec<String>>,
    /// Responses to the next requests for an invocation, after each of which the connection is closed.
    broken_nexts: Mutex<VecDeque<&'static str>>,
    waiting: Semaphore,
    /// Number of function responses whose connection is closed before they are acknowledged.
    broken_answers: Mutex<usize>,
    posts: mpsc::UnboundedSender<(String, Value)>,
}

impl RuntimeApi {
    /// Starts a server that passes `deadline_ms` as every invocation's deadline and breaks the first `broken_answers` function
    /// responses.
    pub async fn start(deadline_ms: &str, broken_answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posts) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            deadline_ms: deadline_ms.to_owned(),
            events: Mutex::default(),
            broken_nexts: Mutex::default(),
            waiting: Semaphore::new(0),
            broken_answers: Mutex::new(broken_answers),
            posts: sender,
        });
        let served = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&served)));
            }
        });
        Self { address, shared, posts, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn submit(&self, event: &Value) {
        self.shared.events.lock().unwrap().insert(0, event.to_string());
        self.shared.waiting.add_permits(1);
    }

    /// Responds to a request for an invocation with `response` and closes the connection.
    pub fn break_next(&self, response: &'static str) {
        self.shared.broken_nexts.lock().unwrap().push_back(response);
        self.shared.waiting.add_permits(1);
    }

    /// Returns the path and body of the next call that delivers a response or an error.
    pub async fn post(&mut self) -> (String, Value) {
        tokio::time::timeout(Duration::from_secs(20), self.posts.recv()).await.expect("a call in time").unwrap()
    }

    /// Stops the API, as an emulator does.
    pub fn stop(&self) {
        self.server.abort();
    }
}

async fn serve(connection: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            connection.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.ok()?;
        let response = if path.ends_with("/runtime/invocation/next") {
            shared.waiting.acquire().await.unwrap().forget();
            let broken = shared.broken_nexts.lock().unwrap().pop_front();
            if let Some(response) = broken {
                connection.get_mut().write_all(response.as_bytes()).await.ok()?;
                return None;
            }
            let event = shared.events.lock().unwrap().pop().unwrap();
            format!(
                "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {path}\r\nlambda-runtime-deadline-ms: {}\r\n\
                 lambda-runtime-invoked-function-arn: arn\r\ncontent-length: {}\r\n\r\n{event}",
                shared.deadline_ms,
                event.len()
            )
        } else {
            {
                let mut broken = shared.broken_answers.lock().unwrap();
                if *broken > 0 {
                    *broken -= 1;
                    return None;
                }
            }
            shared.posts.send((path, serde_json::from_slice(&body).unwrap_or_default())).ok()?;
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        connection.get_mut().write_all(response.as_bytes()).await.ok()?;
    }
}

/// A bootstrap process, which is killed when the value is dropped.
pub struct Process(Child);

impl Process {
    /// Starts the bootstrap with `runtime_api` as `AWS_LAMBDA_RUNTIME_API`.
    pub fn start(runtime_api: &str, environment: &BTreeMap<String, String>) -> Self {
        let lambda = [
            ("AWS_LAMBDA_RUNTIME_API", runtime_api),
            ("AWS_LAMBDA_FUNCTION_NAME", "avro-ingest"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_avro-ingest"));
        command.env_clear().envs(lambda).envs(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits until the process has ended. Returns whether it succeeded, and its output.
    pub async fn ended(mut self) -> (bool, String) {
        let ended = async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status.success();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let success = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("an end");
        let mut output = std::io::read_to_string(self.0.stdout.take().unwrap()).unwrap();
        output += &std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap();
        (success, output)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
