//! Cedar policy: schema, decide, slicing, replay.
