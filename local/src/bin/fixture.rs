//! A bootstrap process whose behavior is chosen by the event. It serves as the function in the tests of this crate's Lambda
//! emulator and needs nothing but the standard library's sockets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

fn main() -> io::Result<()> {
    let environment = environment();
    let setting = |name: &str| environment.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut api = Api::connect(&setting("AWS_LAMBDA_RUNTIME_API"))?;
    match setting("INIT").as_str() {
        "error" => {
            eprintln!("about to fail");
            let report = json!({"errorType": "Fixture.Init", "errorMessage": "as told"});
            api.call("POST", "init/error", report.to_string().as_bytes())?;
            thread::park();
        }
        "exit" => {
            eprintln!("leaving");
            exit(3);
        }
        "hang" => thread::park(),
        _ => {}
    }
    let workers = setting("AWS_LAMBDA_MAX_CONCURRENCY").parse().unwrap_or(1);
    thread::scope(|scope| {
        for _ in 1..workers {
            let address = setting("AWS_LAMBDA_RUNTIME_API");
            let environment = &environment;
            scope.spawn(move || serve(Api::connect(&address)?, environment));
        }
        serve(api, &environment)
    })
}

fn serve(mut api: Api, environment: &Map<String, Value>) -> io::Result<()> {
    loop {
        let (headers, event) = api.call("GET", "invocation/next", b"")?;
        let id = headers.get("lambda-runtime-aws-request-id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let event: Value = serde_json::from_slice(&event).unwrap_or_default();
        let answer = match event.get("do").and_then(Value::as_str) {
            Some("error") => {
                let report = json!({"errorType": "Fixture.Error", "errorMessage": "as told"});
                api.call("POST", &format!("invocation/{id}/error"), report.to_string().as_bytes())?;
                continue;
            }
            Some("crash") => {
                eprintln!("crashing");
                exit(4)
            }
            Some("sleep") => {
                let milliseconds = event.get("milliseconds").and_then(Value::as_u64).unwrap_or_default();
                thread::sleep(Duration::from_millis(milliseconds));
                json!("slept")
            }
            Some("print") => {
                println!("to stdout");
                eprintln!("to stderr");
                json!("printed")
            }
            Some("large") => json!("x".repeat(6 * 1024 * 1024)),
            Some("describe") => json!({"environment": environment, "headers": headers}),
            _ if event.get("Records").is_some() => consume(&event),
            _ => json!(event.to_string().len()),
        };
        api.call("POST", &format!("invocation/{id}/response"), answer.to_string().as_bytes())?;
    }
}

/// Reports messages whose body is `poison` as failed and all others as consumed.
fn consume(event: &Value) -> Value {
    let records = event.get("Records").and_then(Value::as_array).into_iter().flatten();
    let mut failures = Vec::new();
    for record in records {
        match record.get("body").and_then(Value::as_str) {
            Some("poison") => failures.push(json!({"itemIdentifier": record.get("messageId")})),
            Some("deadly") => exit(5),
            _ => println!("{record}"),
        }
    }
    json!({"batchItemFailures": failures})
}

#[expect(clippy::disallowed_methods, reason = "this is a process of its own")]
fn environment() -> Map<String, Value> {
    std::env::vars().map(|(name, value)| (name, Value::from(value))).collect()
}

struct Api(BufReader<TcpStream>);

impl Api {
    fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and returns the response's headers, with lower-case names, and its body.
    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(Map<String, Value>, Vec<u8>)> {
        let head = format!(
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: runtime\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let mut headers = Map::new();
        let mut line = String::new();
        while self.0.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_lowercase(), value.trim().into());
            }
            line.clear();
        }
        let length = headers.get("content-length").and_then(Value::as_str).and_then(|length| length.parse().ok());
        let mut answer = vec![0; length.ok_or(io::ErrorKind::UnexpectedEof)?];
        self.0.read_exact(&mut answer)?;
        Ok((headers, answer))
    }
}
