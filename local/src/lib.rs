//! One machine's AWS.
