//! How the broker is reached: the one of the manifest, the one of a host that runs here, or the embedded one, which is
//! started only where there already is one to look at.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::config::Manifest;
use crate::remote::{self, Address, RemoteError};
use crate::run::folder::{FolderError, Sighting};
use crate::run::reach::Reach;

const ABOUT: &str = "broker";

/// How long a running host may take to say where its broker is.
const PATIENCE: Duration = Duration::from_secs(10);

/// A way to the broker, open for as long as it is kept.
pub(super) struct Way {
    pub kafka: BTreeMap<String, String>,
    _reach: Option<Reach>,
}

/// What was found of a way.
pub(super) struct Search {
    pub finding: Finding,
    pub open: Option<Way>,
}

impl Search {
    fn without(finding: Finding) -> Self {
        Self { finding, open: None }
    }
}

pub(super) fn find(manifest: &Manifest, sighting: &Result<Sighting, FolderError>) -> Search {
    let topology = &manifest.topology;
    if let Some(kafka) = &topology.kafka {
        let bootstrap = kafka.get("bootstrap.servers").map_or("", String::as_str);
        let finding = Finding::ok(ABOUT, format!("Kafka of the manifest, at {bootstrap}"));
        return Search { finding, open: Some(Way { kafka: kafka.clone(), _reach: None }) };
    }
    let data = Path::new(&topology.host.data);
    match sighting {
        Ok(Sighting::InUse) => of_running_host(data, manifest.token.clone()),
        Ok(Sighting::Free) if data.join("broker").is_dir() => match Reach::open(topology) {
            Ok(reach) => {
                let text = "the embedded broker starts: this command has started it, for as long as it looks";
                let way = Way { kafka: reach.kafka.clone(), _reach: Some(reach) };
                Search { finding: Finding::ok(ABOUT, text), open: Some(way) }
            }
            Err(error) => {
                let advice = "a host would not start either: repair what is said, or give it another data folder";
                Search::without(Finding::problem(ABOUT, error.to_string(), advice))
            }
        },
        Ok(_) => {
            let text = "the embedded broker, which is made by the first start of a host: nothing to look at yet";
            Search::without(Finding::ok(ABOUT, text))
        }
        Err(_) => {
            let advice = "repair the data folder first: the embedded broker's topics are in it";
            Search::without(Finding::warning(ABOUT, "the embedded broker was not looked at", advice))
        }
    }
}

fn of_running_host(data: &Path, token: Option<String>) -> Search {
    let asked = Address::find(None, data, token).and_then(|address| Ok((remote::whole(&address, PATIENCE)?, address)));
    let silent = |why: String| {
        let text = format!("the embedded broker of the running host was not looked at: {why}");
        let advice =
            "ask again when its interface answers, or name the broker with --bootstrap: the host's log says it";
        Search::without(Finding::warning(ABOUT, text, advice))
    };
    match asked {
        Ok((whole, address)) => match whole["bootstrap"].as_str() {
            Some(bootstrap) => {
                let host = whole["host"].as_str().unwrap_or_default();
                let text = format!("the embedded broker of host `{host}` ({}), at {bootstrap}", address.url);
                let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap.to_owned())]);
                Search { finding: Finding::ok(ABOUT, text), open: Some(Way { kafka, _reach: None }) }
            }
            None => silent(format!("{} does not say where it is", address.url)),
        },
        Err(RemoteError::Absent(_)) => {
            silent("it does not serve its interface yet, or a command is at work".to_owned())
        }
        Err(error) => silent(error.to_string()),
    }
}
