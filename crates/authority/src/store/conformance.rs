//! What every backend has to do, as functions over [`Store`](super::Store).
