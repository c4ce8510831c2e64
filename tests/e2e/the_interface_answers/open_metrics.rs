//! A strict reader of OpenMetrics text: whatever it does not know is an error.

use std::collections::{BTreeMap, BTreeSet};

/// Values by name and labels.
pub type Samples = BTreeMap<(String, String), f64>;

/// Every sample of a text.
///
/// # Panics
/// The text is not OpenMetrics.
pub fn parse(text: &str) -> Samples {
    let (body, end) = text.split_at(text.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n", "the end is marked");
    let (mut families, mut helped, mut samples) = (BTreeMap::new(), BTreeSet::new(), Samples::new());
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "TYPE", name, kind] => {
                assert!(["counter", "gauge"].contains(kind), "{line}");
                assert_eq!(families.insert((*name).to_owned(), (*kind).to_owned()), None, "told twice: {line}");
            }
            ["#", "HELP", name, help] => {
                assert!(help.len() > 3 && helped.insert((*name).to_owned()), "{line}");
            }
            [name_and_labels, value] => {
                let (name, labels) = name_and_labels.split_once('{').expect("labels");
                let labels = labels.strip_suffix('}').expect("an end of the labels");
                let family = name.strip_suffix("_total").unwrap_or(name);
                let kind = families.get(family).unwrap_or_else(|| panic!("without a type: {line}"));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                let value: f64 = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(value >= 0.0, "{line}");
                let place = (name.to_owned(), labels.to_owned());
                assert_eq!(samples.insert(place, value), None, "told twice: {line}");
            }
            _ => panic!("no line of OpenMetrics: {line}"),
        }
    }
    assert_eq!(families.keys().collect::<Vec<_>>(), helped.iter().collect::<Vec<_>>(), "each is explained");
    samples
}
