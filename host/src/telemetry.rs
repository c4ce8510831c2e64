//! Logs: for people, or as JSON for what collects them; always on standard error, because standard output is for
//! answers. Knows nothing of what is logged.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people; in colours where it is a terminal that shows it.
    #[default]
    Text,
    /// An object per line: `timestamp`, `level`, `target`, `message`, and the event's own fields beside them.
    Json,
}

/// There is one log per process, as there is one standard error.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Begins to log what `filter` lets pass.
///
/// # Errors
/// The filter cannot be read.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let format = *FORMAT.get_or_init(|| format);
    match format {
        // The library would colour what goes into a pipe or a file, too.
        LogFormat::Text => builder.with_ansi(is_coloured()).init(),
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
            // What is collected as JSON stays JSON when a thread panics.
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
        }
    }
    Ok(())
}

fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && !config::refuses_colour()
}

/// Says why the program ends without having done what it was asked to, as its logs are written.
pub fn last_word(text: &str) {
    let text = text.trim_end();
    match FORMAT.get() {
        Some(LogFormat::Json) => tracing::error!(why = text, "ended"),
        _ => eprintln!("wasmill: {text}"),
    }
}
