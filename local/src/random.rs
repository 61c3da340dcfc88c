//! Pseudorandom numbers as a pure function of seed and index. There is no state, so request 4711 of seed 7 meets the same fault
//! whatever happened before it.

use fastrand::Rng;

/// Returns the number of `seed` at `index`.
pub(crate) fn number(seed: u64, index: u64) -> u64 {
    let of = |seed| Rng::with_seed(seed).u64(..);
    of(of(seed).wrapping_add(index))
}

/// Returns the number of `seed` at `index`, scaled to the range from 0 (inclusive) to 1 (exclusive).
pub(crate) fn share(seed: u64, index: u64) -> f64 {
    (number(seed, index) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Returns the text of a version 4 UUID made from the numbers of `seed` at `index`.
pub(crate) fn uuid(seed: u64, index: u64) -> String {
    let (high, low) = (number(seed, index), number(!seed, index));
    let (a, b, c) = (high >> 32, (high >> 16) & 0xFFFF, high & 0x0FFF);
    let (d, e) = ((low >> 48) & 0x3FFF | 0x8000, low & 0xFFFF_FFFF_FFFF);
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_the_form_of_version_4() {
        let uuids: Vec<_> = (0..100).map(|index| uuid(7, index)).collect();
        for uuid in &uuids {
            let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid[14..].starts_with('4') && "89ab".contains(&uuid[19..20]), "{uuid}");
        }
        assert_eq!(uuids.iter().collect::<std::collections::BTreeSet<_>>().len(), uuids.len());
    }
}
