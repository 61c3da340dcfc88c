//! An HTTP/1.1 server on a listener.

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

/// How the server closes a connection, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// An orderly end of the stream (FIN).
    Orderly,
    /// A connection reset (RST), as from a peer that vanished.
    Reset,
}

/// Number of the connection that a request arrived on, counted from 1. It is an extension of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionNumber(pub(crate) u64);

/// Responds to each request with the result of `answer`. An `Err` closes the connection without a response.
///
/// The future never completes. If a client disconnects, the future that handles its request is dropped.
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
            // most likely out of file descriptors, which other connections will release
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // these socket options are optional: the connection works without them
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
        // errors of a connection concern its client only
        tokio::spawn(async move { drop(connection.await) });
    }
}
