//! Use cases, one a file, free of HTTP.

pub(crate) mod agent_key;
pub(crate) mod agent_status;
pub(crate) mod apply;
pub(crate) mod approval;
pub(crate) mod close_task;
pub(crate) mod decide_approval;
pub(crate) mod downstreams;
pub(crate) mod enforcement;
pub(crate) mod evaluate;
pub(crate) mod facts;
pub(crate) mod gap;
pub(crate) mod introspect;
pub(crate) mod issue;
pub(crate) mod lease;
pub(crate) mod open_task;
pub(crate) mod policies;
pub(crate) mod reads;
pub(crate) mod renew;
pub(crate) mod report;
pub(crate) mod revoke;
pub(crate) mod rotate_keys;
pub(crate) mod settle;
pub(crate) mod trace;
pub(crate) mod use_approval;
pub(crate) mod view_approval;
