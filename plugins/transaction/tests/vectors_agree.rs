//! The scenarios that every language's transaction service passes: `plugins/vectors/transactions.json`.

#[path = "../../vectors/scenario.rs"]
mod scenario;

use transaction::Transactions;
use wasmill_sdk::testing::Driver;

#[test]
fn every_scenario_ends_as_told() {
    let setup = || {
        Driver::<Transactions>::new()
            .output("transaction-success")
            .output("transaction-failed")
            .store("account")
            .store("result")
            .store("expiry")
            .table("exchange-rate", &[])
    };
    scenario::run("transactions.json", &["account", "transaction-request"], setup, Some(|driver| driver.tick(0)));
}
