//! Pings to all relays, at an interval and when one was silent.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answer::Said;
use crate::client::{AskError, Client, Inner};
use crate::health::Shown;
use crate::pool::{Member, Roster};
use crate::question::Packet;

impl Client {
    /// Sends pings to all relays, and never ends. One worker does this for all.
    pub async fn ping(&self) {
        loop {
            let roster = self.0.pool.roster();
            let mut pings = JoinSet::new();
            for member in &roster.members {
                let (inner, member, roster) = (self.0.clone(), member.clone(), roster.clone());
                pings.spawn(async move { inner.ping(&member, &roster).await });
            }
            while pings.join_next().await.is_some() {}
            // A relay that was silent for a question gets a ping at once: if it was only slow, it is back before the next interval.
            let _ = timeout(roster.settings.probe.interval, self.0.pool.silent.notified()).await;
        }
    }
}

impl Inner {
    async fn ping(self: &Arc<Self>, member: &Member, roster: &Roster) {
        let shown = match self.put(&mut Packet::ping(), member, roster.settings.timeout).await {
            Ok(Said::Pong) => Shown::PingAnswered,
            // It was not asked.
            Err(AskError::Busy) => return,
            _ => Shown::PingSilent,
        };
        self.pool.take(member, shown, roster);
    }
}
