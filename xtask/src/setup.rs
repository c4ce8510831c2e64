//! What the tests need beyond a checked-out tree: the wasm target, Apache Kafka's jars, kcat.
//! Owns the downloads; each step does nothing when its work is done already.

use std::fs;
use std::path::Path;

use crate::command::{answer, root, run, target};
use crate::part::Done;

/// The target of `rust-toolchain.toml` is there, or rustup gets it.
pub fn toolchain() -> anyhow::Result<Done> {
    let sysroot = answer("rustc", &["--print", "sysroot"]).unwrap_or_default();
    if !Path::new(&sysroot).join("lib/rustlib/wasm32-wasip2").exists() {
        run("rustup", &["target", "add", "wasm32-wasip2"])?;
    }
    println!("{}", answer("rustc", &["--version"]).unwrap_or_default());
    Ok(Done::Ok)
}

/// `target/kafka/` holds the jars of `xtask/kafka/pom.xml`. A copy of that file, written last, says that all are there.
pub fn kafka() -> anyhow::Result<Done> {
    let pom = fs::read(root().join("xtask/kafka/pom.xml"))?;
    let folder = target().join("kafka");
    let complete = folder.join("complete.xml");
    if fs::read(&complete).is_ok_and(|done| done == pom) {
        println!("already in target/kafka");
        return Ok(Done::Ok);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let into = format!("-DoutputDirectory={}", folder.display());
    run("mvn", &["-B", "-q", "-f", "xtask/kafka/pom.xml", "dependency:copy-dependencies", &into])?;
    fs::write(&complete, pom)?;
    println!("{} jars in target/kafka", fs::read_dir(&folder)?.count() - 1);
    Ok(Done::Ok)
}

/// The same where Java and Maven are there; the bench does without.
pub fn kafka_if_java() -> anyhow::Result<Done> {
    let missing =
        [("java", "-version"), ("mvn", "-v")].into_iter().find(|(tool, word)| answer(tool, &[word]).is_none());
    match missing {
        Some((tool, _)) => Ok(Done::NotRun(format!("there is no `{tool}`: install Java 17 and Maven"))),
        None => kafka(),
    }
}

/// kcat is on the path, or Debian's is installed where we may do that.
pub fn kcat() -> anyhow::Result<Done> {
    if answer("kcat", &["-V"]).is_some() {
        println!("already installed");
        return Ok(Done::Ok);
    }
    let by_hand = "kcat is missing and its checks will not run; paste: sudo apt-get install -y kcat";
    if answer("id", &["-u"]).as_deref() != Some("0") || answer("apt-get", &["--version"]).is_none() {
        return Ok(Done::NotRun(by_hand.to_string()));
    }
    let install = ["install", "-y", "-q", "--no-install-recommends", "kcat"];
    if run("apt-get", &install).is_err() {
        let again = run("apt-get", &["update", "-q"]).and_then(|()| run("apt-get", &install));
        if again.is_err() {
            return Ok(Done::NotRun(by_hand.to_string()));
        }
    }
    Ok(Done::Ok)
}
