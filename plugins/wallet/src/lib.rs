//! Keeps what each account holds and publishes it at every change, with its worth. This file binds the rules of `logic` to
//! topics, the store and ticks.

pub mod logic;

use money::{Currency, RateTable};
use wasmill_sdk::{Batch, Config, Failure, Input, Keys, Out, Output, Part, Processor, Record, Store, Table, Ticks};

use logic::{Fault, Settings, Wallet};

/// Marks a result that was given before; its money has been added already.
const REPEATED_HEADER: &str = "repeated";

/// Wallets valued per tick: a bound on one call. The next tick goes on where this one ended.
const VALUED_PER_TICK_MAX: usize = 5_000;

/// The wallet service.
pub struct Wallets {
    accounts: Input,
    out: Output,
    wallets: Store,
    rates: Table,
    currency: Currency,
    settings: Settings,
    /// The first account of the next tick. Only a cache: lost, the next tick begins anew.
    next_account: Vec<u8>,
}

impl Processor for Wallets {
    fn open(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.settings()?;
        let code = &settings.valuation_currency;
        let currency =
            Currency::parse(code).ok_or_else(|| format!("settings: valuation_currency `{code}` is unknown"))?;
        if settings.rate_age_max_ms <= 0 {
            return Err("settings: rate_age_max_ms must be greater than 0".into());
        }
        config.input("transaction-success");
        Ok(Self {
            accounts: config.input("account"),
            out: config.output("wallet"),
            wallets: config.store("wallet"),
            rates: config.table("exchange-rate"),
            currency,
            settings,
            next_account: Vec::new(),
        })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let is_account = batch.input == self.accounts;
        let mut records = Vec::new();
        let mut keys = Keys::default();
        for record in batch.records() {
            let account = money::text_of(record.key).filter(|account| money::is_identifier(account));
            let account = account.ok_or_else(|| Failure::new("malformed", "the key is no account").at(&record))?;
            keys.push(account.as_bytes());
            records.push((account, record));
        }
        let rates = self.rates();
        self.wallets.update_many(&keys, |position, entry| {
            let (account, record) = &records[position];
            let changed = if is_account { opened(record, entry.value()) } else { added(record, entry.value()) };
            let changed = changed.map_err(|fault| Failure::new(fault.code, fault.message).at(record))?;
            let Some(mut wallet) = changed else { return Ok(()) };
            wallet.value(record.timestamp_ms, self.currency, &rates.at(record.timestamp_ms));
            let value = wallet.write(account);
            entry.set(&value);
            out.of(record).send(self.out, Part::Same, &value);
            Ok(())
        })
    }
}

/// A wallet begins empty with its account.
fn opened(record: &Record<'_>, known: Option<&[u8]>) -> Result<Option<Wallet>, Fault> {
    let is_new = known.is_none() && record.value.is_some();
    Ok(is_new.then(Wallet::default))
}

fn added(record: &Record<'_>, known: Option<&[u8]>) -> Result<Option<Wallet>, Fault> {
    if record.headers.last(REPEATED_HEADER).is_some() {
        return Ok(None);
    }
    let mut wallet = known.map(Wallet::read).transpose()?.unwrap_or_default();
    wallet.add(record.key, record.value)?;
    Ok(Some(wallet))
}

impl Ticks for Wallets {
    /// Values wallets as rates move; those whose worth changed are published.
    fn tick(&mut self, batch: Batch<'_>, _missed: u64, out: &mut Out) -> Result<(), Failure> {
        let Some(tick) = batch.records().next() else { return Ok(()) };
        let rates = self.rates();
        let rates = rates.at(tick.timestamp_ms);
        let mut valued = 0;
        let mut last = Vec::new();
        for (key, value) in self.wallets.scan(&self.next_account, None).take(VALUED_PER_TICK_MAX) {
            let account = std::str::from_utf8(&key).map_err(|error| Failure::new("state", error.to_string()))?;
            let wallet = Wallet::read(&value);
            let mut wallet = wallet.map_err(|fault| Failure::new(fault.code, fault.message))?;
            if wallet.value(tick.timestamp_ms, self.currency, &rates) {
                let value = wallet.write(account);
                self.wallets.put(&key, &value);
                out.of(&tick).send(self.out, &key, &value);
            }
            valued += 1;
            last = key;
        }
        self.next_account = if valued < VALUED_PER_TICK_MAX { Vec::new() } else { [&last[..], b"\0"].concat() };
        Ok(())
    }
}

impl Wallets {
    /// A copy that has lost its source is as good as none.
    fn rates(&self) -> RateTable<impl Fn(&[u8]) -> Option<Vec<u8>> + use<>> {
        let (table, age_max_ms) = (self.rates, self.settings.rate_age_max_ms);
        let is_current = table.age_ms() <= age_max_ms as u64;
        RateTable::new(age_max_ms, move |key: &[u8]| if is_current { table.get(key) } else { None })
    }
}

wasmill_sdk::export!(Wallets, ticks);
