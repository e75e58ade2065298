//! The order of examples in an epoch, and where what is random comes from.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

/// How many batches' worth of examples are sorted by length at a time.
const WINDOW: usize = 64;

/// What random numbers are drawn for. Each draws from a stream of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The order of an epoch.
    Order,
    /// The words that are hidden in an example.
    Words,
    /// Which text comes after which.
    Pairs,
}

/// Random numbers for an epoch, and in it for an example: the same on every machine, and unlike those of any
/// other seed, epoch, example or purpose.
pub(super) fn random(seed: u64, epoch: u64, example: u64, purpose: Purpose) -> StdRng {
    let mut bytes = [0; 32];
    let parts = [seed, epoch, example, purpose as u64];
    for (slot, byte) in bytes.iter_mut().zip(parts.iter().flat_map(|part| part.to_le_bytes())) {
        *slot = byte;
    }
    StdRng::from_seed(bytes)
}

/// The batches of an epoch, at most `batch` examples in each: every example once, those of a batch alike in
/// `shape` (which orders them by what must be the same, `.0`, then by what had better be, `.1`).
///
/// Examples are shuffled, taken in windows, sorted in each, and cut into batches, which are shuffled again.
pub(super) fn batches(
    count: usize,
    batch: usize,
    random: &mut StdRng,
    shape: impl Fn(usize) -> (usize, usize),
) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(random);
    let batch = batch.max(1);
    let mut batches: Vec<Vec<usize>> = Vec::with_capacity(count.div_ceil(batch));
    for window in order.chunks_mut(batch.saturating_mul(WINDOW)) {
        // Stable: examples of one shape stay in their random order.
        window.sort_by_key(|example| shape(*example));
        for group in window.chunk_by(|one, other| shape(*one).0 == shape(*other).0) {
            batches.extend(group.chunks(batch).map(<[usize]>::to_vec));
        }
    }
    batches.shuffle(random);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        let shape = |example: usize| (example % 2, example % 100);
        batches(1001, 4, &mut random(seed, epoch, 0, Purpose::Order), shape)
    }

    #[test]
    fn every_example_is_there_once_among_its_like() {
        let batches = epoch(7, 0);
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1001).collect::<Vec<_>>());
        let mut widest = 0;
        for batch in &batches {
            assert!((1..=4).contains(&batch.len()));
            assert!(batch.iter().all(|example| example % 2 == batch[0] % 2));
            let lengths = batch.iter().map(|example| example % 100);
            widest += lengths.clone().max().unwrap() - lengths.min().unwrap();
        }
        // Unsorted they would differ by 60 on average.
        assert!(widest / batches.len() < 10, "{widest}");
        // A partial batch for each kind in each of 4 windows, at most.
        assert!(batches.len() <= 251 + 8, "{}", batches.len());
    }

    #[test]
    fn the_order_is_that_of_seed_and_epoch() {
        assert_eq!(epoch(7, 1), epoch(7, 1));
        assert_ne!(epoch(7, 1), epoch(7, 2));
        assert_ne!(epoch(7, 1), epoch(8, 1));
        // What every machine gives.
        let mut few = random(42, 0, 0, Purpose::Order);
        assert_eq!(batches(7, 3, &mut few, |_| (0, 0)), [vec![4], vec![5, 0, 3], vec![6, 1, 2]]);
    }
}
