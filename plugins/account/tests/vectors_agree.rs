//! The scenarios that every language's account service passes: `plugins/vectors/accounts.json`.

#[path = "../../vectors/scenario.rs"]
mod scenario;

use account::Accounts;
use wasmill_sdk::testing::Driver;

#[test]
fn every_scenario_ends_as_told() {
    let setup = || Driver::<Accounts>::new().output("account").store("account");
    scenario::run("accounts.json", &["account-request"], setup, None);
}
