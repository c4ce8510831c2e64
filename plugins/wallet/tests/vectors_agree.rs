//! The scenarios that every language's wallet service passes: `plugins/vectors/wallets.json`.

#[path = "../../vectors/scenario.rs"]
mod scenario;

use wallet::Wallets;
use wasmill_sdk::testing::Driver;

#[test]
fn every_scenario_ends_as_told() {
    let setup = || Driver::<Wallets>::new().output("wallet").store("wallet").table("exchange-rate", &[]);
    scenario::run("wallets.json", &["account", "transaction-success"], setup, Some(|driver| driver.tick(0)));
}
