//! Tasks, issue, settle, revoke, introspect, ledger sequencing, store.
