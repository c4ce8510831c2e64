//! Runs the scenarios of `plugins/vectors/*.json` against a processor, by the SDK's test driver. Included by the tests of
//! each Rust plugin; other languages have a runner of their own (see the README beside it).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use wasmill_sdk::Processor;
use wasmill_sdk::testing::{Driver, Error, Sent, Setup};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scenario {
    pub name: String,
    #[serde(default)]
    settings: Option<Value>,
    pub steps: Vec<Step>,
    #[serde(default)]
    stores: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Step {
    pub input: Option<String>,
    pub table: Option<String>,
    pub key: Option<String>,
    pub value: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub advance_ms: Option<i64>,
    #[serde(default)]
    pub tick: bool,
    #[serde(default)]
    pub sent: Vec<SentJson>,
    pub failure: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SentJson {
    output: String,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// A tick of the processor, if it has any.
pub type Tick<P> = fn(&mut Driver<P>) -> Result<Vec<Sent>, Error>;

/// Runs every scenario of a file with several seeds, which split batches and replace instances at other places.
pub fn run<P: Processor>(file: &str, inputs: &[&str], setup: impl Fn() -> Setup<P>, tick: Option<Tick<P>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(file);
    let text = std::fs::read_to_string(&path).expect("the vectors stand beside the plugins");
    let scenarios: Vec<Scenario> = serde_json::from_str(&text).expect("the vectors are what their README says");
    assert!(!scenarios.is_empty());
    for scenario in &scenarios {
        for seed in 1..6 {
            let mut setup = setup().inputs(inputs).seed(seed);
            if let Some(settings) = &scenario.settings {
                setup = setup.settings(settings.clone());
            }
            let mut driver = setup.open().expect("the settings fit");
            for (index, step) in scenario.steps.iter().enumerate() {
                take(&mut driver, inputs, step, tick, &format!("{}, step {index}", scenario.name));
            }
            check_stores(&driver, scenario);
        }
    }
}

fn take<P: Processor>(driver: &mut Driver<P>, inputs: &[&str], step: &Step, tick: Option<Tick<P>>, place: &str) {
    driver.advance_ms(step.advance_ms.unwrap_or_default());
    if let Some(table) = &step.table {
        let (key, value) = (step.key.as_deref().expect("a key"), step.value.as_deref().expect("a value"));
        return driver.set_row(table, key, value);
    }
    let sent = if step.tick {
        tick.expect("the processor has ticks")(driver)
    } else if let Some(input) = &step.input {
        let input = inputs.iter().position(|name| name == input).expect("an input") as u32;
        let record = (step.key.as_deref().map(str::as_bytes), step.value.as_deref().map(str::as_bytes));
        let headers: Vec<_> = step.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        driver.send_headed(input, record, &headers)
    } else {
        return;
    };
    match (sent, &step.failure) {
        (Ok(sent), None) => {
            let sent: Vec<SentJson> = sent.into_iter().map(SentJson::of).collect();
            assert_eq!(sent, step.sent, "{place}");
        }
        (Err(Error::Failure(failure)), Some(code)) => assert_eq!(&failure.code, code, "{place}"),
        (other, expected) => panic!("{place}: {other:?}, expected failure {expected:?}"),
    }
}

fn check_stores<P: Processor>(driver: &Driver<P>, scenario: &Scenario) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("stores hold text");
    for (store, expected) in &scenario.stores {
        let held: BTreeMap<String, String> =
            driver.all_stored(store).into_iter().map(|(key, value)| (text(key), text(value))).collect();
        assert_eq!(&held, expected, "{}: store {store}", scenario.name);
    }
}

impl SentJson {
    fn of(sent: Sent) -> Self {
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let headers = sent.headers.into_iter().map(|(name, value)| (name, text(value).unwrap_or_default())).collect();
        Self { output: sent.output, key: text(sent.key), value: text(sent.value), headers }
    }
}
