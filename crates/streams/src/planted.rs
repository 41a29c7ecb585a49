//! Bugs that tests plant, one at a time, to prove that the ledger would see them. A build without debug assertions has none of
//! them; another takes the name of one from `PLANTED_BUG`.

use std::sync::OnceLock;

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The cursor is moved first, the results are written afterwards.
    CursorBeforeResult,
    /// A commit does not compare the ownership token.
    NoTokenCompare,
    /// A commit does not compare the cursor.
    NoCursorCompare,
    /// Folded state is written after the commit.
    StateOutsideCommit,
    /// The raw stream is bounded by MAXLEN.
    RawMaxlen,
    /// Raw entries are trimmed behind the fastest fault type.
    TrimBehindFastest,
    /// A message id that was seen is appended again.
    NoIdCheck,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CursorBeforeResult,
        Self::NoTokenCompare,
        Self::NoCursorCompare,
        Self::StateOutsideCommit,
        Self::RawMaxlen,
        Self::TrimBehindFastest,
        Self::NoIdCheck,
    ];

    /// Its name in `PLANTED_BUG`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CursorBeforeResult => "cursor_before_result",
            Self::NoTokenCompare => "no_token_compare",
            Self::NoCursorCompare => "no_cursor_compare",
            Self::StateOutsideCommit => "state_outside_commit",
            Self::RawMaxlen => "raw_maxlen",
            Self::TrimBehindFastest => "trim_behind_fastest",
            Self::NoIdCheck => "no_id_check",
        }
    }

    /// Whether this process has it.
    pub(crate) fn is_planted(self) -> bool {
        static PLANTED: OnceLock<Option<Bug>> = OnceLock::new();
        cfg!(debug_assertions)
            && *PLANTED.get_or_init(|| {
                let name = std::env::var("PLANTED_BUG").ok()?;
                Self::ALL.into_iter().find(|bug| bug.name() == name)
            }) == Some(self)
    }

    /// What is cut out of a script for it, and put there instead.
    const fn edit(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NoTokenCompare => Some(("if row[1] ~= token then", "if false then")),
            Self::NoCursorCompare => Some((
                "if cursor == to and from ~= to then return { 'repeated', cursor } end\n\
                 if cursor ~= from then return { 'moved', cursor } end",
                "",
            )),
            Self::RawMaxlen => Some(("'XADD', KEYS[1], '*'", "'XADD', KEYS[1], 'MAXLEN', 20, '*'")),
            Self::TrimBehindFastest => {
                Some(("ms < low_ms or (ms == low_ms and seq < low_seq)", "ms > low_ms or seq > low_seq"))
            }
            Self::NoIdCheck => Some(("if earlier then", "if false then")),
            Self::CursorBeforeResult | Self::StateOutsideCommit => None,
        }
    }
}

/// A script, with the planted bug if it is one of this script.
pub(crate) fn script(source: &str) -> redis::Script {
    let planted = Bug::ALL.into_iter().find(|bug| bug.is_planted()).and_then(Bug::edit);
    match planted {
        Some((good, bad)) => redis::Script::new(&source.replacen(good, bad, 1)),
        None => redis::Script::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_finds_its_place() {
        let sources = [
            include_str!("scripts/commit.lua"),
            include_str!("scripts/publish.lua"),
            include_str!("scripts/trim.lua"),
        ];
        for (good, _) in Bug::ALL.into_iter().filter_map(Bug::edit) {
            assert_eq!(sources.iter().map(|s| s.matches(good).count()).sum::<usize>(), 1, "{good}");
        }
    }
}
