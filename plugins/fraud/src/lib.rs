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
