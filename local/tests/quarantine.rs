//! Tests of the SQS endpoint with requests like those of the SDK.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{Read, Write};
use std::net::TcpStream;

use local::faults::{ErrorCode, Fault, Plan, Proxy};
use local::sqs::{Attribute, Endpoint, EntryRefusal, Message};
use serde_json::{Value, json};

/// Sends a request and returns the head and the body of the response.
fn post(address: std::net::SocketAddr, operation: &str, request: &Value) -> (String, Value) {
    let body = request.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: sqs\r\nconnection: close\r\nx-amz-target: AmazonSQS.{operation}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

fn entry(id: &str, body: &str) -> Value {
    json!({"Id": id, "MessageBody": body, "MessageAttributes": {"reason": {"DataType": "String", "StringValue": "why"}}})
}

#[test]
fn what_is_sent_is_kept_in_order_with_its_attributes() {
    let endpoint = Endpoint::start(0, "quarantine").unwrap();
    let request = json!({"QueueUrl": endpoint.queue_url(), "Entries": [entry("a", "one"), entry("b", "two")]});
    let (_, answer) = post(endpoint.address(), "SendMessageBatch", &request);
    let request = json!({"QueueUrl": endpoint.queue_url(), "MessageBody": "three"});
    post(endpoint.address(), "SendMessage", &request);

    let sent = endpoint.sent();
    let reason = Attribute::String("why".into());
    let expected = [
        Message::text("one").with("reason", reason.clone()),
        Message::text("two").with("reason", reason),
        Message::text("three"),
    ];
    assert_eq!(sent.iter().map(|sent| sent.message.clone()).collect::<Vec<_>>(), expected);
    let entry = |id: &str, index: usize, md5: &str| json!({"Id": id, "MessageId": sent[index].message_id, "MD5OfMessageBody": md5});
    assert_eq!(answer["Failed"], json!([]));
    assert_eq!(
        answer["Successful"],
        // from: printf one | md5sum, printf two | md5sum
        json!([entry("a", 0, "f97c5d29941bfb1b2fdab0874906ab82"), entry("b", 1, "b8a9f715dbb64fd5c56e7783c6820a61")])
    );
}

#[test]
fn chosen_entries_fail_and_their_neighbours_do_not() {
    let endpoint = Endpoint::start(0, "quarantine").unwrap();
    endpoint.refuse_entries(|message| {
        let refusal = EntryRefusal { code: "InternalError".into(), sender_fault: false };
        (message.body == "two").then_some(refusal)
    });
    let entries = [entry("a", "one"), entry("b", "two"), entry("c", "three"), entry("d", "")];
    let (_, answer) =
        post(endpoint.address(), "SendMessageBatch", &json!({"QueueUrl": endpoint.queue_url(), "Entries": entries}));
    let ids = |list: &str| answer[list].as_array().unwrap().iter().map(|entry| entry["Id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids("Successful"), ["a", "c"]);
    assert_eq!(
        answer["Failed"],
        json!([
            {"Id": "b", "SenderFault": false, "Code": "InternalError", "Message": "refused"},
            {"Id": "d", "SenderFault": true, "Code": "InvalidParameterValue", "Message": "refused"},
        ])
    );
    assert_eq!(endpoint.sent().len(), 2);
}

#[test]
fn a_call_is_refused_as_a_whole_with_the_code_in_body_and_header() {
    let endpoint = Endpoint::start(0, "quarantine").unwrap();
    let entries: Vec<_> = (0..11).map(|id| entry(&id.to_string(), "x")).collect();
    for (queue_url, entries, code) in [
        (endpoint.queue_url(), &entries[..], "TooManyEntriesInBatchRequest"),
        (endpoint.queue_url() + "-not", &entries[..1], "QueueDoesNotExist"),
    ] {
        let (head, body) =
            post(endpoint.address(), "SendMessageBatch", &json!({"QueueUrl": queue_url, "Entries": entries}));
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        assert!(head.contains(&format!("x-amzn-query-error: AWS.SimpleQueueService.{code};Sender")), "{head}");
        assert_eq!(body["__type"], format!("com.amazonaws.sqs#{code}"));
    }
    assert_eq!(endpoint.sent(), []);
}

#[test]
fn a_fifo_queue_wants_a_group() {
    let endpoint = Endpoint::start(0, "quarantine.fifo").unwrap();
    let request = json!({"QueueUrl": endpoint.queue_url(), "MessageBody": "x"});
    assert_eq!(
        post(endpoint.address(), "SendMessage", &request).1["__type"],
        "com.amazonaws.sqs#InvalidParameterValue"
    );
    let request = json!({"QueueUrl": endpoint.queue_url(), "MessageBody": "x", "MessageGroupId": "one"});
    post(endpoint.address(), "SendMessage", &request);
    assert_eq!(endpoint.sent()[0].message, Message::text("x").in_group("one"));
}

#[test]
fn a_proxy_in_front_makes_whole_calls_fail() {
    let endpoint = Endpoint::start(0, "quarantine").unwrap();
    let fault = Fault::Error { code: ErrorCode::ServiceUnavailable, reasons: Vec::new() };
    let proxy = Proxy::start(0, endpoint.address(), Plan::always(fault).unwrap()).unwrap();
    let request = json!({"QueueUrl": endpoint.queue_url(), "MessageBody": "x"});
    assert!(post(proxy.address(), "SendMessage", &request).0.starts_with("HTTP/1.1 503"));
    assert_eq!(endpoint.sent(), []);
    proxy.set_plan(Plan::none());
    assert!(post(proxy.address(), "SendMessage", &request).0.starts_with("HTTP/1.1 200"));
    assert_eq!(endpoint.sent().len(), 1);
}
