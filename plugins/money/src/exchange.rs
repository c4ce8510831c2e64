//! What an amount of one currency is in another, by the rules of the exchange: exact, rounded once, half to even, to the
//! scale of the credit's currency.

use crate::ratio::multiply_divide;
use crate::{Currency, Money, PRICE_SCALE, Price, Quote};

/// Where quotes come from. Gives only quotes that may be used.
pub trait Rates {
    /// The quote of `base-quote`.
    fn quote(&self, base: Currency, quote: Currency) -> Option<Quote>;
}

/// An exchange done: what is credited, and the rate that was used.
#[derive(Clone, Debug, PartialEq)]
pub struct Traded {
    /// `None`: the amount is beyond the limit.
    pub credit: Option<Money>,
    pub rate: Quote,
}

/// Exchanges `debit`: if a rate `credit-debit` exists, the customer buys at its ask; if `debit-credit` does, the customer
/// sells at its bid. `None` without either.
pub fn exchange(debit: Money, credit: Currency, rates: &impl Rates) -> Option<Traded> {
    if let Some(rate) = rates.quote(credit, debit.currency) {
        return Some(Traded { credit: buy(debit, rate.ask, credit), rate });
    }
    let rate = rates.quote(debit.currency, credit)?;
    Some(Traded { credit: sell(debit, rate.bid, credit), rate })
}

/// `debit ÷ ask`; `None` beyond the limit. `debit` is not negative.
pub fn buy(debit: Money, ask: Price, credit: Currency) -> Option<Money> {
    let shift = PRICE_SCALE + credit.scale();
    let (up, down) = reduced(shift, debit.currency.scale());
    ratio(debit, up, ask.parts().checked_mul(down)?, credit)
}

/// `debit × bid`; `None` beyond the limit. `debit` is not negative.
pub fn sell(debit: Money, bid: Price, credit: Currency) -> Option<Money> {
    let (up, down) = reduced(credit.scale(), PRICE_SCALE + debit.currency.scale());
    ratio(debit, bid.parts().checked_mul(up)?, down, credit)
}

/// 10^up ÷ 10^down in lowest terms.
fn reduced(up: u32, down: u32) -> (u128, u128) {
    (10_u128.pow(up.saturating_sub(down)), 10_u128.pow(down.saturating_sub(up)))
}

fn ratio(debit: Money, factor: u128, divisor: u128, credit: Currency) -> Option<Money> {
    let debit = u128::try_from(debit.parts()).ok()?;
    let parts = multiply_divide(debit, factor, divisor)?;
    Money::new(i128::try_from(parts).ok()?, credit)
}
