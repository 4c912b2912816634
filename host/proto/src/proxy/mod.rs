//! The proxy of RFC 3261 16: one response context for each request, worked on one event at a time.
//!
//! [`Core`] is a shard of it. A request that comes in is validated (16.3), preprocessed (16.4) and turned into the question
//! [`Output::SelectTargets`]; the [`Verdict`] is carried out branch by branch (16.5, 16.6), responses go back by 16.7.

mod accepted_media;
mod admission;
mod base32;
mod border;
mod branch;
mod branch_parameter;
mod cancel;
mod candidates;
mod challenge;
mod contact;
mod contact_token;
mod context;
mod core;
mod editable;
mod environment;
mod forward;
mod hiding;
mod hop_by_hop;
mod identity;
mod io;
mod keys;
mod media;
mod nat;
mod noted;
mod noted_crossing;
mod noted_flow;
mod noted_media;
mod noted_privacy;
mod noted_trunk;
mod numbering;
mod onward;
mod own;
mod own_request;
mod plan;
mod preprocess;
mod probe;
mod record_route;
mod reply;
mod responses;
mod sealed_notes;
mod sender;
mod settings;
mod stateless;
mod target_set;
mod token;
mod unsent;
mod validate;
mod via;

pub use self::core::{Core, shard_of, shard_of_quoted};
pub use border::{Border, Extent, Hidden, Hiding, SideId, Towards};
pub use contact_token::original_contact;
pub use editable::{is_editable, is_own};
pub use forward::{next_hop_uri, query_of_uri};
pub use identity::{Fields, Form, Identity, PrivacyService, Trust};
pub use io::{
    Admitted, BranchId, Cause, ContextId, DialogSides, FailureOutcome, Hop, Located, MediaAnswer, MediaQuestion, Output, Query,
    RequestKind, Reviewed, Taken, Transmit, Verdict, Watch,
};
pub use keys::{KeyRing, TokenKey};
pub use noted_media::MediaNote;
pub use numbering::RetriedInvites;
pub use own_request::{NoWay, OwnOptions, own_token, own_token_quoted};
pub use plan::{Admission, ContactPolicy, Edit, Group, Mode, Numbering, Plan, RecordRoute, Reply, StatusSet, Target, TrunkId, TrunkSide};
pub use probe::probe;
pub use settings::{Limits, MediaPolicy, PathPolicy, Settings, Timers};
