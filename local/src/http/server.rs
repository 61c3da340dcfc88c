//! Serving HTTP/1.1 on a listener.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What a client sees when the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// An orderly end of the stream.
    Orderly,
    /// A reset, as from a peer that vanished.
    Reset,
}

/// The number of the connection a request came over, counted from 1: an extension of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionNumber(pub(crate) u64);

/// Answers each request of each connection by `answer`; an `Err` closes the connection without an answer.
///
/// The future never ends by itself. A request whose client hangs up is dropped where it stands.
pub(crate) async fn serve<Answer, Answering, Reply, Refusal>(listener: TcpListener, closing: Closing, answer: Answer)
where
    Answer: Fn(Request<Incoming>) -> Answering + Clone + Send + 'static,
    Answering: Future<Output = Result<Response<Reply>, Refusal>> + Send + 'static,
    Reply: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    Refusal: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connections = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // out of file descriptors, most likely: others will be closed
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // without either the connection still works
        let _ = stream.set_nodelay(true);
        if closing == Closing::Reset {
            let _ = stream.set_zero_linger();
        }
        connections += 1;
        let number = ConnectionNumber(connections);
        let answer = answer.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(number);
            answer(request)
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // how a connection ends is its client's business
        tokio::spawn(async move { drop(connection.await) });
    }
}
