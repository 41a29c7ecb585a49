//! Slots of a Redis Cluster: which one a key is on, and tags that spread over all of them.

use std::sync::LazyLock;

/// Slots of every Cluster.
pub const SLOTS: u16 = 16_384;

/// Slot of a key: what is in its first braces decides, if there is something.
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').map(|close| &rest[..close])
    });
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the Cluster specification asks for.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// Number n of a tag `{vtox-n}` whose slot is in each 256th of all slots.
static TAGS: LazyLock<[u16; PIECES as usize]> = LazyLock::new(|| {
    let mut tags = [None; PIECES as usize];
    for n in 0..u16::MAX {
        let piece = &mut tags[usize::from(slot_of(format!("vtox-{n}").as_bytes()) / (SLOTS / PIECES))];
        *piece = piece.or(Some(n));
        if tags.iter().all(Option::is_some) {
            break;
        }
    }
    tags.map(Option::unwrap_or_default)
});
const PIECES: u16 = super::MAX_SLOT_TAGS;

/// Number of the tag with index `index` of `count`: their slots are spread evenly, so that primaries that share the slots
/// evenly share the tags evenly as well. 0 where there is one tag.
pub(super) fn tag(index: u16, count: u16) -> u16 {
    match count {
        0 | 1 => 0,
        _ => {
            let middle = u32::from(PIECES) * (2 * u32::from(index) + 1) / (2 * u32::from(count));
            TAGS[middle as usize % TAGS.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As `CLUSTER KEYSLOT` answers.
        for (key, slot) in [("foo", 12_182), ("bar", 5_061), ("{}foo", 9_500), ("foo{{bar}}zap", 4_015)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"motor_raw_data:{vtox-3}:17"), slot_of(b"vtox:{vtox-3}:owner:bearing:17"));
    }

    #[test]
    fn tags_are_spread_over_as_many_primaries_as_there_may_be() {
        for count in [16, 32, 64, 256] {
            for primaries in 2_u16..=16 {
                let mut tags = vec![0_u16; usize::from(primaries)];
                for index in 0..count {
                    let slot = slot_of(format!("vtox-{}", tag(index, count)).as_bytes());
                    tags[usize::from(slot) * usize::from(primaries) / usize::from(SLOTS)] += 1;
                }
                let (least, most) = (tags.iter().min().unwrap(), tags.iter().max().unwrap());
                assert!(
                    *least > 0 && most - least <= 2.max(least / 8),
                    "{count} tags, {primaries} primaries: {tags:?}"
                );
            }
        }
    }

    #[test]
    fn every_tag_is_another_one() {
        for count in 2..=PIECES {
            let tags: std::collections::BTreeSet<u16> = (0..count).map(|index| tag(index, count)).collect();
            assert_eq!(tags.len(), usize::from(count));
        }
        assert_eq!(tag(0, 1), 0);
    }

    proptest! {
        #[test]
        fn keys_with_one_tag_share_a_slot(
            tag in "[a-z0-9-]{1,12}", before in "[a-z:]{0,8}", after in ".{0,8}",
        ) {
            let key = format!("{before}{{{tag}}}{after}");
            prop_assert_eq!(slot_of(key.as_bytes()), slot_of(tag.as_bytes()));
            prop_assert!(slot_of(after.as_bytes()) < SLOTS);
        }
    }
}
