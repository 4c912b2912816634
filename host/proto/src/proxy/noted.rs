//! What the token of a dialog says beside flows: trunks, what is hidden, and what is noted of its media and of its
//! caller's privacy. These notes come before the flows.

use super::noted_crossing::NotedCrossing;
use super::noted_flow::{NotedFlow, Side};
use super::noted_media::MediaNote;
use super::noted_privacy::NotedPrivacy;
use super::noted_trunk::{KIND_MASK, NotedTrunk};
use super::plan::TrunkSide;

/// The notes of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Of both sides at most.
    trunks: [Option<NotedTrunk>; 2],
    pub(super) crossing: Option<NotedCrossing>,
    pub(super) media: Option<MediaNote>,
    privacy: Option<NotedPrivacy>,
}

/// The notes of a request in a dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NotedSides {
    /// The trunk at the side that the request goes to.
    pub(super) to: Option<NotedTrunk>,
    /// That at the side that it comes from.
    pub(super) from: Option<TrunkSide>,
    pub(super) crossing: Option<NotedCrossing>,
    pub(super) media: Option<MediaNote>,
    /// What its caller has asked for, if it comes from him.
    pub(super) privacy: Option<NotedPrivacy>,
}

impl Noted {
    /// Whether notes begin with one of these.
    pub(super) fn is_first(notes: &[u8]) -> bool {
        notes.first().is_some_and(|first| NotedFlow::transport_of(first & KIND_MASK).is_none())
    }

    /// Reads them; what is behind them comes back with them.
    #[cold]
    pub(super) fn read(mut octets: &[u8]) -> (Self, &[u8]) {
        let mut noted = Self::default();
        loop {
            octets = if let Some((trunk, rest)) = NotedTrunk::read(octets) {
                let [first, second] = &mut noted.trunks;
                *(if first.is_none() { first } else { second }) = Some(trunk);
                rest
            } else if let Some((crossing, rest)) = NotedCrossing::read(octets) {
                noted.crossing = Some(crossing);
                rest
            } else if let Some((media, rest)) = MediaNote::read(octets) {
                noted.media = Some(media);
                rest
            } else if let Some((privacy, rest)) = NotedPrivacy::read(octets) {
                noted.privacy = Some(privacy);
                rest
            } else {
                return (noted, octets);
            };
        }
    }

    /// For a request that goes to `side`.
    pub(super) fn towards(self, side: Side) -> NotedSides {
        let trunk = |wanted| self.trunks.iter().flatten().find(|noted| (noted.side == side) == wanted);
        let privacy = self.privacy.filter(|_| side == Side::Callee);
        let (to, from) = (trunk(true).copied(), trunk(false).map(|noted| noted.trunk));
        NotedSides { to, from, crossing: self.crossing, media: self.media, privacy }
    }
}
