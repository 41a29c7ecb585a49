//! Which slot of a Redis Cluster a key, and so a command, belongs to.

use redis::{Arg, Cmd};

/// Slots of every Cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// Where a command must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the primary that owns this slot.
    Slot(u16),
    /// To every primary.
    AllPrimaries,
    /// It has no key: to one and the same primary, so that answers of its clock can be compared.
    NoKey,
}

/// Slot of a key: what is in its first braces decides, if there is something.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
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

/// Where a command must go, by its first key; the others must be on the same slot.
pub(crate) fn destination(command: &Cmd) -> Destination {
    let words: Vec<&[u8]> = command
        .args_iter()
        .map(|word| match word {
            Arg::Simple(word) => word,
            _ => b"",
        })
        .collect();
    let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    let key = match name.as_slice() {
        b"SCRIPT" => return Destination::AllPrimaries,
        b"PING" | b"TIME" | b"INFO" | b"CONFIG" | b"PUBLISH" | b"ACL" | b"CLUSTER" | b"WAIT"
        | b"FLUSHALL" => None,
        b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" => {
            if words.get(2).is_some_and(|count| *count == b"0") { None } else { words.get(3) }
        }
        b"XREAD" => {
            words.iter().position(|w| w.eq_ignore_ascii_case(b"STREAMS")).and_then(|at| words.get(at + 1))
        }
        b"XINFO" | b"XGROUP" | b"MEMORY" | b"OBJECT" => words.get(2),
        _ => words.get(1),
    };
    key.map_or(Destination::NoKey, |key| Destination::Slot(slot_of(key)))
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
    fn a_command_goes_where_its_first_key_is() {
        let of = |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            destination(command.arg(&words[1..]))
        };
        let key = Destination::Slot(slot_of(b"key"));
        for words in [
            &["GET", "key"][..],
            &["EVALSHA", "hash", "2", "key", "{key}other", "argument"],
            &["evalsha_ro", "hash", "1", "key"],
            &["XREAD", "COUNT", "1", "BLOCK", "5", "STREAMS", "key", "{key}other", "0", "0"],
            &["XINFO", "STREAM", "key"],
            &["XGROUP", "CREATE", "key", "group", "$"],
            &["MEMORY", "USAGE", "key"],
        ] {
            assert_eq!(of(words), key, "{words:?}");
        }
        assert_eq!(of(&["SCRIPT", "LOAD", "return 1"]), Destination::AllPrimaries);
        for words in [&["TIME"][..], &["PUBLISH", "channel", "key"], &["EVAL", "return 1", "0", "key"]] {
            assert_eq!(of(words), Destination::NoKey, "{words:?}");
        }
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
