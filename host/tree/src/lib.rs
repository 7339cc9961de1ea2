//! The replicated state: znodes, sessions, ACLs, bindings and their event queues.
