//! Reads payments and forwards those whose fraud probability is above a threshold. Keeps no state.

use serde::Deserialize;
use wasmill_sdk::{Batch, Config, Failure, Out, Output, Processor};

struct Fraud {
    suspicious: Output,
    threshold: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Payments with a greater probability are forwarded.
    #[serde(default = "default_threshold")]
    threshold: f64,
}

/// What this component needs to know of a payment.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    fraud_probability: f64,
}

fn default_threshold() -> f64 {
    0.8
}

impl Processor for Fraud {
    fn open(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.settings()?;
        if !(0.0..=1.0).contains(&settings.threshold) {
            return Err(format!(
                "settings: threshold is {}, but a probability lies between 0 and 1",
                settings.threshold
            ));
        }
        Ok(Self { suspicious: config.output("fraudulent-payments"), threshold: settings.threshold })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |record, out| {
            let value = record.value.ok_or_else(|| Failure::new("malformed", "a payment without a value"))?;
            let payment: Payment = serde_json::from_slice(value)?;
            if payment.fraud_probability > self.threshold {
                out.forward(self.suspicious);
            }
            Ok(())
        })
    }
}

wasmill_sdk::export!(Fraud);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasmill_sdk::Failure;
    use wasmill_sdk::testing::{Driver, Error, Sent};

    use super::Fraud;

    fn driver(settings: serde_json::Value) -> Result<Driver<Fraud>, Error> {
        Driver::new().output("fraudulent-payments").settings(settings).open()
    }

    fn payment(probability: &str) -> String {
        format!(r#"{{"id":"p","fraudProbability":{probability}}}"#)
    }

    #[test]
    fn payments_above_the_threshold_are_forwarded() {
        let cases = [
            (json!(null), "0.8", false),
            (json!({}), "0.8000001", true),
            (json!({}), "1", true),
            (json!({"threshold": 0.5}), "0.5", false),
            (json!({"threshold": 0.5}), "5.1e-1", true),
            (json!({"threshold": 1}), "1", false),
        ];
        for (settings, probability, is_forwarded) in cases {
            let payment = payment(probability);
            let sent = driver(settings.clone()).and_then(|mut driver| driver.send(&[("k", &payment)])).expect("valid");
            let expected = is_forwarded.then(|| Sent::new("fraudulent-payments", "k", &payment));
            assert_eq!(sent, Vec::from_iter(expected), "{settings} {probability}");
        }
    }

    #[test]
    fn what_is_no_payment_is_malformed() {
        for value in ["", "{", "[]", "{}", r#"{"fraudProbability":"0.9"}"#, r#"{"fraudProbability":null}"#] {
            let mut driver = driver(json!({})).expect("it opens");
            let good = payment("0.9");
            let failed = driver.send(&[("k", good.as_str()), ("k", value)]).expect_err(value);
            let Error::Failure(Failure { code, index, .. }) = failed else { panic!("{value}: {failed}") };
            assert_eq!((code.as_str(), index), ("malformed", Some(1)), "{value}");
        }
    }

    #[test]
    fn settings_are_checked() {
        for settings in [json!({"threshold": 1.1}), json!({"threshold": -1}), json!({"treshold": 0.5})] {
            assert!(matches!(driver(settings.clone()), Err(Error::Open(_))), "{settings}");
        }
    }
}
