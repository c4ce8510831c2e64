//! What became of a commit whose outcome nobody told: read from what is committed now, by sequence and nonce.
//! Offsets are never looked at: a tick or a genesis commits the same ones again.

use super::{Committed, Metadata, Verdict};

/// Compares what each input carries now with the commit in question.
pub fn verdict(ours: &Metadata, found: &[Option<Committed>]) -> Verdict {
    let seen: Vec<Seen> = found.iter().map(|c| see(ours, c.as_ref())).collect();
    let all = |what: Seen| seen.iter().all(|s| *s == what);
    if all(Seen::Ours) {
        Verdict::Committed
    } else if seen.contains(&Seen::Later) {
        Verdict::Foreign
    } else if all(Seen::Earlier) {
        Verdict::NotCommitted
    } else {
        Verdict::Torn
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Ours,
    Earlier,
    /// Of somebody who committed after us, or instead of us.
    Later,
}

fn see(ours: &Metadata, found: Option<&Committed>) -> Seen {
    let Some(found) = found.and_then(|c| c.metadata.parse::<Metadata>().ok()) else { return Seen::Earlier };
    if found.is_same_commit(ours) {
        Seen::Ours
    } else if found.sequence < ours.sequence {
        Seen::Earlier
    } else {
        Seen::Later
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Offset;

    fn found(sequence: u64, nonce: u64) -> Option<Committed> {
        let metadata = Metadata { sequence, nonce, ..Metadata::default() }.to_string();
        Some(Committed { next: Offset(7), metadata })
    }

    #[test]
    fn sequence_and_nonce_decide() {
        let ours = Metadata { sequence: 5, nonce: 9, ..Metadata::default() };
        let cases = [
            (vec![found(5, 9), found(5, 9)], Verdict::Committed),
            (vec![found(4, 9), found(4, 9)], Verdict::NotCommitted),
            (vec![found(4, 1), found(4, 1)], Verdict::NotCommitted),
            (vec![None, None], Verdict::NotCommitted),
            (vec![found(5, 8), found(5, 8)], Verdict::Foreign),
            (vec![found(6, 9), found(6, 9)], Verdict::Foreign),
            (vec![found(5, 9), found(4, 9)], Verdict::Torn),
            (vec![found(5, 9), None], Verdict::Torn),
        ];
        for (committed, expected) in cases {
            assert_eq!(verdict(&ours, &committed), expected, "{committed:?}");
        }
    }
}
