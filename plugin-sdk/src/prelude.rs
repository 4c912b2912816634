//! What a plugin usually needs: `use jackfield::prelude::*;`.

pub use serde::Deserialize;

pub use crate::{
    Branch, Cause, Completed, Decision, Edit, Endpoint, Error, Failure, Group, Hook, Mode, Outcome, Plan, Plugin, Recovery, Registration,
    RegistrationKind, Reply, Request, Response, Result, ServiceError, Subscription, Target, Transport, bail, clock, log, metrics, random,
};
pub use std::collections::{BTreeMap, HashMap};
pub use std::time::Duration;
