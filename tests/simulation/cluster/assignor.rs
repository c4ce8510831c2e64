//! Who gets which partitions: the two assignors that librdkafka offers for our use. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What a member says it owns, and since which generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub owned: BTreeSet<i32>,
    pub generation: i32,
}

/// `range`: contiguous shares in the order of the members' names.
pub fn range(members: &[String], partitions: i32) -> BTreeMap<String, BTreeSet<i32>> {
    let mut next = 0;
    let mut shares = BTreeMap::new();
    for (member, quota) in members.iter().zip(quotas(partitions, members.len())) {
        shares.insert(member.clone(), (next..next + quota).collect());
        next += quota;
    }
    shares
}

/// `cooperative-sticky`: members keep what they own as far as shares stay even. A partition that has to move is given to
/// nobody until its owner has let go of it, which takes one more round. Of two who claim the same the newer claim holds.
pub fn sticky(claims: &BTreeMap<String, Claim>, partitions: i32) -> BTreeMap<String, BTreeSet<i32>> {
    let owners = valid_owners(claims);
    let owned = |member: &String| owners.iter().filter(|(_, m)| *m == member).map(|(p, _)| *p).collect::<Vec<i32>>();
    let mut members: Vec<(String, Vec<i32>)> = claims.keys().map(|m| (m.clone(), owned(m))).collect();
    members.sort_by_key(|(name, owned)| (usize::MAX - owned.len(), name.clone()));
    let mut shares: Vec<(String, BTreeSet<i32>, usize)> = members
        .into_iter()
        .zip(quotas(partitions, claims.len()))
        .map(|((name, owned), quota)| (name, owned.into_iter().take(quota as usize).collect(), quota as usize))
        .collect();
    let kept: BTreeSet<i32> = shares.iter().flat_map(|(_, share, _)| share.iter().copied()).collect();
    for partition in (0..partitions).filter(|p| !kept.contains(p)) {
        if let Some((_, share, _)) = shares.iter_mut().find(|(_, share, quota)| share.len() < *quota) {
            share.insert(partition);
        }
    }
    shares.into_iter().map(|(name, share, _)| (name.clone(), without_foreign(share, &name, &owners))).collect()
}

fn without_foreign(share: BTreeSet<i32>, name: &String, owners: &BTreeMap<i32, String>) -> BTreeSet<i32> {
    share.into_iter().filter(|p| owners.get(p).is_none_or(|owner| owner == name)).collect()
}

fn valid_owners(claims: &BTreeMap<String, Claim>) -> BTreeMap<i32, String> {
    let mut best: BTreeMap<i32, (i32, Option<String>)> = BTreeMap::new();
    for (member, claim) in claims {
        for partition in &claim.owned {
            let held = best.entry(*partition).or_insert((i32::MIN, None));
            if claim.generation > held.0 {
                *held = (claim.generation, Some(member.clone()));
            } else if claim.generation == held.0 {
                held.1 = None;
            }
        }
    }
    best.into_iter().filter_map(|(p, (_, member))| Some((p, member?))).collect()
}

fn quotas(partitions: i32, members: usize) -> impl Iterator<Item = i32> {
    let members = members as i32;
    (0..members).map(move |i| partitions / members + i32::from(i < partitions % members))
}
