//! Topology hiding without a table: two sides of a border see only this proxy. What the one side has written into Via, Record-Route, Route
//! and Contact goes to the other sealed ([`seal`]), and comes back with the requests that need it, to any process that has the key.
//!
//! ```text
//!          caller's side                                      callee's side
//! Via      theirs; put back into responses                    ours alone
//! R-R      <sip:LAN;lr;jf=D;jh=S>, then theirs                <sip:WAN;lr;jf=D;jh=S>, then those added there
//! Contact  <sip:jh-S@LAN>                                     <sip:jh-S@WAN>
//! Call-ID  as the caller wrote it                             the same, or jh-S
//! ```
//!
//! `D` is the token of the dialog ([`super::token`]). It notes both sides and what is hidden between them, so that a dialog keeps what it began
//! with; as it goes to both sides, its notes are encrypted ([`super::sealed_notes`]). `S` is sealed: the Record-Route values of the other side, in the
//! order in which this side needs them as Route; a Contact, bound to the Call-ID and to the tag of whose it is. Where a request comes in, [`entry`] takes all that apart before anything routes by it, and everything
//! inside sees the Call-ID of who began the dialog. So a Route of ours with `jh` is one pass through this proxy, and what it stands for is
//! visited after it, this proxy itself included where the request spirals.
//!
//! What is refused: a text that looks sealed and does not open where it is used gets 403, and 404 where it is no such text at all
//! ([`super::Core::refused_tokens`] counts both). In an INVITE with Replaces or Join a Contact may be bound to the dialog that these name
//! (RFC 3891, RFC 3911), as an attended transfer needs it.
//!
//! In REGISTER a Contact holds its flow and the Path values as well, and no Path of ours is written. A registrar's Service-Route becomes one URI of
//! ours, which unfolds where it comes back as a preloaded Route; it gives no right that writing out its values would not give.
//!
//! A CANCEL that matches nothing here (RFC 3261 16.10) is answered with 481: without the Vias nobody could bring its responses back.
//!
//! # Growth
//!
//! A value of `n` octets becomes `4 (n + 17) / 3` characters, rounded up ([`seal`]). A Contact of 40 octets, which is usual, becomes a user part of
//! 79; one Record-Route of 26 octets becomes a `jh` of 58, two of them with their comma one of 94. Vias do not grow: all of the other side go. Bounds:
//! [`ROUTES_MAX`], [`CONTACT_MAX`], [`PATHS_MAX`] and [`CALL_ID_MAX`], so that no message with one Contact grows by more than some 2,300 octets. There may
//! be [`VALUES_MAX`] of them, each of which grows by itself; of Refer-To and of the Call-IDs in other fields the same holds. A request beyond them
//! is answered with 400, whose reason phrase says what is too long: 513 would speak of the whole message, and its sender could only send
//! the same again. In a response what is beyond them is left out, as there is nobody to refuse it to. A request that goes round in a loop
//! (16.3 item 4) has another Contact each time, sealed once more, and so ends at the bound of that after a few rounds.

mod call_id;
mod clean;
mod contact;
mod cover;
mod entry;
mod kept;
mod origin;
mod refer;
mod register;
mod request;
mod response;
mod seal;

pub(super) use cover::Cover;
pub(super) use entry::{Unfolded, inside_call_id, sealed_contact, unfolded};
pub(super) use kept::Hidden;
pub(super) use register::{is_sealed, registered};
pub(super) use seal::Seals;

/// Octets of the Record-Route values of one side.
const ROUTES_MAX: usize = 1_024;

/// Values of one field that are sealed one by one: Contacts, and Call-IDs that a field lists.
const VALUES_MAX: usize = 32;

/// Octets of the URI of a Contact.
const CONTACT_MAX: usize = 512;

/// Octets of the Path values of a REGISTER.
const PATHS_MAX: usize = 512;

/// Octets of a Call-ID that is hidden.
const CALL_ID_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::seal::{VALUE_MAX, text_length};
    use super::*;

    /// The figures above.
    #[test]
    fn growth_is_as_stated() {
        assert_eq!(3 + text_length(40), 79);
        assert_eq!((text_length(26), text_length(2 * 26 + 1)), (58, 94));
        for length in 1..VALUE_MAX {
            assert_eq!(text_length(length), (4 * (length + 17)).div_ceil(3));
        }
        let added = |length: usize| text_length(length) - length;
        assert!(text_length(ROUTES_MAX) + added(CONTACT_MAX) + 3 + added(CALL_ID_MAX) + 3 < 2_300);
        const { assert!(CONTACT_MAX + PATHS_MAX + 64 <= VALUE_MAX, "a registered Contact with its flow") };
    }
}
