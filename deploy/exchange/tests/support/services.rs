//! The exchange's components as plain functions over maps: what they would do to topics, one record after the other,
//! without a host and without a broker.

use std::collections::{BTreeMap, HashMap};

use exchange::record::{Message, Record};
use exchange::topics;
use money::RateTable;
use rate::book::Levels;
use rate::logic::Product;
use rate::message::Message as MarketMessage;
use transaction::logic::Outcome;
use transaction::{Account, Request, memory};
use wallet::logic::Wallet;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// All topics and all stores.
#[derive(Default)]
pub struct Services {
    pub records: Vec<Record>,
    ends: HashMap<(String, i32), i64>,
    pub accounts: Rows,
    products: BTreeMap<String, Product>,
    levels: LevelRows,
    pub rates: Rows,
    pub balances: Rows,
    pub results: Rows,
    pub expiry: Rows,
    pub wallets: Rows,
    pub transaction_settings: transaction::logic::Settings,
}

#[derive(Default)]
struct LevelRows(Rows);

impl Levels for LevelRows {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    fn first(&mut self, start: &[u8], end: &[u8]) -> Option<Vec<u8>> {
        self.0.range(start.to_vec()..end.to_vec()).next().map(|(_, value)| value.clone())
    }

    fn keys(&mut self, start: &[u8], end: &[u8]) -> Vec<Vec<u8>> {
        self.0.range(start.to_vec()..end.to_vec()).map(|(key, _)| key.clone()).collect()
    }
}

impl Services {
    /// Takes a record in and does everything that follows from it.
    pub fn send(&mut self, message: Message) {
        let record = Record {
            topic: message.topic.into(),
            key: message.key,
            value: message.value,
            timestamp_ms: message.timestamp_ms,
            ..Record::default()
        };
        self.append(record.clone());
        let handled = match record.topic.as_str() {
            topics::ACCOUNT_REQUEST => self.account(&record),
            topics::MARKET_FEED => self.rate(&record),
            topics::TRANSACTION_REQUEST => self.transaction(&record),
            topics::PAYMENTS => fraud(&record).map(|fraud| fraud.into_iter().collect()),
            other => panic!("nobody reads {other}"),
        };
        match handled {
            Ok(outputs) => outputs.into_iter().for_each(|output| self.append(output)),
            Err("malformed") => {
                let (_, processor) = topics::FED.iter().find(|(topic, _)| *topic == record.topic).expect("it was fed");
                self.append(Record { topic: topics::dead_letters(processor), ..record });
            }
            Err(code) => panic!("{code}: {record:?}"),
        }
    }

    fn append(&mut self, mut record: Record) {
        let key = record.key.as_deref().unwrap_or_default();
        record.partition = wasmill::record::partition_of(key, 4).0;
        let end = self.ends.entry((record.topic.clone(), record.partition)).or_default();
        record.offset = *end;
        *end += 1;
        self.records.push(record);
    }

