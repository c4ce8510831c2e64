//! A host's copies of the table topics: each moves on at its own pace and is published whole, as the host's reader does.
//! A new process begins with nothing. Knows nothing of who reads them.

use std::sync::Arc;

use wasmill::processor::{SharedTable, Table};
use wasmill::record::Offset;

use crate::cluster::{Cluster, Place, Role};
use crate::random::Random;

#[derive(Default)]
pub struct Tables {
    copies: Vec<Copy>,
    moves_permille: u64,
}

struct Copy {
    topic: usize,
    /// Complete once every partition was read to here.
    until: Vec<i64>,
    shared: SharedTable,
}

impl Tables {
    /// What a new process has: empty copies, complete once they have come to the present ends.
    pub fn begin(cluster: &Cluster, tables: u16, random: &mut Random) -> Self {
        let copy = |table: u16| {
            let topic = cluster.topic(Role::Table(table));
            let until: Vec<i64> = cluster.topics[topic].partitions.iter().map(crate::cluster::Log::end).collect();
            let positions = vec![Offset(0); until.len()];
            let shared = SharedTable::default();
            shared.store(Arc::new(Table { positions, ..Table::default() }));
            Copy { topic, until, shared }
        };
        Self { copies: (0..tables).map(copy).collect(), moves_permille: *random.pick(MOVES_PERMILLE) }
    }

    pub fn shared(&self) -> Vec<SharedTable> {
        self.copies.iter().map(|copy| copy.shared.clone()).collect()
    }

    /// Sometimes one of them moves on, by some records or to its end.
    pub fn run(&self, cluster: &Cluster, random: &mut Random) {
        for copy in self.copies.iter().filter(|_| random.chance(self.moves_permille)).collect::<Vec<_>>() {
            copy.advance(cluster, random);
        }
    }
}

/// Of a process: hosts differ, so that one is behind what another has committed.
const MOVES_PERMILLE: &[u64] = &[10, 30, 300];

impl Copy {
    fn advance(&self, cluster: &Cluster, random: &mut Random) {
        let mut table = Table::clone(&self.shared.load());
        for (partition, position) in table.positions.iter_mut().enumerate() {
            let log = cluster.log(Place { topic: self.topic, partition: partition as i32 });
            let left = (log.stable_end() - position.0) as u64;
            let to = position.0 + if random.chance(500) { left } else { random.below(left + 1) } as i64;
            for entry in log.committed(position.0, to) {
                let Some(key) = entry.key.as_deref() else { continue };
                match &entry.value {
                    Some(value) => table.rows.insert(key.into(), value.as_slice().into()),
                    None => table.rows.remove(key),
                };
            }
            *position = Offset(to);
        }
        table.is_complete |= table.positions.iter().zip(&self.until).all(|(at, until)| at.0 >= *until);
        self.shared.store(Arc::new(table));
    }
}
