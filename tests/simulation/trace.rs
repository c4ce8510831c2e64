//! What happened, in words: kept only in a run that is to be explained. Costs nothing otherwise.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Trace(Option<Rc<RefCell<Lines>>>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    kept_max: usize,
}

impl Trace {
    pub fn off() -> Self {
        Self(None)
    }

    /// Keeps the last `kept_max` lines.
    pub fn on(kept_max: usize) -> Self {
        Self(Some(Rc::new(RefCell::new(Lines { kept: VecDeque::new(), kept_max }))))
    }

    pub fn note(&self, now: Duration, line: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let mut lines = lines.borrow_mut();
        if lines.kept.len() == lines.kept_max {
            lines.kept.pop_front();
        }
        let text = format!("{:>11.3} ms  {}", now.as_secs_f64() * 1e3, line());
        lines.kept.push_back(text);
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.iter().flat_map(|l| l.borrow().kept.iter().cloned().collect::<Vec<_>>()).collect()
    }
}
