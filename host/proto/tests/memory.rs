//! What a held request costs in memory, allocator's view: the octets that are live for each context.

#[path = "../benches/call/allocations.rs"]
mod allocations;
#[path = "../benches/call/traffic.rs"]
mod traffic;

use bytes::Bytes;
use traffic::{Traffic, in_dialog, invite, response};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const CALLS: usize = 2000;

/// Feeds a datagram of each call and says what leaves.
fn stage(traffic: &mut Traffic, datagrams: impl Iterator<Item = Bytes>, from_caller: bool) -> Vec<Bytes> {
    let mut sent = Vec::new();
    datagrams.for_each(|datagram| traffic.receive(datagram, from_caller, &mut sent));
    // As the kernel would have copied them: what leaves does not keep a message of the core alive.
    sent.iter().map(|sent| Bytes::copy_from_slice(sent)).collect()
}

/// 4 kB for a ringing call of 1 kB; less once it is answered, when only stragglers are awaited.
#[test]
fn a_held_transaction_pair_is_small() {
    let mut traffic = Traffic::new();
    let empty = allocations::live();
    let per_call = |live: usize, test_owned: usize| (live - empty - test_owned) / CALLS;
    let owned =
        |messages: &Vec<Bytes>| messages.iter().map(|message| message.len() + 2).sum::<usize>() + messages.capacity() * size_of::<Bytes>();

    let invites = stage(&mut traffic, (0..CALLS).map(invite), true);
    drop(stage(&mut traffic, invites.iter().map(|invite| response(invite, 180)), false));
    let ringing = per_call(allocations::live(), owned(&invites));

    let accepted = stage(&mut traffic, invites.iter().map(|invite| response(invite, 200)), false);
    let answered = per_call(allocations::live(), owned(&invites) + owned(&accepted));

    let byes = stage(&mut traffic, accepted.iter().enumerate().map(|(number, answer)| in_dialog("BYE", number, answer)), true);
    drop(stage(&mut traffic, byes.iter().map(|bye| response(bye, 200)), false));
    let ended = per_call(allocations::live(), owned(&invites) + owned(&accepted) + owned(&byes));
    println!("octets for each call: ringing {ringing}, answered {answered}, with its BYE {ended}");
    assert_eq!(traffic.core.contexts(), 2 * CALLS);
    assert!(ringing < 4096 && answered < 2048 && ended < 4096, "{ringing} {answered} {ended}");

    let before = allocations::live();
    let mut sent = Vec::new();
    for _ in 0..40 {
        traffic.pass(std::time::Duration::from_secs(1), &mut sent);
    }
    assert_eq!((traffic.core.contexts(), traffic.core.timers()), (0, 0));
    assert!(allocations::live() < before);
}
