//! A broker as a process of its own: `serve FOLDER [PORT] [fsync]`. Prints its address and runs until standard input
//! closes or the process is killed. For development and for tests that kill it.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};

use wasmill_broker::{Broker, BrokerConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
    let arguments: Vec<String> = std::env::args().collect();
    let mut config = BrokerConfig::new(arguments.get(1).ok_or("usage: serve FOLDER [PORT] [fsync]")?);
    let port = arguments.get(2).map_or(Ok(0), |port| port.parse())?;
    config.address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    config.fsync = arguments.iter().any(|argument| argument == "fsync");
    config.auto_create_topics = arguments.iter().any(|argument| argument == "auto");
    let broker = Broker::start(config)?;
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.stop();
    Ok(())
}
