//! Tests of the SQS service with requests like those of an SDK.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use local::credentials::CredentialsEndpoint;
use local::sqs::{Attribute, Call, EntryRefusal, ErrorCode, Fault, Message, Service, Settings, seeded};
use serde_json::{Value, json};

/// A service with one queue, whose long polls return immediately.
struct Served {
    service: Service,
    name: &'static str,
}

impl Served {
    fn start(name: &'static str) -> Self {
        let service = Service::start(0).unwrap();
        service.create(name);
        service.limit_long_polls(Duration::ZERO);
        Self { service, name }
    }

    fn filled(name: &'static str, count: usize) -> Self {
        let served = Self::start(name);
        (0..count).for_each(|number| served.put(&number.to_string(), "g"));
        served
    }

    fn put(&self, body: &str, group: &str) {
        self.service
            .send(self.name, Message::text(body).in_group(group).with_deduplication_id(body))
            .map(drop)
            .unwrap();
    }

    /// Returns the status and the body of the response. `None` if the connection closes without one.
    fn try_call(&self, operation: &str, more: &Value, token: &str) -> Option<(u16, Value)> {
        let mut request = more.clone();
        request["QueueUrl"] = json!(format!("{}/000000000000/{}", self.service.url(), self.name));
        let body = request.to_string();
        let mut stream = TcpStream::connect(self.service.url().strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: sqs\r\nconnection: close\r\nx-amz-target: AmazonSQS.{operation}\r\n\
             x-amz-security-token: {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
    }

    fn call(&self, operation: &str, more: &Value) -> Value {
        let (status, body) = self.try_call(operation, more, "").unwrap();
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    /// Returns the status and the code of a call that is refused.
    fn refused(&self, operation: &str, more: &Value) -> (u16, String) {
        let (status, body) = self.try_call(operation, more, "").unwrap();
        (status, body["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap().to_owned())
    }

    fn receive(&self, visibility: u64) -> Vec<Value> {
        let request = json!({"MaxNumberOfMessages": 10, "VisibilityTimeout": visibility, "WaitTimeSeconds": 1,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"]});
        self.call("ReceiveMessage", &request)["Messages"].as_array().cloned().unwrap_or_default()
    }

    /// Sends a batch and returns the result of each entry: `ok` or its error code.
    fn batch(&self, operation: &str, entries: &[Value]) -> Vec<String> {
        let with_id = |(id, entry): (usize, &Value)| {
            let mut entry = entry.clone();
            entry["Id"] = json!(id.to_string());
            entry
        };
        let entries: Vec<Value> = entries.iter().enumerate().map(with_id).collect();
        let body = self.call(operation, &json!({"Entries": entries}));
        let code = |id: usize| {
            let id = id.to_string();
            let failed = body["Failed"].as_array().unwrap().iter().find(|entry| entry["Id"] == id);
            failed.map_or("ok".to_owned(), |entry| entry["Code"].as_str().unwrap().to_owned())
        };
        (0..entries.len()).map(code).collect()
    }

    fn delete(&self, message: &Value) -> Vec<String> {
        self.batch("DeleteMessageBatch", &[json!({"ReceiptHandle": message["ReceiptHandle"]})])
    }

    fn change(&self, message: &Value, seconds: u64) -> Vec<String> {
        let entry = json!({"ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": seconds});
        self.batch("ChangeMessageVisibilityBatch", &[entry])
    }
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["Body"].as_str().unwrap()).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_received_message_is_hidden_for_the_calls_timeout_and_then_comes_back() {
    let served = Served::filled("orders", 1);
    assert_eq!(bodies(&served.receive(60)), ["0"]);
    assert_eq!(served.service.counts("orders"), (0, 1));
    served.service.advance(seconds(58));
    assert!(served.receive(60).is_empty());
    served.service.advance(seconds(2));
    let again = served.receive(60);
    assert_eq!(again[0]["Attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(served.delete(&again[0]), ["ok"]);
    assert!(served.service.held("orders").is_empty());
}

#[test]
fn visibility_is_extended_for_twelve_hours_from_the_receive_and_no_longer() {
    let served = Served::filled("orders", 1);
    let message = &served.receive(60)[0];
    assert_eq!(served.change(message, 43_200), ["InvalidParameterValue"], "12 hours count from the receive");
    assert_eq!(served.change(message, 43_190), ["ok"]);
    assert_eq!(served.change(message, 43_201), ["InvalidParameterValue"]);
    served.service.advance(seconds(40_000));
    assert_eq!(served.change(message, 3_300), ["InvalidParameterValue"]);
    assert_eq!(served.change(message, 3_100), ["ok"]);
    assert_eq!(served.change(message, 0), ["ok"]);
    assert_eq!(served.change(message, 60), ["MessageNotInflight"]);
    assert_eq!(served.receive(60).len(), 1, "released messages are visible immediately");
}

#[test]
fn a_handle_that_is_old_does_nothing_in_a_standard_queue_and_is_refused_by_a_fifo_queue() {
    for (name, code) in [("orders", "ok"), ("orders.fifo", "InvalidParameterValue")] {
        let served = Served::filled(name, 1);
        let old = served.receive(10).remove(0);
        served.service.advance(seconds(11));
        if name == "orders.fifo" {
            assert_eq!(served.delete(&old), [code], "it is visible again");
        }
        let new = served.receive(10).remove(0);
        assert_eq!(served.delete(&old), [code], "{name}");
        assert_eq!(served.change(&old, 0), [code], "{name}");
        assert_eq!(served.service.counts(name), (0, 1));
        assert_eq!((served.delete(&new), served.delete(&new)), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
        assert_eq!(served.change(&new, 0), ["InvalidParameterValue"], "it is deleted");
        assert_eq!(served.delete(&json!({"ReceiptHandle": "nonsense"})), ["ReceiptHandleIsInvalid"]);
    }
}

#[test]
fn a_group_with_a_message_in_flight_is_locked_and_others_are_not() {
    let served = Served::start("orders.fifo");
    (0..12).for_each(|number| served.put(&format!("a{number}"), "a"));
    served.put("b0", "b");
    let first = served.receive(30);
    assert_eq!(first.len(), 10);
    assert!(bodies(&first).iter().all(|body| body.starts_with('a')), "as many of one group as possible");
    assert_eq!(bodies(&served.receive(30)), ["b0"]);
    first[1..].iter().for_each(|message| assert_eq!(served.delete(message), ["ok"]));
    assert!(served.receive(30).is_empty(), "a0 is in flight");
    assert_eq!(served.change(&first[0], 0), ["ok"]);
    assert_eq!(bodies(&served.receive(30)), ["a0", "a10", "a11"]);
}

#[test]
fn beyond_the_limit_in_flight_only_a_short_poll_of_a_standard_queue_is_refused() {
    let short = json!({"MaxNumberOfMessages": 10});
    for (name, refused) in [("orders", true), ("orders.fifo", false)] {
        let served = Served::start(name);
        (0..10).for_each(|number| served.put(&number.to_string(), &number.to_string()));
        served.service.limit_in_flight(name, 7);
        assert_eq!(served.receive(60).len(), 7);
        assert!(served.receive(60).is_empty(), "a long poll");
        if refused {
            assert_eq!(served.refused("ReceiveMessage", &short), (403, "OverLimit".to_owned()));
        } else {
            assert_eq!(served.call("ReceiveMessage", &short), json!({}));
        }
        served.service.advance(seconds(61));
        assert_eq!(served.receive(60).len(), 7);
    }
}

#[test]
fn a_fifo_queue_accepts_a_deduplication_id_once_in_five_minutes() {
    let served = Served::start("orders.fifo");
    let send = |id: &str, body: &str| {
        let message = json!({"MessageBody": body, "MessageGroupId": "g", "MessageDeduplicationId": id});
        served.call("SendMessage", &message)["MessageId"].as_str().unwrap().to_owned()
    };
    let first = send("one", "a");
    served.service.advance(seconds(290));
    assert_eq!(send("one", "b"), first, "the id of the first message");
    assert_ne!(send("two", "c"), first);
    served.service.advance(seconds(11));
    assert_ne!(send("one", "d"), first);
    let held: Vec<String> = served.service.held("orders.fifo").into_iter().map(|held| held.message.body).collect();
    assert_eq!(held, ["a", "c", "d"]);
    let without = json!({"MessageBody": "x", "MessageGroupId": "g"});
    assert_eq!(served.refused("SendMessage", &without), (400, "InvalidParameterValue".to_owned()));
    assert_eq!(served.refused("SendMessage", &json!({"MessageBody": "x"})), (400, "MissingParameter".to_owned()));
}

#[test]
fn a_receive_that_is_repeated_by_its_attempt_id_returns_the_same_messages() {
    let served = Served::filled("orders.fifo", 3);
    let request = |id: &str| json!({"MaxNumberOfMessages": 2, "VisibilityTimeout": 60, "ReceiveRequestAttemptId": id});
    let first = served.call("ReceiveMessage", &request("one"));
    served.service.advance(seconds(30));
    assert_eq!(served.call("ReceiveMessage", &request("one")), first);
    served.service.advance(seconds(40));
    assert_eq!(served.service.counts("orders.fifo"), (1, 2), "the repeated receive restarts the visibility timeout");
    assert_eq!(served.call("ReceiveMessage", &request("two")), json!({}), "the group is locked");
    assert_eq!(served.delete(&first["Messages"][0]), ["ok"]);
    assert_eq!(served.call("ReceiveMessage", &request("one")), json!({}), "one of them was deleted");
}

#[test]
fn attributes_are_returned_where_they_are_asked_for() {
    let served = Served::start("orders");
    let message = Message::text("x").with("source", Attribute::String("shop".into()));
    served.service.send("orders", message).unwrap();
    let message = &served.call("ReceiveMessage", &json!({"VisibilityTimeout": 0}))["Messages"][0];
    assert!(message.get("Attributes").is_none() && message.get("MessageAttributes").is_none());
    let message = &served.receive(0)[0];
    assert_eq!(message["MessageAttributes"], json!({"source": {"DataType": "String", "StringValue": "shop"}}));
    assert_eq!(message["Attributes"]["ApproximateReceiveCount"], "2");
    let names = json!({"AttributeNames": ["QueueArn", "ApproximateNumberOfMessages"]});
    let attributes =
        json!({"QueueArn": "arn:aws:sqs:us-east-1:000000000000:orders", "ApproximateNumberOfMessages": "1"});
    assert_eq!(served.call("GetQueueAttributes", &names)["Attributes"], attributes);
    let url = served.call("GetQueueUrl", &json!({"QueueName": "orders"}))["QueueUrl"].clone();
    assert_eq!(url, format!("{}/000000000000/orders", served.service.url()));
}

#[test]
fn an_entry_of_a_batch_fails_alone() {
    let served = Served::start("orders");
    served.service.refuse_entries("orders", |message| {
        (message.body == "bad").then(|| EntryRefusal { code: "InvalidMessageContents".into(), sender_fault: true })
    });
    served.service.inject(|call: &Call| (call.of_operation == 2).then(|| Fault::FailEntries(vec![0])));
    let entries = ["one", "bad", "two"].map(|body| json!({"MessageBody": body}));
    assert_eq!(served.batch("SendMessageBatch", &entries), ["ok", "InvalidMessageContents", "ok"]);
    assert_eq!(served.batch("SendMessageBatch", &entries), ["InternalError", "InvalidMessageContents", "ok"]);
    assert_eq!(bodies(&served.receive(30)), ["one", "two", "two"]);
    let eleven = vec![json!({"MessageBody": "x"}); 11];
    let entries: Vec<Value> = (0..eleven.len()).map(|id| json!({"Id": id.to_string(), "ReceiptHandle": "x"})).collect();
    let refused = served.refused("DeleteMessageBatch", &json!({"Entries": entries}));
    assert_eq!(refused, (400, "TooManyEntriesInBatchRequest".to_owned()));
    let refused = served.refused("DeleteMessageBatch", &json!({}));
    assert_eq!(refused, (400, "EmptyBatchRequest".to_owned()));
}

#[test]
fn a_call_without_a_response_is_applied_or_not_as_its_fault_says() {
    for (fault, applied) in [(Fault::LostRequest, 0), (Fault::LostResponse, 1), (Fault::Hang, 0), (Fault::HangAfter, 1)]
    {
        let served = Served::start("orders");
        let lost = fault.clone();
        served.service.inject(move |call: &Call| (call.number == 1).then(|| lost.clone()));
        assert_eq!(served.try_call("SendMessage", &json!({"MessageBody": "x"}), ""), None, "{fault:?}");
        assert_eq!(served.service.counts("orders").0, applied, "{fault:?}");
        served.call("SendMessage", &json!({"MessageBody": "y"}));
        let calls = served.service.calls();
        let outline = |call: &Call| (call.number, call.of_operation, call.operation.clone(), call.queue.clone());
        let expected = |number| (number, number, "SendMessage".to_owned(), "orders".to_owned());
        assert_eq!(calls.iter().map(outline).collect::<Vec<_>>(), [expected(1), expected(2)]);
    }
}

#[test]
fn errors_have_the_status_and_the_code_of_sqs() {
    let codes = [
        (ErrorCode::RequestThrottled, 400),
        (ErrorCode::ThrottlingException, 400),
        (ErrorCode::ExpiredTokenException, 403),
        (ErrorCode::ServiceUnavailable, 503),
    ];
    for (code, status) in codes {
        let served = Served::filled("orders", 1);
        served.service.inject(move |_: &Call| Some(Fault::Error(code)));
        assert_eq!(served.refused("ReceiveMessage", &json!({})), (status, code.name().to_owned()));
        assert_eq!(served.service.counts("orders"), (1, 0), "a refused call is not applied");
    }
    let served = Served::start("orders");
    let elsewhere = Served { service: Service::start(0).unwrap(), name: "nothing" };
    assert_eq!(elsewhere.refused("ReceiveMessage", &json!({})), (400, "QueueDoesNotExist".to_owned()));
    assert_eq!(served.refused("PurgeQueue", &json!({})), (400, "UnknownOperationException".to_owned()));
    let request = json!({"MaxNumberOfMessages": 11});
    assert_eq!(served.refused("ReceiveMessage", &request), (400, "InvalidParameterValue".to_owned()));
}

#[test]
fn a_token_that_has_expired_is_refused_and_a_new_one_is_not() {
    let served = Served::start("orders");
    let credentials = CredentialsEndpoint::start(0, seconds(60), 0).unwrap();
    served.service.require_credentials_of(&credentials);
    let status = |token: &str| served.try_call("ReceiveMessage", &json!({}), token).unwrap().0;
    assert_eq!(status("unknown"), 403);
    let mut stream = TcpStream::connect(credentials.address()).unwrap();
    write!(stream, "GET /credentials HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    assert_eq!(status("local-token-0"), 200);
    credentials.revoke();
    assert_eq!(status("local-token-0"), 403);
}

#[test]
fn the_faults_of_a_seed_are_always_the_same_and_as_many_as_its_share_says() {
    let faults = vec![Fault::LostRequest, Fault::LostResponse];
    let drawn = |seed| {
        let mut script = seeded(seed, 0.3, faults.clone());
        let call = |number| Call {
            number,
            of_operation: number,
            operation: "SendMessage".into(),
            queue: "orders".into(),
            entries: 0,
            at: Duration::ZERO,
        };
        (0..1000).map(|number| script(&call(number))).collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let count = |fault: &Fault| drawn(1).iter().filter(|drawn| drawn.as_ref() == Some(fault)).count();
    let counts = [count(&faults[0]), count(&faults[1])];
    assert!(counts.iter().all(|count| (100..200).contains(count)), "{counts:?}");
}

#[test]
fn a_long_poll_returns_what_is_sent_while_it_waits() {
    let service = Service::start(0).unwrap();
    service.create_queue(Settings::named("orders"));
    let served = Served { service, name: "orders" };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| served.receive(30));
        while served.service.calls().is_empty() {
            std::thread::yield_now();
        }
        served.put("late", "g");
        assert_eq!(bodies(&waiting.join().unwrap_or_else(|_| panic!("the receive failed"))), ["late"]);
    });
}
