//! The order in which the servers of a service are tried (RFC 2782).

use smallvec::SmallVec;

use crate::record::Srv;

/// The records in the order to try them: by priority, and by lot among those of one priority.
///
/// `draw` gives a number from 0 to the one it is given, both included.
pub(crate) fn in_order<'r>(records: &'r [Srv], draw: &dyn Fn(u32) -> u32) -> SmallVec<[&'r Srv; 8]> {
    // RFC 2782: those of weight 0 stand first, so that they have a very small chance beside others.
    let mut records: SmallVec<[&Srv; 8]> = records.iter().collect();
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut rest = records.as_mut_slice();
    while let Some(priority) = rest.first().map(|record| record.priority) {
        let count = rest.iter().take_while(|record| record.priority == priority).count();
        let (group, behind) = rest.split_at_mut(count);
        draw_lots(group, draw);
        rest = behind;
    }
    records
}

fn draw_lots(group: &mut [&Srv], draw: &dyn Fn(u32) -> u32) {
    let mut rest = group;
    while rest.len() > 1 {
        let total: u32 = rest.iter().map(|record| u32::from(record.weight)).sum();
        let lot = draw(total);
        let mut sum = 0;
        let chosen = rest.iter().position(|record| {
            sum += u32::from(record.weight);
            sum >= lot
        });
        // The chosen one comes first; the others keep their order, so that weight 0 stays in front.
        if let Some(up_to) = rest.get_mut(..=chosen.unwrap_or(0)) {
            up_to.rotate_right(1);
        }
        rest = rest.get_mut(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn records(list: &[(u16, u16)]) -> Vec<Srv> {
        let record =
            |(port, (priority, weight)): (u16, &(u16, u16))| Srv { priority: *priority, weight: *weight, port, target: "t.".into() };
        (0..).zip(list).map(record).collect()
    }

    /// The order as numbers of the records, for the lots drawn.
    fn order(list: &[(u16, u16)], lots: &[u32]) -> Vec<u16> {
        let lots = RefCell::new(lots.iter().copied());
        let records = records(list);
        let order = in_order(&records, &|most| lots.borrow_mut().next().expect("a lot").min(most));
        assert_eq!(lots.borrow_mut().next(), None, "every lot is used");
        order.into_iter().map(|record| record.port).collect()
    }

    #[test]
    fn rfc2782_lower_priorities_come_first() {
        assert_eq!(order(&[(20, 0), (10, 0), (30, 9)], &[]), [1, 0, 2]);
    }

    #[test]
    fn rfc2782_the_lot_decides_by_the_running_sum_of_weights() {
        let list = [(1, 10), (1, 0), (1, 30)];
        // Ordered by weight 0 first: [1: 0] [0: 10] [2: 40].
        for (lots, expected) in
            [(&[0, 0], [1, 0, 2]), (&[1, 0], [0, 1, 2]), (&[10, 1], [0, 2, 1]), (&[11, 0], [2, 1, 0]), (&[40, 10], [2, 0, 1])]
        {
            assert_eq!(order(&list, lots), expected, "{lots:?}");
        }
    }

    #[test]
    fn rfc2782_calls_are_shared_by_weight() {
        let (records, state) = (records(&[(1, 60), (1, 30), (1, 10), (2, 100)]), Cell::new(7u64));
        let draw = |most: u32| {
            // A linear congruential generator: the same numbers in every run.
            state.set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
            u32::try_from((state.get() >> 33) % (u64::from(most) + 1)).unwrap()
        };
        let mut first = [0u32; 4];
        for _ in 0..10_000 {
            let order = in_order(&records, &draw);
            first[usize::from(order[0].port)] += 1;
            assert_eq!(order[3].port, 3, "the higher priority comes last");
        }
        assert_eq!(first[3], 0);
        for (count, expected) in first.into_iter().zip([6000u32, 3000, 1000]) {
            assert!(count.abs_diff(expected) < 250, "{first:?}");
        }
    }

    #[test]
    fn only_weights_of_zero_keep_their_order() {
        assert_eq!(order(&[(1, 0), (1, 0), (1, 0)], &[0, 0]), [0, 1, 2]);
    }
}
