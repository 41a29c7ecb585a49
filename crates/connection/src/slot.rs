//! Where in a Redis Cluster a command belongs.

use redis::{Arg, Cmd};
use vtox_protocol::keys::slot_of;

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
    use super::*;

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
}
