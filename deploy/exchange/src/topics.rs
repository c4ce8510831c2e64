//! The names of the exchange's topics. The manifest beside this crate declares the same.

pub const APPLICATION: &str = "exchange";

pub const ACCOUNT_REQUEST: &str = "account-request";
pub const ACCOUNT: &str = "account";
pub const MARKET_FEED: &str = "market-feed";
pub const EXCHANGE_RATE: &str = "exchange-rate";
pub const TRANSACTION_REQUEST: &str = "transaction-request";
pub const TRANSACTION_SUCCESS: &str = "transaction-success";
pub const TRANSACTION_FAILED: &str = "transaction-failed";
pub const WALLET: &str = "wallet";
pub const PAYMENTS: &str = "payments";
pub const FRAUDULENT_PAYMENTS: &str = "fraudulent-payments";

/// Marks results that repeat one given before.
pub const REPEATED_HEADER: &str = "repeated";

/// Payments with a greater probability are fraud. The manifest sets the same.
pub const FRAUD_THRESHOLD: f64 = 0.8;

/// The inputs that come from outside, and the processor whose dead letters hold what cannot be read in them.
pub const FED: [(&str, &str); 4] =
    [(ACCOUNT_REQUEST, "account"), (MARKET_FEED, "rate"), (TRANSACTION_REQUEST, "transaction"), (PAYMENTS, "fraud")];

/// The processors in the order in which records flow through them.
pub const PROCESSORS: [&str; 5] = ["account", "rate", "fraud", "transaction", "wallet"];

pub fn dead_letters(processor: &str) -> String {
    format!("{APPLICATION}.{processor}.dlq")
}

/// Everything that the model looks at.
pub fn all() -> Vec<String> {
    let topics = [
        ACCOUNT_REQUEST,
        ACCOUNT,
        MARKET_FEED,
        EXCHANGE_RATE,
        TRANSACTION_REQUEST,
        TRANSACTION_SUCCESS,
        TRANSACTION_FAILED,
        WALLET,
        PAYMENTS,
        FRAUDULENT_PAYMENTS,
    ];
    topics.into_iter().map(str::to_owned).chain(PROCESSORS.map(dead_letters)).collect()
}
