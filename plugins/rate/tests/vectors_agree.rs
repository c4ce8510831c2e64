//! The scenarios that every language's rate service passes: `plugins/vectors/rates.json`.

#[path = "../../vectors/scenario.rs"]
mod scenario;

use rate::Rates;
use wasmill_sdk::testing::Driver;

#[test]
fn every_scenario_ends_as_told() {
    let setup = || Driver::<Rates>::new().output("exchange-rate").store("product").store("level");
    scenario::run("rates.json", &["market-feed"], setup, None);
}
