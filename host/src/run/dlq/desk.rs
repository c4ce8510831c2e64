//! What is done with dead letters of a processor, for the command and for HTTP. One replay is one transaction: the records,
//! each addressed to the processor, and a mark per dead letter, so that none is sent twice by mistake. A topic of dead
//! letters may be large: it is read through, and only what is asked for is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::letter::{Letter, Range};
use crate::api::{DeadLettersView, LettersWanted, PassedView, Refused, ReplayView};
use crate::kafka::{Admin, FeedError, Replay, ReplayError, Tail, TopicRecord, TopicsError, groups_reading};
use crate::topology::{ProcessorSettings, TopicNeed, Topology};

/// Dead letters that one run sends: one transaction must not outlive its time-out.
const LETTERS_MAX: usize = 10_000;

/// What they may hold together: they are in memory at once, beside the workers of a host.
const RUN_BYTES_MAX: usize = 256 << 20;

/// What the letters of a page may hold together; a single one is shown whatever it holds.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Why nothing was shown, or nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::run) enum DeskError {
    #[error("{topic} holds no dead letter in {range}")]
    NoLetter { topic: String, range: Range },
    #[error("{topic} is also read by {readers}, which would get the records a second time")]
    Shared { topic: String, readers: String },
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Topics(#[from] TopicsError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl From<DeskError> for Refused {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NoLetter { .. } => Self::Unknown(error.to_string()),
            DeskError::Shared { .. } => {
                Self::Unfit(format!("{error}: if that does no harm, say `\"shared\": true`; nothing was sent"))
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The newest letters that are meant, so many at most.
#[derive(Clone, Debug)]
pub(in crate::run) struct Page {
    /// All if there are none.
    pub ranges: Vec<Range>,
    /// Only those that come before this one.
    pub before: Option<Age>,
    pub limit: usize,
    pub is_whole: bool,
}

impl Page {
    /// # Errors
    /// A place, or where the page ends, does not read as it should.
    pub fn new(wanted: &LettersWanted) -> Result<Self, Refused> {
        let LettersWanted { places, before, limit, is_whole } = wanted;
        let before = before.as_deref().map(|text| {
            let odd = || Refused::Malformed(format!("`before` is what a page gave as `older`, not `{text}`"));
            age_of(text).ok_or_else(odd)
        });
        Ok(Self { ranges: Range::all(places)?, before: before.transpose()?, limit: *limit, is_whole: *is_whole })
    }
}

fn age_of(text: &str) -> Option<Age> {
    let mut parts = text.split('.');
    let age = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(age)
}

/// Where a letter stands among all of them: timestamp, partition, offset.
pub(in crate::run) type Age = (i64, i32, i64);

/// One processor's letters, on one broker.
pub(in crate::run) struct Desk<'a> {
    pub topology: &'a Topology,
    pub processor: &'a ProcessorSettings,
    pub kafka: &'a BTreeMap<String, String>,
}

/// What a run is about to send.
#[derive(Default)]
struct Chosen {
    /// By place, so that each partition's are sent in their order.
    letters: BTreeMap<(i32, i64), Revived>,
    passed: BTreeMap<(i32, i64), PassedView>,
    bytes: usize,
}

struct Revived {
    place: String,
    topic: String,
    record: TopicRecord,
    mark: TopicRecord,
}

impl Desk<'_> {
    /// Letters by place, each with whether it was sent again.
    ///
    /// # Errors
    /// A range holds none, or the broker does not answer.
    pub(super) fn letters(&self, ranges: &[Range]) -> Result<Vec<(Letter, bool)>, DeskError> {
        let marks = self.marks()?;
        let mut letters = Vec::new();
        self.visit(ranges, |letter| {
            let is_sent = marks.contains(&letter.mark());
            letters.push((letter, is_sent));
        })?;
        letters.sort_by_key(|(letter, _)| (letter.record.partition, letter.record.offset));
        Ok(letters)
    }

    /// One page, newest last.
    ///
    /// # Errors
    /// A range holds none, or the broker does not answer.
    pub fn page(&self, page: &Page) -> Result<DeadLettersView, DeskError> {
        let marks = self.marks()?;
        let (mut total, mut kept, mut bytes, mut has_older) = (0, BTreeMap::new(), 0, false);
        self.visit(&page.ranges, |letter| {
            total += 1;
            let age = letter.age();
            if page.before.is_some_and(|before| age >= before) {
                return;
            }
            let size = if page.is_whole { letter.bytes() } else { 0 };
            kept.insert(age, (letter.view(marks.contains(&letter.mark()), page.is_whole), size));
            bytes += size;
            while kept.len() > page.limit || (bytes > PAGE_BYTES_MAX && kept.len() > 1) {
                has_older = true;
                bytes -= kept.pop_first().map_or(0, |(_, (_, size))| size);
            }
        })?;
        let oldest = kept.keys().next().filter(|_| has_older);
        let older = oldest.map(|(ms, partition, offset)| format!("{ms}.{partition}.{offset}"));
        let dead_letters = kept.into_values().map(|(view, _)| view).collect();
        Ok(DeadLettersView { processor: self.processor.name.clone(), total, older, dead_letters })
    }

    /// Sends letters to their inputs again.
    ///
    /// # Errors
    /// A range holds none, others read the same inputs, another run took over, or the broker does not answer: nothing was
    /// sent then.
    pub fn replay(&self, ranges: &[Range], again: bool, shared: bool) -> Result<ReplayView, DeskError> {
        let replay = Replay::begin(self.kafka, &format!("{}.dlq-replay", self.topology.group(self.processor)))?;
        // From here on no other run writes: what is marked now stays all that is marked.
        let marks = if again { BTreeSet::new() } else { self.marks()? };
        let chosen = self.choose(ranges, &marks)?;
        if !shared {
            self.refuse_foreign_readers(chosen.letters.values().map(|l| l.topic.as_str()).collect())?;
        }
        Admin::new(self.kafka)?.ensure(&[self.marks_need()])?;
        let marks_topic = self.marks_topic();
        for Revived { topic, record, mark, .. } in chosen.letters.values() {
            replay.send(topic, record)?;
            replay.send(&marks_topic, mark)?;
        }
        replay.commit()?;
        Ok(ReplayView {
            processor: self.processor.name.clone(),
            sent: chosen.letters.into_values().map(|l| l.place).collect(),
            passed_over: chosen.passed.into_values().collect(),
        })
    }

    fn choose(&self, ranges: &[Range], marks: &BTreeSet<Vec<u8>>) -> Result<Chosen, DeskError> {
        let group = self.topology.group(self.processor);
        let inputs: Vec<&str> = self.processor.inputs.iter().map(|i| i.topic.as_str()).collect();
        let mut chosen = Chosen::default();
        self.visit(ranges, |letter| {
            let at = (letter.record.partition, letter.record.offset);
            let revived = if marks.contains(&letter.mark()) {
                Err("was sent again before; `again` sends it once more".to_owned())
            } else if chosen.letters.len() == LETTERS_MAX || chosen.bytes >= RUN_BYTES_MAX {
                Err(format!("one run sends {LETTERS_MAX}, or {} MiB: run it again", RUN_BYTES_MAX >> 20))
            } else {
                letter.revived(&group, &inputs)
            };
            match revived {
                Ok((topic, record)) => {
                    chosen.bytes += letter.bytes();
                    let mark = letter.mark_record(&topic);
                    chosen.letters.insert(at, Revived { place: letter.place(), topic, record, mark });
                }
                Err(why) => drop(chosen.passed.insert(at, PassedView { dead_letter: letter.place(), why })),
            }
        })?;
        Ok(chosen)
    }

    /// Groups of this application pass what is not meant for them; others would process it twice.
    fn refuse_foreign_readers(&self, topics: BTreeSet<&str>) -> Result<(), DeskError> {
        let own: Vec<String> = self.topology.processors.iter().map(|p| self.topology.group(p)).collect();
        for topic in topics {
            let mut foreign = groups_reading(self.kafka, topic)?;
            foreign.retain(|group| !own.contains(group));
            if !foreign.is_empty() {
                let readers = foreign.into_iter().collect::<Vec<_>>().join(", ");
                return Err(DeskError::Shared { topic: topic.to_owned(), readers });
            }
        }
        Ok(())
    }

    /// Shows each letter that is meant, in the order of each partition.
    fn visit(&self, ranges: &[Range], mut visit: impl FnMut(Letter)) -> Result<(), DeskError> {
        let topic = self.topology.dead_letters(self.processor);
        let mut has_one = vec![false; ranges.len()];
        Tail::new(self.kafka)?.visit(&topic, 0, |record| {
            let mut is_meant = ranges.is_empty();
            for (range, has_one) in ranges.iter().zip(&mut has_one) {
                if range.holds(record.partition, record.offset) {
                    (is_meant, *has_one) = (true, true);
                }
            }
            if is_meant {
                visit(Letter::new(record));
            }
        })?;
        match ranges.iter().zip(has_one).find(|(_, has_one)| !has_one) {
            Some((range, _)) => Err(DeskError::NoLetter { topic, range: *range }),
            None => Ok(()),
        }
    }

    /// Marks of dead letters that were sent again.
    fn marks(&self) -> Result<BTreeSet<Vec<u8>>, DeskError> {
        let topic = self.marks_topic();
        let mut marks = BTreeSet::new();
        if Admin::new(self.kafka)?.topics()?.contains(&topic) {
            Tail::new(self.kafka)?.visit(&topic, 0, |record| marks.extend(record.key))?;
        }
        Ok(marks)
    }

    fn marks_topic(&self) -> String {
        format!("{}.replayed", self.topology.dead_letters(self.processor))
    }

    /// Made by the first replay.
    fn marks_need(&self) -> TopicNeed {
        let letters = self.topology.dead_letters(self.processor);
        let replication =
            self.topology.topic_needs().into_iter().find(|n| n.name == letters).map_or(1, |n| n.replication);
        let settings = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
        TopicNeed { name: self.marks_topic(), partitions: 1, replication, settings }
    }
}
