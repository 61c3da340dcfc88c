//! A response body that is sent slowly or incompletely.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Number of pieces into which a slow response is split, if it has at least that many bytes.
const PIECES: usize = 16;

/// A body that is sent piece by piece, with a pause between pieces.
#[derive(Debug)]
pub(super) struct Paced {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    /// Number of bytes that are announced and never sent.
    missing: u64,
    pausing: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// Sends all of `bytes` at once.
    pub(super) fn at_once(bytes: Bytes) -> Self {
        Self { pieces: VecDeque::from([bytes]), pause: Duration::ZERO, missing: 0, pausing: None }
    }

    /// Sends `bytes` in pieces over `duration`, measured from the first piece to the last.
    pub(super) fn spread(mut bytes: Bytes, duration: Duration) -> Self {
        let length = bytes.len().div_ceil(PIECES).max(1);
        let mut pieces = VecDeque::new();
        while bytes.len() > length {
            pieces.push_back(bytes.split_to(length));
        }
        pieces.push_back(bytes);
        let pauses = u32::try_from(pieces.len().saturating_sub(1).max(1)).unwrap_or(1);
        Self { pieces, pause: duration / pauses, missing: 0, pausing: None }
    }

    /// Sends the first half of `bytes` and then stalls without ending the body.
    pub(super) fn half(mut bytes: Bytes) -> Self {
        let rest = bytes.split_off(bytes.len() / 2);
        Self { missing: rest.len() as u64, ..Self::at_once(bytes) }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pausing) = &mut self.pausing {
            ready!(pausing.as_mut().poll(cx));
        }
        self.pausing = (self.pause > Duration::ZERO).then(|| Box::pin(sleep(self.pause)));
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            // the second half is never sent, so the client must time out
            None if self.missing > 0 => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.missing == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.missing + self.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_spread_answer_is_whole_whatever_its_length() {
        for length in [0, 1, 15, 16, 17, 1000] {
            let bytes = Bytes::from(vec![7; length]);
            let body = Paced::spread(bytes.clone(), Duration::from_millis(1));
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            assert!(body.pieces.len() <= PIECES);
            assert_eq!(body.collect().await.unwrap().to_bytes(), bytes);
        }
    }
}
