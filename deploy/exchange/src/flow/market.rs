//! A market whose prices move: the messages of a provider's web socket, in the JSON that Coinbase sends.

use super::random::Random;
use crate::record::Message;
use crate::topics;

/// Prices in hundred-millionths of the quote currency, steps of a price, and whether an order book is sent or only a ticker.
const PRODUCTS: [(&str, u64, u64, bool); 7] = [
    ("BTC-USD", 8_000_00000000, 1000000, true),
    ("BTC-EUR", 7_300_00000000, 1000000, true),
    ("BTC-GBP", 6_400_00000000, 1000000, true),
    ("ETH-USD", 210_00000000, 1000000, true),
    ("ETH-EUR", 190_00000000, 1000000, true),
    ("ETH-GBP", 168_00000000, 1000000, false),
    ("ETH-BTC", 2625000, 1000, false),
];

/// Pairs that have a rate.
pub const PAIRS: usize = PRODUCTS.len();

/// Levels on each side of a book.
const DEPTH: u64 = 12;

#[derive(Debug)]
pub struct Market {
    products: Vec<Product>,
}

#[derive(Debug)]
struct Product {
    name: &'static str,
    step: u64,
    middle: u64,
    /// Best bid and ask of the book as sent; levels stand at each step from them on.
    bid: u64,
    ask: u64,
    has_book: bool,
}

impl Market {
    pub fn new() -> Self {
        let product = |(name, middle, step, has_book)| Product {
            name,
            step,
            middle,
            bid: middle - step,
            ask: middle + step,
            has_book,
        };
        Self { products: PRODUCTS.map(product).into() }
    }

    /// What a provider says first.
    pub fn opening(&mut self, random: &mut Random, timestamp_ms: i64) -> Vec<Message> {
        let subscriptions =
            br#"{"type":"subscriptions","channels":[{"name":"level2_batch","product_ids":["BTC-USD"]}]}"#;
        let first =
            Message { topic: topics::MARKET_FEED, key: None, value: Some(subscriptions.to_vec()), timestamp_ms };
        let rest = self.products.iter().map(|product| product.message(&product.first(random), timestamp_ms));
        std::iter::once(first).chain(rest).collect()
    }

    /// One product moves by a few steps; now and then a provider connects anew and sends the whole book.
    pub fn message(&mut self, random: &mut Random, timestamp_ms: i64) -> Message {
        let index = random.between(0, self.products.len() as u64) as usize;
        let product = &mut self.products[index];
        if random.between(0, 50) == 0 {
            let text = product.first(random);
            return product.message(&text, timestamp_ms);
        }
        let text = product.moved(random);
        product.message(&text, timestamp_ms)
    }
}

impl Product {
    fn first(&self, random: &mut Random) -> String {
        if !self.has_book {
            return self.ticker();
        }
        let mut side = |price: &dyn Fn(u64) -> u64| {
            let level = |at| format!(r#"["{}","{}"]"#, decimal(price(at)), decimal(random.between(1, 5_00000000)));
            (0..DEPTH).map(level).collect::<Vec<_>>().join(",")
        };
        let bids = side(&|at| self.bid - at * self.step);
        let asks = side(&|at| self.ask + at * self.step);
        format!(r#"{{"type":"snapshot","product_id":"{}","bids":[{bids}],"asks":[{asks}]}}"#, self.name)
    }

    /// Moves both best prices by up to three steps: levels that the market passed are removed, new ones put in.
    fn moved(&mut self, random: &mut Random) -> String {
        let steps = random.between(1, 4);
        let is_up = if self.middle < self.step * 2_000 { true } else { random.between(0, 2) == 0 };
        let mut changes = Vec::new();
        let mut change = |side: &str, price: u64, size: u64| {
            changes.push(format!(r#"["{side}","{}","{}"]"#, decimal(price), decimal(size)));
        };
        for _ in 0..steps {
            let size = random.between(1, 5_00000000);
            if is_up {
                change("sell", self.ask, 0);
                (self.bid, self.ask, self.middle) =
                    (self.bid + self.step, self.ask + self.step, self.middle + self.step);
                change("buy", self.bid, size);
                change("sell", self.ask + (DEPTH - 1) * self.step, size);
            } else {
                change("buy", self.bid, 0);
                (self.bid, self.ask, self.middle) =
                    (self.bid - self.step, self.ask - self.step, self.middle - self.step);
                change("sell", self.ask, size);
                change("buy", self.bid - (DEPTH - 1) * self.step, size);
            }
        }
        if !self.has_book {
            return self.ticker();
        }
        format!(r#"{{"type":"l2update","product_id":"{}","changes":[{}]}}"#, self.name, changes.join(","))
    }

    fn ticker(&self) -> String {
        let (bid, ask, price) = (decimal(self.bid), decimal(self.ask), decimal(self.middle));
        let name = self.name;
        format!(r#"{{"type":"ticker","product_id":"{name}","price":"{price}","best_bid":"{bid}","best_ask":"{ask}"}}"#)
    }

    fn message(&self, text: &str, timestamp_ms: i64) -> Message {
        Message::new(topics::MARKET_FEED, self.name, text, timestamp_ms)
    }
}

fn decimal(parts: u64) -> String {
    format!("{}.{:08}", parts / 100_000_000, parts % 100_000_000)
}
