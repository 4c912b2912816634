//! The branches that we put into our Via: they say which shard, context and branch a response belongs to, and carry a digest of the
//! request for loop detection (RFC 5393 4.2.2).
//!
//! ```text
//! z9hG4bKjf SS CCCCCCCC NNNNNNNN BBBB RRRRRRRRRRRRRRRR . LLLLLLLLLLLLLLLL     stateful: shard, slot, serial, branch, nonce, loop digest
//! z9hG4bKjs MMMMMMMMMMMMMMMM . LLLLLLLLLLLLLLLL                              stateless (16.11): a digest of the upstream branch
//! ```
//!
//! The nonce is a keyed digest of what stands before it, so nothing is stored for it and a forged response finds nothing.

use std::hash::Hasher;
use std::net::SocketAddr;

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use super::io::{BranchId, ContextId};
use crate::message::{Message, Name, Via};

const STATEFUL: &[u8] = b"z9hG4bKjf";
const STATELESS: &[u8] = b"z9hG4bKjs";

/// Text put together on the stack: the one allocation that it ends in has the right size.
pub(super) type Scratch = SmallVec<[u8; 128]>;

/// A digest over the parts of a request that decide where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoopDigest(u64);

impl LoopDigest {
    /// Everything but what changes from hop to hop. A plugin may route by any header field, so any difference makes a spiral, not a
    /// loop; but for the numbers, which we change ourselves towards a trunk ([`super::Numbering::Spaced`]) and nobody routes by. The key is that
    /// of all shards, as a loop may come back to another one.
    pub(super) fn of(request: &Message, key: &[u8; 16]) -> Self {
        let mut hasher = SipHasher13::new_with_key(key);
        hasher.write(b"loop");
        hasher.write(request.request_uri());
        for field in request.fields() {
            let is_of_the_hop =
                matches!(field.name, Name::Via | Name::MaxForwards | Name::MaxBreadth | Name::RecordRoute | Name::ContentLength);
            if !is_of_the_hop && !matches!(field.name, Name::CSeq | Name::RAck) {
                hasher.write(field.value);
                hasher.write_u8(b'\n');
            }
        }
        Self(hasher.finish())
    }
}

/// A branch of ours, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnBranch {
    Stateful { shard: u8, id: BranchId, nonce: u64 },
    Stateless { digest: u64 },
}

impl OwnBranch {
    /// Reads a branch parameter; none if we did not write it.
    pub(super) fn parse(branch: &[u8]) -> Option<(Self, LoopDigest)> {
        let (own, rest) = if let Some(rest) = branch.strip_prefix(STATEFUL) {
            let (shard, rest) = hex(rest, 2)?;
            let (slot, rest) = hex(rest, 8)?;
            let (serial, rest) = hex(rest, 8)?;
            let (index, rest) = hex(rest, 4)?;
            let (nonce, rest) = hex(rest, 16)?;
            let context = ContextId { slot: u32::try_from(slot).ok()?, serial: u32::try_from(serial).ok()? };
            let id = BranchId { context, index: u16::try_from(index).ok()? };
            (Self::Stateful { shard: u8::try_from(shard).ok()?, id, nonce }, rest)
        } else {
            let (digest, rest) = hex(branch.strip_prefix(STATELESS)?, 16)?;
            (Self::Stateless { digest }, rest)
        };
        let (digest, rest) = hex(rest.strip_prefix(b".")?, 16)?;
        rest.is_empty().then_some((own, LoopDigest(digest)))
    }
}

/// The stateful branch of `id`.
pub(super) fn stateful(shard: u8, id: BranchId, secret: u128, digest: LoopDigest) -> Scratch {
    let mut branch = Scratch::from_slice(STATEFUL);
    put_hex(&mut branch, u64::from(shard), 2);
    put_hex(&mut branch, u64::from(id.context.slot), 8);
    put_hex(&mut branch, u64::from(id.context.serial), 8);
    put_hex(&mut branch, u64::from(id.index), 4);
    put_hex(&mut branch, nonce(id, secret), 16);
    branch.push(b'.');
    put_hex(&mut branch, digest.0, 16);
    branch
}