    fn account(&mut self, record: &Record) -> Result<Vec<Record>, &'static str> {
        let key = record.key.clone().unwrap_or_default();
        let known = self.accounts.get(&key).map(Vec::as_slice);
        let opened = account::logic::open(record.key.as_deref(), record.value.as_deref(), record.timestamp_ms, known);
        let opened = opened.map_err(|fault| fault.code)?;
        self.accounts.insert(key.clone(), opened.clone());
        let name = record.key_text().expect("the account was opened");
        self.balances.entry(key.clone()).or_insert_with(|| {
            let mut account = Account::closed();
            account.is_open = true;
            account.write(name)
        });
        let mut outputs = vec![output(topics::ACCOUNT, record, opened)];
        if let std::collections::btree_map::Entry::Vacant(place) = self.wallets.entry(key) {
            let value = Wallet::default().write(name);
            place.insert(value.clone());
            outputs.push(output(topics::WALLET, record, value));
        }
        Ok(outputs)
    }

    fn rate(&mut self, record: &Record) -> Result<Vec<Record>, &'static str> {
        let message = MarketMessage::read(record.key.as_deref(), record.value.as_deref());
        let message = message.map_err(|fault| fault.code)?;
        let product = self.products.entry(message.product().to_owned()).or_default();
        let settings = rate::logic::Settings::default();
        let rate = rate::logic::take(&message, record.timestamp_ms, product, &mut self.levels, &settings);
        *product = Product::read(&product.write()).expect("what is written can be read");
        let Some(rate) = rate.map_err(|fault| fault.code)? else { return Ok(Vec::new()) };
        let value = serde_json::to_vec(&rate).expect("plain data");
        self.rates.insert(message.product().as_bytes().to_vec(), value.clone());
        Ok(vec![output(topics::EXCHANGE_RATE, record, value)])
    }

    pub fn transaction(&mut self, record: &Record) -> Result<Vec<Record>, &'static str> {
        let request = Request::read(record.key.as_deref(), record.value.as_deref(), record.timestamp_ms);
        let request = request.map_err(|fault| fault.code)?;
        let key = memory::result_key(request.account(), request.guid());
        let table =
            RateTable::new(self.transaction_settings.rate_age_max_ms, |key: &[u8]| self.rates.get(key).cloned());
        let account = self.balances.get(request.account().as_bytes()).map(Vec::as_slice);
        let remembered = self.results.get(&key).map(Vec::as_slice);
        let rates = table.at(record.timestamp_ms);
        let answer = transaction::logic::answer(&request, account, remembered, &rates, &self.transaction_settings);
        let answer = answer.map_err(|fault| fault.code)?;
        if let Some(account) = answer.account {
            self.balances.insert(request.account().as_bytes().to_vec(), account);
        }
        if let Some(forgotten_ms) = answer.forgotten_ms {
            self.expiry.remove(&memory::expiry_key(forgotten_ms, &key));
        }
        if let Some(remembered) = answer.remembered {
            self.expiry.insert(memory::expiry_key(record.timestamp_ms, &key), b"{}".to_vec());
            self.results.insert(key, remembered);
        }
        let topic = match answer.outcome {
            Outcome::Success => topics::TRANSACTION_SUCCESS,
            Outcome::Failed => topics::TRANSACTION_FAILED,
        };
        let mut result = output(topic, record, answer.value);
        if answer.is_repeated {
            result.headers.push((topics::REPEATED_HEADER.into(), Some(b"true".to_vec())));
            return Ok(vec![result]);
        }
        let wallet = if topic == topics::TRANSACTION_SUCCESS { Some(self.wallet(&result)?) } else { None };
        Ok(std::iter::once(result).chain(wallet).collect())
    }

    fn wallet(&mut self, result: &Record) -> Result<Record, &'static str> {
        let key = result.key.clone().expect("results have keys");
        let known = self.wallets.get(&key).map(|value| Wallet::read(value).expect("what is written can be read"));
        let mut wallet = known.unwrap_or_default();
        wallet.add(result.key.as_deref(), result.value.as_deref()).map_err(|fault| fault.code)?;
        let table = RateTable::new(60_000, |key: &[u8]| self.rates.get(key).cloned());
        wallet.value(result.timestamp_ms, money::Currency::Usd, &table.at(result.timestamp_ms));
        let value = wallet.write(result.key_text().expect("accounts are text"));
        self.wallets.insert(key, value.clone());
        Ok(output(topics::WALLET, result, value))
    }
}

fn fraud(record: &Record) -> Result<Option<Record>, &'static str> {
    let value = record.value.as_deref().unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(value).map_err(|_| "malformed")?;
    let probability = body["fraudProbability"].as_f64().ok_or("malformed")?;
    let is_fraud = probability > topics::FRAUD_THRESHOLD;
    Ok(is_fraud.then(|| output(topics::FRAUDULENT_PAYMENTS, record, value.to_vec())))
}

fn output(topic: &str, input: &Record, value: Vec<u8>) -> Record {
    Record {
        topic: topic.into(),
        key: input.key.clone(),
        value: Some(value),
        timestamp_ms: input.timestamp_ms,
        ..Record::default()
    }
}
