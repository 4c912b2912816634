//! Pings to all relays, at an interval and when one was silent.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answer::Said;
use crate::client::{AskError, Client, Inner};
use crate::health::Shown;
use crate::note::RelayId;
use crate::pool::{Member, Roster};
use crate::question::Packet;

impl Client {
    /// Sends pings to all relays, and never ends. One worker does this for all. Each relay has one open ping at most, and none waits for
    /// another's: one that is gone does not keep the others from being found again.
    pub async fn ping(&self) {
        let mut pings = JoinSet::new();
        let mut asked: Vec<RelayId> = Vec::new();
        loop {
            let roster = self.0.pool.roster();
            for member in &roster.members {
                if asked.contains(&member.id) {
                    continue;
                }
                asked.push(member.id);
                let (inner, member, roster) = (self.0.clone(), member.clone(), roster.clone());
                pings.spawn(async move {
                    inner.ping(&member, &roster).await;
                    member.id
                });
            }
            // A relay that was silent for a question gets a ping at once: if it was only slow, it is back before the next interval.
            let next = timeout(roster.settings.probe.interval, self.0.pool.silent.notified());
            tokio::pin!(next);
            loop {
                tokio::select! {
                    _ = &mut next => break,
                    Some(ended) = pings.join_next() => match ended {
                        Ok(relay) => asked.retain(|asked| *asked != relay),
                        Err(_) => asked.clear(),
                    },
                }
            }
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
