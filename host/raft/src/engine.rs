//! openraft with this crate's log, network and state machine.

use openraft::Raft;

use crate::state::StateMachine;
use crate::types::TypeConfig;

/// openraft's handle of this node. Clones are the same node.
pub(crate) type RaftOf<R> = Raft<TypeConfig<R>, StateMachine<R>>;