/// The nonce that belongs to `id`.
pub(super) fn nonce(id: BranchId, secret: u128) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&secret.to_le_bytes());
    hasher.write_u32(id.context.slot);
    hasher.write_u32(id.context.serial);
    hasher.write_u16(id.index);
    hasher.finish()
}

/// The branch of a request forwarded without state: the same for a retransmission (16.11).
pub(super) fn stateless(digest: u64, loop_digest: LoopDigest) -> Scratch {
    let mut branch = Scratch::from_slice(STATELESS);
    put_hex(&mut branch, digest, 16);
    branch.push(b'.');
    put_hex(&mut branch, loop_digest.0, 16);
    branch
}

/// What a stateless branch carries: a keyed digest of the Via below it and of where its responses go, so that nobody can make us send
/// a response elsewhere.
pub(super) fn stateless_digest(call_id: &[u8], upstream_branch: &[u8], reply_to: SocketAddr, key: &[u8; 16]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(key);
    hasher.write(b"stateless");
    hasher.write(call_id);
    hasher.write_u8(0);
    hasher.write(upstream_branch);
    hasher.write_u16(reply_to.port());
    match reply_to {
        SocketAddr::V4(address) => hasher.write(&address.ip().octets()),
        SocketAddr::V6(address) => hasher.write(&address.ip().octets()),
    }
    hasher.finish()
}

/// The shard named in the top Via of a response; none if that is not ours.
pub(super) fn shard_of_response(response: &Message) -> Option<u8> {
    match OwnBranch::parse(response.top_via()?.branch()?)?.0 {
        OwnBranch::Stateful { shard, .. } => Some(shard),
        OwnBranch::Stateless { .. } => None,
    }
}

/// The branch in a datagram of ours that somebody quotes, as far as it is quoted: our Via is always the first field of a request. None for
/// what is no request of ours.
pub(super) fn in_quote(quoted: &[u8]) -> Option<OwnBranch> {
    let mut lines = quoted.split(|octet| *octet == b'\n');
    lines.next().filter(|line| !line.starts_with(b"SIP/"))?;
    let via = Via::parse(lines.next()?.strip_suffix(b"\r")?.strip_prefix(b"Via: ")?)?;
    OwnBranch::parse(via.branch()?).map(|(own, _)| own)
}

/// Appends the lowest `digits` hexadecimal digits of `value`.
pub(super) fn put_hex(out: &mut Scratch, value: u64, digits: u32) {
    for position in (0..digits).rev() {
        let nibble = ((value >> (4 * position)) & 0xf) as u8;
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

/// Reads `digits` lower-case hexadecimal digits; the rest comes back with the value.
pub(super) fn hex(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for byte in number {
        let nibble = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        value = (value << 4) | u64::from(nibble);
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_reads_back() {
        let id = BranchId { context: ContextId { slot: 0x1234_5678, serial: 0x9abc_def0 }, index: 31 };
        let branch = stateful(3, id, 42, LoopDigest(u64::MAX));
        assert!(branch.starts_with(b"z9hG4bK"));
        assert_eq!(OwnBranch::parse(&branch), Some((OwnBranch::Stateful { shard: 3, id, nonce: nonce(id, 42) }, LoopDigest(u64::MAX))));
        let branch = stateless(77, LoopDigest(1));
        assert_eq!(OwnBranch::parse(&branch), Some((OwnBranch::Stateless { digest: 77 }, LoopDigest(1))));
    }

    #[test]
    fn other_branches_are_not_ours() {
        for branch in
            [&b"z9hG4bK776asdhds"[..], b"", b"z9hG4bKjf", b"z9hG4bKjs0123456789abcdef", b"z9hG4bKjsx123456789abcdef.0123456789abcdef"]
        {
            assert_eq!(OwnBranch::parse(branch), None);
        }
        let whole = stateless(77, LoopDigest(1));
        assert_eq!(OwnBranch::parse(&[&whole[..], b"0"].concat()), None);
    }
}
