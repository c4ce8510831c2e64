//! The driver finds what a host would find.

use std::collections::HashMap;

use super::*;
use crate::{Batch, Config, Keys, Out, Output, Part, Store, Table};

/// Adds numbers by key. Honest with `{"memory": false}`; otherwise it believes its own memory.
struct Sum {
    out: Output,
    sums: Store,
    factors: Table,
    believes_memory: bool,
    memory: HashMap<Vec<u8>, i64>,
}

fn number(bytes: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(bytes?).ok()?.parse().ok()
}

impl Processor for Sum {
    fn open(config: &Config) -> Result<Self, String> {
        let settings: HashMap<String, bool> = config.settings()?;
        Ok(Self {
            out: config.output("sums"),
            sums: config.store("sum"),
            factors: config.table("factors"),
            believes_memory: settings.get("memory").copied().unwrap_or(false),
            memory: HashMap::new(),
        })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        for record in batch.records() {
            let key = record.key.unwrap_or_default();
            let value = number(record.value).ok_or_else(|| Failure::new("malformed", "no number").at(&record))?;
            let factor = number(self.factors.get(key).as_deref()).unwrap_or(1);
            let mut sum = 0;
            self.sums.update_many(&std::iter::once(key).collect::<Keys>(), |_, entry| {
                let stored = number(entry.value()).unwrap_or(0);
                let old = if self.believes_memory { *self.memory.get(key).unwrap_or(&0) } else { stored };
                sum = old + value * factor;
                entry.set(sum.to_string().as_bytes());
                Ok::<(), Failure>(())
            })?;
            self.memory.insert(key.to_vec(), sum);
            out.of(&record).send(self.out, Part::Same, &sum.to_string());
        }
        Ok(())
    }
}

impl Ticks for Sum {
    fn tick(&mut self, batch: Batch<'_>, missed: u64, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |record, out| {
            let sums = self.sums.scan(b"", None).count();
            out.send(self.out, Part::Null, &format!("{sums} sums at {} missed {missed}", record.timestamp_ms));
            Ok(())
        })
    }
}

fn setup(settings: Value) -> Setup<Sum> {
    Driver::new().output("sums").store("sum").table("factors", &[("b", "10")]).settings(settings)
}

/// The last sums of one hundred records with a seed.
fn run(settings: Value, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut driver = setup(settings).seed(seed).open().expect("it opens");
    let records: Vec<_> = (0..100).map(|n| (["a", "b", "c"][n % 3], n.to_string())).collect();
    driver.send(&records).expect("numbers");
    driver.all_stored("sum")
}

#[test]
fn an_honest_processor_gives_the_same_result_however_it_is_run() {
    let first = run(json!({}), 1);
    assert!((2..40).all(|seed| run(json!({}), seed) == first));
    assert_eq!(first[1], (b"b".to_vec(), b"16170".to_vec()));
}

#[test]
fn a_processor_that_believes_its_memory_is_found_out() {
    let honest = run(json!({}), 1);
    assert!((1..10).any(|seed| run(json!({"memory": true}), seed) != honest));
}

#[test]
fn a_failure_drops_its_call_and_names_its_record() {
    let mut driver = setup(json!({})).open().expect("it opens");
    driver.keep_calm();
    driver.send(&[("a", "1")]).expect("a number");
    let failed = driver.send(&[("a", "2"), ("a", "x")]).expect_err("no number");
    assert_eq!(failed, Error::Failure(Failure { index: Some(1), ..Failure::new("malformed", "no number") }));
    assert_eq!(driver.stored("sum", "a"), Some(b"1".to_vec()));
}

#[test]
fn an_index_counts_within_what_was_sent() {
    for seed in 1..20 {
        let mut driver = setup(json!({})).seed(seed).open().expect("it opens");
        let mut records = vec![("a", "1"); 20];
        records[13].1 = "x";
        let Err(Error::Failure(failure)) = driver.send(&records) else { panic!("no failure") };
        assert_eq!(failure.index, Some(13), "seed {seed}");
    }
}

#[test]
fn tables_ticks_and_time_are_as_told() {
    let mut driver = setup(json!({})).open().expect("it opens");
    driver.set_row("factors", "a", "100");
    let sent = driver.send(&[("a", "1"), ("b", "1")]).expect("numbers");
    assert_eq!(sent, [Sent::new("sums", "a", "100"), Sent::new("sums", "b", "10")]);
    driver.advance_ms(60_000);
    let ticked = driver.tick(2).expect("it ticks");
    assert_eq!(ticked[0].text(), "2 sums at 1700000060000 missed 2");
    assert_eq!(driver.now_ms(), 1_700_000_060_000);
}

#[test]
fn what_is_not_declared_does_not_open() {
    let Err(Error::Open(reason)) = Driver::<Sum>::new().open() else { panic!("it opened") };
    let expected = "not declared for processor `test` in the manifest: output `sums`, store `sum`, table `factors`";
    assert_eq!(reason, expected);
}
