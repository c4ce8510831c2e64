//! The currencies of the exchange and their scales. Owns the list, which is in the order of codes, so that sorting by
//! currency is sorting by code.

/// A currency that accounts can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Currency {
    Aud,
    Btc,
    Cad,
    Chf,
    Eth,
    Eur,
    Gbp,
    Usd,
}

impl Currency {
    pub const ALL: [Self; 8] = [Self::Aud, Self::Btc, Self::Cad, Self::Chf, Self::Eth, Self::Eur, Self::Gbp, Self::Usd];

    /// The currency of a code, in capitals as ISO 4217 has them.
    #[inline]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|currency| currency.code() == code)
    }

    #[inline]
    pub fn code(self) -> &'static str {
        match self {
            Self::Aud => "AUD",
            Self::Btc => "BTC",
            Self::Cad => "CAD",
            Self::Chf => "CHF",
            Self::Eth => "ETH",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Usd => "USD",
        }
    }

    /// Digits after the point.
    #[inline]
    pub fn scale(self) -> u32 {
        match self {
            Self::Btc | Self::Eth => 8,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Currency;

    #[test]
    fn codes_are_sorted_and_found() {
        let codes = Currency::ALL.map(Currency::code);
        assert!(codes.is_sorted());
        for currency in Currency::ALL {
            assert_eq!(Currency::parse(currency.code()), Some(currency));
        }
        for code in ["", "usd", "XXX", "USD ", "DOGE"] {
            assert_eq!(Currency::parse(code), None, "{code}");
        }
    }
}
